import type { Deviation } from '../../deviations.js';

/** What QEMU's SMMUv3 does otherwise. */
export const SMMUV3_DEVIATIONS: readonly Deviation[] = [];
