import { bit, bits, reg32, reg64, reserved, wide } from '@iommukit/bitfield';

const ref = "QEMU's specification of edu";

/** edu's identity in configuration space. */
export const EDU_ID = { vendorId: 0x1234, deviceId: 0x11e8 } as const;

/** Where the device's own buffer lies in the addresses that SOURCE and DESTINATION take, and its bytes. */
export const EDU_BUFFER = { base: 0x4_0000, bytes: 4096 } as const;

/** What {@link EDU_IDENTIFICATION} says is the device's name. */
export const EDU_NAME = 0xed;

/** How long a transfer takes on the virtual clock, in ns. */
export const EDU_TRANSFER_NS = 100_000_000;

/** Which device this is: major and minor version above the name. */
export const EDU_IDENTIFICATION = reg32(
  'IDENTIFICATION',
  0x00,
  { ref },
  {
    name: bits(15, 0, 'reads 0xed'),
    minor: bits(23, 16, 'minor version'),
    major: bits(31, 24, 'major version'),
  },
);
/** What raised the interrupt. */
export const EDU_INTERRUPT_STATUS = reg32(
  'INTERRUPT_STATUS',
  0x24,
  { ref },
  {
    causes: bits(7, 0, 'what software raised'),
    dma: bit(8, 'a transfer has ended'),
    res: reserved(31, 9),
  },
);
/** Clears causes of the interrupt. */
export const EDU_INTERRUPT_ACKNOWLEDGE = reg32(
  'INTERRUPT_ACKNOWLEDGE',
  0x64,
  { ref },
  {
    causes: bits(31, 0, 'causes to clear'),
  },
);
/** Where a transfer reads: an address on the bus, or in the buffer. */
export const EDU_SOURCE = reg64('SOURCE', 0x80, { ref }, { address: wide(63, 0, 'what is read') });
/** Where a transfer writes. */
export const EDU_DESTINATION = reg64('DESTINATION', 0x88, { ref }, { address: wide(63, 0, 'what is written') });
/** Bytes of a transfer: 1 to 4096; more ends QEMU. */
export const EDU_COUNT = reg64('COUNT', 0x90, { ref }, { bytes: wide(63, 0, 'bytes to move') });
/** Starts a transfer. */
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
