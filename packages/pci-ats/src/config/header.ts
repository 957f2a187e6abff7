import { bit, bits, named, reserved, ro, table, w1c } from '@iommukit/bitfield';

/** Offset of Command and Status. */
export const COMMAND = 0x04;
/** Offset of the first base address register. */
export const BAR0 = 0x10;

/** The header of a function that is no bridge (type 0): 64 bytes. Base address registers keep their size in a write hook. */
export const Type0Header = table(
  'PCI header, type 0',
  64,
  { ref: 'PCI Local Bus 3.0, 6.1' },
  {
    vendorId: named('Vendor ID', ro(bits(15, 0))),
    deviceId: named('Device ID', ro(bits(31, 16))),
    ioSpace: ro(32, 'answers I/O accesses'),
    memorySpace: named('Memory Space Enable', bit(33, 'answers at its base addresses')),
    busMaster: named('Bus Master Enable', bit(34, 'may send requests of its own')),
    res0: reserved(37, 35),
    parityResponse: bit(38),
    res1: reserved(39),
    serr: bit(40, 'may report errors'),
    res2: reserved(41),
    interruptDisable: named('Interrupt Disable', bit(42, 'sends no interrupt messages')),
    res3: reserved(50, 43),
    interruptStatus: ro(51, 'an interrupt message was sent and is not served'),
    capabilitiesList: ro(52),
    res4: reserved(58, 53),
    signalledTargetAbort: w1c(59),
    receivedTargetAbort: w1c(60),
    receivedMasterAbort: w1c(61),
    signalledError: w1c(62),
    parityError: w1c(63),
    revision: ro(bits(71, 64)),
    classCode: named('Class Code', ro(bits(95, 72))),
    cacheLine: bits(103, 96),
    latencyTimer: ro(bits(111, 104)),
    headerType: ro(bits(119, 112)),
    bist: ro(bits(127, 120)),
    bar0: bits(159, 128),
    bar1: bits(191, 160),
    bar2: bits(223, 192),
    bar3: bits(255, 224),
    bar4: bits(287, 256),
    bar5: bits(319, 288),
    cardbus: ro(bits(351, 320)),
    subsystemVendorId: ro(bits(367, 352)),
    subsystemId: ro(bits(383, 368)),
    rom: ro(bits(415, 384)),
    capabilities: ro(bits(423, 416)),
    res5: reserved(479, 424),
    interruptLine: named('Interrupt Line', bits(487, 480)),
    interruptPin: named('Interrupt Pin', ro(bits(495, 488, '1 = INTA'))),
    minGrant: ro(bits(503, 496)),
    maxLatency: ro(bits(511, 504)),
  },
);
