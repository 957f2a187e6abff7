import { VMSA } from '@iommukit/paging';
import type { AddressSpaceFormat } from '../address-space-format.js';
import { VmsaFormat } from './vmsa-format.js';

/** VMSAv8-64 stage 1, 4 KiB granule, 48-bit addresses, lower half (smmuv3.md 3.1, 3.2). */
export const VMSA_4K_48: AddressSpaceFormat = new VmsaFormat(VMSA['4K/48']);
