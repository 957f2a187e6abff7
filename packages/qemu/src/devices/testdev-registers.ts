import { bit, bits, enumOf, reg32, reserved } from '@iommukit/bitfield';

const ref = "QEMU's specification of iommu-testdev";

/** iommu-testdev's identity in configuration space. */
export const TESTDEV_ID = { vendorId: 0x1b36, deviceId: 0x0005 } as const;

/** What a request writes, again and again, lowest byte first. */
export const TESTDEV_PATTERN = 0x1234_5678;

/** How the last request went. */
export const TESTDEV_RESULT = enumOf({
  DONE: 0,
  BAD_LENGTH: 0xdead_0001,
  /** The write was refused. */
  WRITE_FAILED: 0xdead_0002,
  /** Nothing answers at the address where the data is looked for. */
  READ_FAILED: 0xdead_0003,
  /** The data is not at the address where it is looked for. */
  MISMATCH: 0xdead_0004,
  NOT_ARMED: 0xdead_0005,
  BAD_ATTRIBUTES: 0xdead_0006,
  ARMED: 0xffff_fffe,
  IDLE: 0xffff_ffff,
});

/** Reading it makes the armed request. */
export const TESTDEV_TRIGGER = reg32('TRIGGER', 0x00, { ref }, { value: bits(31, 0, 'reads 0') });
/** Where to write, as the device sees it: low half. */
export const TESTDEV_IOVA_LO = reg32('IOVA_LO', 0x04, { ref }, { address: bits(31, 0, 'bits 31:0') });
/** High half. */
export const TESTDEV_IOVA_HI = reg32('IOVA_HI', 0x08, { ref }, { address: bits(31, 0, 'bits 63:32') });
/** How much. */
export const TESTDEV_LENGTH = reg32('LENGTH', 0x0c, { ref }, { bytes: bits(31, 0, 'bytes to write; 0 is refused') });
/** How the last request went. */
export const TESTDEV_STATUS = reg32('RESULT', 0x10, { ref }, { result: bits(31, 0, TESTDEV_RESULT, 'how it went') });
/** Arms a request. */
export const TESTDEV_DOORBELL = reg32(
  'DOORBELL',
  0x14,
  { ref },
  { arm: bit(0, '1 arms, 0 disarms'), res: reserved(31, 1) },
);
/** Attributes of the request, on Arm. */
export const TESTDEV_ATTRIBUTES = reg32(
  'ATTRIBUTES',
  0x18,
  { ref },
  {
    secure: bit(0, 'from the secure world'),
    space: bits(2, 1, enumOf({ SECURE: 0, NON_SECURE: 1, ROOT: 2, REALM: 3 }), 'its physical address space'),
    spaceValid: bit(3, 'SPACE counts; else it is NON_SECURE'),
    res: reserved(31, 4),
  },
);
/** Where the data is looked for afterwards, as the CPU sees it: low half. */
export const TESTDEV_PA_LO = reg32('PA_LO', 0x1c, { ref }, { address: bits(31, 0, 'bits 31:0') });
/** High half. */
export const TESTDEV_PA_HI = reg32('PA_HI', 0x20, { ref }, { address: bits(31, 0, 'bits 63:32') });
