import { enumOf } from '@iommukit/bitfield';

/**
 * AP[2:1] of a block or page: who may read and write (smmuv3.md 3.2). SVA traffic is unprivileged unless its PASID says
 * otherwise.
 */
export const AP = enumOf({ PRIVILEGED_RW: 0b00, RW: 0b01, PRIVILEGED_RO: 0b10, RO: 0b11 });

/** APTable of a table descriptor: what is taken away from everything below (smmuv3.md 3.2). */
export const AP_TABLE = enumOf({ NONE: 0, NO_UNPRIVILEGED: 1, NO_WRITE: 2, NO_WRITE_NO_UNPRIVILEGED: 3 });

/** SH of a block or page: shareability (smmuv3.md 3.2). */
export const SH = enumOf({ NON: 0, OUTER: 2, INNER: 3 });

/** Bits [1:0] of a descriptor: 0b01 is a block at levels 1 and 2 and invalid at level 3 (smmuv3.md 3.2). */
export const DESCRIPTOR_TYPE = enumOf({ INVALID: 0b00, BLOCK: 0b01, TABLE_OR_PAGE: 0b11 });
