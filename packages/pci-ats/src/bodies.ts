import { address, bit, bits, named, table } from '@iommukit/bitfield';

const ref = 'pcie-ats.md 2.4';

/** One entry of a translation completion. The address carries the size encoding when S is set. */
export const TranslationEntry = table(
  'Translation Completion entry',
  8,
  { ref },
  {
    r: bit(0, 'read allowed'),
    w: bit(1, 'write allowed'),
    u: bit(2, 'untranslated access only'),
    exe: named('Exe', bit(3, 'execute allowed')),
    priv: named('Priv', bit(4, 'privileged result')),
    global: named('Global', bit(5, 'may be used for every PASID')),
    ama: bits(8, 6, 'memory attributes'),
    cxlIo: named('CXL.io', bit(9, 'a CXL device uses CXL.io')),
    n: bit(10, 'non-snooped'),
    s: bit(11, 'larger than 4 KiB'),
    addr: named('Translated Address', address(63, 12, 'translated address, with the size encoding when S is set')),
  },
);

/** The body of an Invalidate Request. */
export const InvalidateBody = table(
  'Invalidate Request body',
  8,
  { ref: 'pcie-ats.md 2.5', gaps: 'reserved-zero' },
  {
    global: named('Global Invalidate', bit(0, 'every PASID')),
    s: bit(11, 'larger than 4 KiB'),
    addr: named('Untranslated Address', address(63, 12, 'address, with the size encoding when S is set')),
  },
);

/** What an Invalidate Completion carries (without the destination, which routes it). */
export const InvalidateCompletionBody = table(
  'Invalidate Completion',
  8,
  { ref: 'pcie-ats.md 2.5', gaps: 'reserved-zero' },
  {
    itags: named('ITag Vector', bits(31, 0, 'bit n: ITag n')),
    count: named('CC', bits(34, 32, 'completions to expect for each ITag; 0 means 8')),
    destination: named('Destination ID', bits(63, 48)),
  },
);

/** The body of a Page Request message. */
export const PageRequestBody = table(
  'Page Request',
  8,
  { ref: 'pcie-ats.md 2.5' },
  {
    r: bit(0, 'read wanted'),
    w: bit(1, 'write wanted'),
    l: bit(2, 'last of its group'),
    prgi: bits(11, 3, 'page request group index'),
    addr: named('Page Address', address(63, 12)),
  },
);

/** What a PRG Response carries besides its destination: 16 bits, in the low half of the word. */
export const PrgResponseBody = table(
  'PRG Response',
  4,
  { ref: 'pcie-ats.md 2.5', gaps: 'reserved-zero' },
  {
    prgi: bits(8, 0, 'page request group index'),
    code: named('Response Code', bits(15, 12)),
  },
);
