import { bit, bits, dw, table } from '@iommukit/bitfield';

/** Bytes of an interrupt remapping entry (vtd.md 2.13). */
export const IRTE_BYTES = 16;

/** Requests to these addresses are interrupts; a DMA translation into them is a fault (vtd.md 2.13). */
export const INTERRUPT_RANGE = { first: 0xfee0_0000, last: 0xfeef_ffff } as const;

/** Interrupt remapping entry. */
export const IRTE = table(
  'IRTE',
  IRTE_BYTES,
  { ref: 'vtd.md 2.13', gaps: 'reserved-zero' },
  {
    ...dw(0, {
      p: bit(0, 'present'),
      fpd: bit(1, 'fault processing disabled; counts with P=0 too'),
      dm: bit(2, 'destination mode'),
      rh: bit(3, 'redirection hint'),
      tm: bit(4, 'trigger mode'),
      dlm: bits(7, 5, 'delivery mode'),
      avail: bits(11, 8, 'for software'),
      im: bit(15, 'posted'),
      v: bits(23, 16, 'vector'),
      dst: bits(63, 32, 'destination; an xAPIC one stands in [47:40]'),
    }),
    ...dw(1, {
      sid: bits(15, 0, 'requester'),
      sq: bits(17, 16, 'function bits of SID that are compared'),
      svt: bits(19, 18, 'how the requester is verified'),
    }),
  },
);

/** Address of a remappable interrupt request, its lower 32 bits. FORMAT=0 is the compatibility format. */
export const InterruptAddress = table(
  'interrupt address',
  4,
  { ref: 'vtd.md 2.13', gaps: 'reserved-preserve' },
  {
    handleHigh: bit(2, 'handle[15]'),
    shv: bit(3, 'the handle has a subhandle in the data'),
    format: bit(4, '1 remappable'),
    handle: bits(19, 5, 'handle[14:0]'),
    base: bits(31, 20, '0xfee'),
  },
);
