import { IommuError, type Settings } from '@iommukit/kernel';
import { VMSA, type VmsaName } from '@iommukit/paging';
import type { AddressSpaceFormat } from '../address-space-format.js';
import { VMSA_4K_48 } from './vmsa-4k-48.js';
import { VmsaFormat } from './vmsa-format.js';

/**
 * The format that the switches `cpu-page` (4K, 16K, 64K) and `va-bits` (48, 52) choose; 52 with 4K and 16K pages is LPA2.
 * @throws IommuError EINVAL for values that the switches do not have
 */
export function formatOf(settings: Settings): AddressSpaceFormat {
  const name = `${settings['cpu-page'] ?? '4K'}/${settings['va-bits'] ?? '48'}`;
  if (name === '4K/48') return VMSA_4K_48;
  if (Object.hasOwn(VMSA, name)) return new VmsaFormat(VMSA[name as VmsaName]);
  throw new IommuError('EINVAL', `no page tables have pages and addresses of ${name}`, {
    remedy: 'cpu-page is 4K, 16K or 64K; va-bits is 48 or 52',
  });
}
