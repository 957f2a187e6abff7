import { address, bit, bits, dw, preset, table, wide } from '@iommukit/bitfield';

/** Bytes of a page request of scalable mode (vtd.md 4.1). */
export const PAGE_REQUEST_BYTES = 32;
/** Bytes of a page request of the extended mode (vtd.md 4.2). */
export const ECS_PAGE_REQUEST_BYTES = 16;
/** The type of every page request of scalable mode; from one source (vtd.md 4.1). */
export const PAGE_REQUEST_TYPE = 1;

/**
 * A page request of scalable mode. LPIG=1 with RDR=WRR=0 is a stop marker, which is dropped without a response (vtd.md 4.4).
 */
export const PageRequest = table(
  'page request',
  PAGE_REQUEST_BYTES,
  { ref: 'vtd.md 4.1', gaps: 'reserved-zero' },
  {
    ...dw(0, {
      type: preset(PAGE_REQUEST_TYPE, bits(7, 0, 'always 1; from one source')),
      pp: bit(8, 'PASID present'),
      pdp: bit(9, 'private data present: spec 3.0 to 3.x, reserved later (D-4)'),
      rid: bits(31, 16, 'requester'),
      pasid: bits(51, 32, 'PASID'),
      exr: bit(52, 'execute requested'),
      pmr: bit(53, 'privileged mode requested'),
    }),
    ...dw(1, {
      rdr: bit(0, 'read requested'),
      wrr: bit(1, 'write requested'),
      lpig: bit(2, 'last of its group'),
      prgi: bits(11, 3, 'page request group'),
      addr: address(63, 12, 'the page'),
    }),
    ...dw(2, { privLow: wide(63, 0, 'private data, only with PDP=1') }),
    ...dw(3, { privHigh: wide(63, 0, 'private data, only with PDP=1') }),
  },
);

/** A page request of the extended mode. LPIG=1 asks for a group response, else SRR=1 for a stream response. */
export const EcsPageRequest = table(
  'extended page request',
  ECS_PAGE_REQUEST_BYTES,
  { ref: 'vtd.md 4.2', gaps: 'reserved-zero' },
  {
    ...dw(0, {
      srr: bit(0, 'stream response requested'),
      bof: bit(1, 'blocked on fault'),
      pp: bit(2, 'PASID present'),
      lpig: bit(3, 'last of its group'),
      pasid: bits(23, 4, 'PASID'),
      bus: bits(31, 24, 'bus'),
      private: bits(54, 32, 'private data, copied to the response'),
      prgi: bits(63, 55, 'page request group'),
    }),
    ...dw(1, {
      rd: bit(0, 'read requested'),
      wr: bit(1, 'write requested'),
      exe: bit(2, 'execute requested'),
      priv: bit(3, 'privileged mode requested'),
      devfn: bits(11, 4, 'device and function'),
      addr: address(63, 12, 'the page'),
    }),
  },
);
