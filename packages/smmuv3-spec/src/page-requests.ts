import { address, bit, bits, dw, named, table } from '@iommukit/bitfield';

/** Bytes of a PRI queue record (smmuv3.md 5.5). */
export const PRI_BYTES = 16;

/**
 * One page request in the PRI queue. With SSV=1, Last=1 and R=W=0 it is a stop marker, which needs no response; with SSV=0,
 * X and Priv are 0.
 */
export const PriRequest = table(
  'PRI request',
  PRI_BYTES,
  { ref: 'smmuv3.md 5.5', gaps: 'reserved-zero' },
  {
    ...dw(0, {
      sid: bits(31, 0, 'StreamID'),
      ssid: bits(51, 32, 'SubstreamID'),
      priv: named('Priv', bit(58, 'privileged')),
      x: bit(59, 'execute'),
      r: bit(60, 'read'),
      w: bit(61, 'write'),
      last: named('Last', bit(62, 'last of its group')),
      ssv: bit(63, 'SSID valid'),
    }),
    ...dw(1, {
      prgIndex: named('PRGIndex', bits(8, 0, 'page request group')),
      addr: named('Addr', address(63, 12, 'the page')),
    }),
  },
);
