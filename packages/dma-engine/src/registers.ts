import { bit, bits, enumOf, reg32, reg64, reserved, ro, w1c, wide } from '@iommukit/bitfield';

/** Identity in configuration space. The vendor id is not assigned to anybody: the device exists only here. */
export const IDENTITY = { vendorId: 0x1d55, deviceId: 0x0e57, classCode: 0x120000 } as const;

/** Bytes of the register window. */
export const REGISTER_BYTES = 0x20000;

/**
 * Offset of the page that processes map: it shows {@link ID} and {@link STATUS}, and takes no writes. Nothing else lies in the
 * largest page that CPUs have, 64 KiB.
 */
export const USER_PAGE = 0x10000;

/** What a job does. */
export const OPCODE = enumOf({ COPY: 1, FILL: 2, CHECKSUM: 3 });

/**
 * How the last job ended. CANCELLED: a page it needs was refused. FAILED: the IOMMU cannot serve the device. STOPPED: its
 * PASID was stopped meanwhile.
 */
export const JOB_STATUS = enumOf({
  NONE: 0,
  RUNNING: 1,
  DONE: 2,
  CANCELLED: 3,
  FAILED: 4,
  INVALID_JOB: 5,
  STOPPED: 6,
});

const ref = 'dma-engine register map (README)';

/** What {@link ID} reads: "DMA1". */
export const MAGIC = 0x444d4131;

/** Which device this is. */
export const ID = reg32('ID', 0x00, { ref, reset: MAGIC }, { magic: ro(bits(31, 0, 'reads "DMA1"')) });
/** Starts a job. */
export const DOORBELL = reg32(
  'DOORBELL',
  0x04,
  { ref },
  { start: bit(0, 'starts the job that the registers describe; lost while one runs; reads 0'), res: reserved(31, 1) },
);
/** How the job goes. */
export const STATUS = reg32(
  'STATUS',
  0x08,
  { ref },
  {
    job: ro(bits(2, 0, JOB_STATUS, 'how the last job ended, or that it runs')),
    res: reserved(31, 3),
  },
);
/** The next job's operation. Registers that describe a job are taken when the doorbell rings. */
export const OPERATION = reg32(
  'OPERATION',
  0x0c,
  { ref },
  {
    opcode: bits(2, 0, OPCODE, 'what to do'),
    res0: reserved(7, 3),
    noPasid: bit(8, 'the requests of the job have no PASID'),
    endless: bit(9, 'begins again whenever it is through, until its PASID is stopped'),
    eager: bit(10, 'asks again while the PASID means nothing to the IOMMU'),
    privileged: bit(11, 'the requests of the job ask for privileged mode'),
    res1: reserved(31, 12),
  },
);
/** Where the next job reads. */
export const SOURCE = reg64('SOURCE', 0x10, { ref }, { address: wide(63, 0) });
/** Where the next job writes. */
export const DESTINATION = reg64('DESTINATION', 0x18, { ref }, { address: wide(63, 0) });
/** The next job's size. */
export const LENGTH = reg32('LENGTH', 0x20, { ref }, { bytes: bits(31, 0, 'bytes; a multiple of 8, not 0') });
/** The address space of the next job. */
export const PASID = reg32(
  'PASID',
  0x24,
  { ref },
  { pasid: bits(19, 0, 'tags every request of the job'), res: reserved(31, 20) },
);
/** What the next FILL writes. */
export const PATTERN = reg32('PATTERN', 0x28, { ref }, { word: bits(31, 0, 'what FILL writes') });
/** How the next job asks for pages. */
export const PREFETCH = reg32(
  'PREFETCH',
  0x2c,
  { ref },
  {
    pages: bits(7, 0, 'destination pages to ask for in one group before each part of the job; 0: none'),
    res: reserved(31, 8),
  },
);
/** What a checksum came to. */
export const RESULT = reg32(
  'RESULT',
  0x30,
  { ref },
  { sum: ro(bits(31, 0, 'what CHECKSUM came to: the sum of all 32-bit words, modulo 2^32; 0 otherwise')) },
);
/** Asks for a PASID stop (IOPF-14). */
export const STOP = reg32(
  'STOP',
  0x34,
  { ref },
  {
    pasid: bits(19, 0, 'the PASID to stop using'),
    res: reserved(29, 20),
    noPasid: bit(30, 'stops the requests without a PASID instead'),
    request: bit(31, 'asks for the stop; lost while another stop is under way; reads 0'),
  },
);
/** How the PASID stop goes. */
export const STOPPED = reg32(
  'STOPPED',
  0x38,
  { ref },
  {
    pasid: ro(bits(19, 0, 'the PASID of the last stop')),
    res: reserved(29, 20),
    noPasid: ro(bit(30, 'the last stop was for requests without a PASID')),
    done: ro(bit(31, 'the stop is complete: no request with that PASID follows')),
  },
);
/** Why the device interrupts. */
export const INTERRUPT = reg32('INTERRUPT', 0x3c, { ref }, { jobEnded: w1c(0, 'a job ended'), res: reserved(31, 1) });

/** Every register, for dumps and docs. */
export const REGISTERS = [
  ID,
  DOORBELL,
  STATUS,
  OPERATION,
  SOURCE,
  DESTINATION,
  LENGTH,
  PASID,
  PATTERN,
  PREFETCH,
  RESULT,
  STOP,
  STOPPED,
  INTERRUPT,
] as const;
