import type { Settings } from '@iommukit/kernel';
import { NO_PASID } from '../mm/mm.js';
import { INVALID_IOASID } from './ioasid.js';

/** What an mm's PASID field may be while it has none, by the value of the switch `sentinel` (IOASID-3). */
export const SENTINELS: { readonly zero: number; readonly 'all-ones': number } = Object.freeze({
  zero: NO_PASID,
  'all-ones': INVALID_IOASID,
});

/** The one that a machine uses: zero, or all ones as from v5.18. */
export function unsetPasid(settings: Settings): number {
  return settings['sentinel'] === 'all-ones' ? SENTINELS['all-ones'] : SENTINELS.zero;
}
