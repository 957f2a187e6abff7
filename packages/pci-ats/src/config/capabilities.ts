import { bit, bits, named, reserved, ro, table, w1c } from '@iommukit/bitfield';

/** Extended capability ids (pcie-ats.md 1). */
export const CAPABILITY = { ATS: 0x0f, PRI: 0x13, PASID: 0x1b } as const;

/** Where the chain of extended capabilities begins. */
export const FIRST_CAPABILITY = 0x100;

const header = {
  id: named('Capability ID', ro(bits(15, 0))),
  version: named('Version', ro(bits(19, 16))),
  next: named('Next', ro(bits(31, 20, 'offset of the next capability; 0 ends the chain'))),
};

/** The first word of every extended capability. */
export const CapabilityHeader = table('Extended Capability Header', 4, { ref: 'pcie-ats.md 1' }, header);

/** The ATS capability (pcie-ats.md 1.1). STU takes effect only while Enable is 0: the function sees to it. */
export const AtsCapability = table(
  'ATS Capability',
  8,
  { ref: 'pcie-ats.md 1.1' },
  {
    ...header,
    queueDepth: named(
      'Invalidate Queue Depth',
      ro(bits(36, 32, 'invalidations accepted without back-pressure; 0 means 32')),
    ),
    pageAligned: named('Page Aligned Request', ro(37, 'addresses in requests are 4 KiB aligned')),
    globalInvalidate: named('Global Invalidate Supported', ro(38)),
    relaxedOrdering: named('Relaxed Ordering Supported', ro(39)),
    memoryAttributes: named('Memory Attributes Supported', ro(40)),
    res0: reserved(47, 41),
    stu: named('STU', bits(52, 48, 'smallest translation unit: 2^(STU+12) bytes')),
    res1: reserved(62, 53),
    enable: named('Enable', bit(63, 'may issue translation requests and cache')),
  },
);

/** The PRI capability (pcie-ats.md 1.2). Reset reads 0; Allocation takes effect only while Enable is 0. */
export const PriCapability = table(
  'Page Request Capability',
  16,
  { ref: 'pcie-ats.md 1.2' },
  {
    ...header,
    enable: named('Enable', bit(32, 'may send page requests')),
    reset: named('Reset', bit(33, 'written 1 while Enable is 0: clears the outstanding counter and pending state')),
    res0: reserved(47, 34),
    rf: named('Response Failure', w1c(48, 'got a Response Failure')),
    uprgi: named('Unexpected PRG Index', w1c(49, 'got a response for a group that is not outstanding')),
    res1: reserved(55, 50),
    stopped: named('Stopped', ro(56, 'not enabled, and no page request is outstanding')),
    res2: reserved(62, 57),
    prgResponsePasidRequired: named('PRG Response PASID Required', ro(63)),
    capacity: named('Outstanding Page Request Capacity', ro(bits(95, 64))),
    allocation: named('Outstanding Page Request Allocation', bits(127, 96)),
  },
);

/** The PASID capability (pcie-ats.md 1.3). Control takes effect only while ATS is off. */
export const PasidCapability = table(
  'PASID Capability',
  8,
  { ref: 'pcie-ats.md 1.3' },
  {
    ...header,
    res0: reserved(32),
    execSupported: named('Execute Permission Supported', ro(33)),
    privSupported: named('Privileged Mode Supported', ro(34)),
    res1: reserved(39, 35),
    maxWidth: named('Max PASID Width', ro(bits(44, 40, 'PASIDs 0 to 2^width - 1'))),
    res2: reserved(47, 45),
    enable: named('PASID Enable', bit(48)),
    exec: named('Execute Permission Enable', bit(49)),
    priv: named('Privileged Mode Enable', bit(50)),
    res3: reserved(63, 51),
  },
);
