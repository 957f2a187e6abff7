import { bit, bits, reg32, reg64, reserved, wide } from '@iommukit/bitfield';

const ref = "QEMU's specification of edu";

/** edu's identity in configuration space. */
export const EDU_ID = { vendorId: 0x1234, deviceId: 0x11e8 } as const;

/** What {@link EDU_IDENTIFICATION} says is the device's name. */
export const EDU_NAME = 0xed;

/** The device's own buffer, in the addresses that SOURCE and DESTINATION take. */
export const EDU_BUFFER = { base: 0x4_0000, bytes: 4096 } as const;

export const EDU_IDENTIFICATION = reg32(
  'IDENTIFICATION',
  0x00,
  { ref },
  { name: bits(15, 0, 'reads 0xed'), minor: bits(23, 16, 'minor version'), major: bits(31, 24, 'major version') },
);
export const EDU_SOURCE = reg64('SOURCE', 0x80, { ref }, { address: wide(63, 0, 'what is read') });
export const EDU_DESTINATION = reg64('DESTINATION', 0x88, { ref }, { address: wide(63, 0, 'what is written') });
export const EDU_COUNT = reg64('COUNT', 0x90, { ref }, { bytes: wide(63, 0, 'bytes to move, at most 4096') });
export const EDU_COMMAND = reg32(
  'COMMAND',
  0x98,
  { ref },
  {
    start: bit(0, '1 starts; reads 1 until the transfer has ended'),
    toBus: bit(1, '0: from the bus to the buffer, 1: from the buffer to the bus'),
    interrupt: bit(2, 'raise the interrupt at the end'),
    res: reserved(31, 3),
  },
);
