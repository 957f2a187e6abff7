import { bit, bits, enumOf, preset, reg32, reg64, reserved, ro, w1c, wide } from '@iommukit/bitfield';

/** Identity in configuration space. The vendor id is not assigned to anybody: the device exists only here. */
export const IDENTITY = { vendorId: 0x1d55, deviceId: 0x0e57, classCode: 0x120000 } as const;

/** Bytes of the register window. */
export const REGISTER_BYTES = 0x10000;

/** What a job does. */
export const OPCODE = enumOf({ COPY: 1, FILL: 2, CHECKSUM: 3 });

/** How the last job ended. CANCELLED: a page it needs was refused. FAILED: the IOMMU cannot serve the device. */
export const JOB_STATUS = enumOf({ NONE: 0, RUNNING: 1, DONE: 2, CANCELLED: 3, FAILED: 4, INVALID_JOB: 5 });

const ref = 'dma-engine register map (README)';

export const ID = reg32('ID', 0x00, { ref }, { magic: preset(0x44_4d_41_31, ro(bits(31, 0, 'reads "DMA1"'))) });
export const DOORBELL = reg32(
  'DOORBELL',
  0x04,
  { ref },
  { start: bit(0, 'starts the job that the registers describe'), res: reserved(31, 1) },
);
export const STATUS = reg32(
  'STATUS',
  0x08,
  { ref },
  {
    job: ro(bits(2, 0, JOB_STATUS, 'how the last job ended, or that it runs')),
    res: reserved(31, 3),
  },
);
export const OPERATION = reg32(
  'OPERATION',
  0x0c,
  { ref },
  { opcode: bits(2, 0, OPCODE, 'what to do'), res: reserved(31, 3) },
);
export const SOURCE = reg64('SOURCE', 0x10, { ref }, { address: wide(63, 0) });
export const DESTINATION = reg64('DESTINATION', 0x18, { ref }, { address: wide(63, 0) });
export const LENGTH = reg32('LENGTH', 0x20, { ref }, { bytes: bits(31, 0, 'bytes; a multiple of 8') });
export const PASID = reg32(
  'PASID',
  0x24,
  { ref },
  { pasid: bits(19, 0, 'tags every request of the job'), res: reserved(31, 20) },
);
export const PATTERN = reg32('PATTERN', 0x28, { ref }, { word: bits(31, 0, 'what FILL writes') });
export const PREFETCH = reg32(
  'PREFETCH',
  0x2c,
  { ref },
  {
    pages: bits(7, 0, 'destination pages to ask for in one group before each part of the job; 0: none'),
    res: reserved(31, 8),
  },
);
export const RESULT = reg32(
  'RESULT',
  0x30,
  { ref },
  { sum: ro(bits(31, 0, 'what CHECKSUM came to: the sum of all 32-bit words')) },
);
export const STOP = reg32(
  'STOP',
  0x34,
  { ref },
  {
    pasid: bits(19, 0, 'the PASID to stop using'),
    res: reserved(30, 20),
    request: bit(31, 'asks for the stop; reads 0'),
  },
);
export const STOPPED = reg32(
  'STOPPED',
  0x38,
  { ref },
  {
    pasid: ro(bits(19, 0, 'the PASID of the last stop')),
    res: reserved(30, 20),
    done: ro(bit(31, 'the stop is complete: no request with that PASID follows, and every answer is in')),
  },
);
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
