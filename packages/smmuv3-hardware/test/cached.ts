import type { SmmuV3Parts } from '../src/index.js';
import { Rig, type TestLink } from './rig.js';

/** The page of PASID 5. */
export const PAGE = 0x7f1234567;
export const SYNC = 0x0fc02046n;
/** ATC_INV of SID 0x42, SSID 5 (smmuv3.md 4.3); dw1 0x34 is everything. */
export const ATC_INV = 0x0000004200005840n;

/** SID 0x42, PASID 5 → ASID 0x12, one page cached whose table has changed since. */
export function cached(parts: Partial<SmmuV3Parts> = {}): { rig: Rig; link: TestLink } {
  const rig = new Rig({}, {}, parts).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12));
  rig.map(root, PAGE, 0x40100);
  rig.translate(0x42, 5, PAGE);
  rig.map(root, PAGE, 0x40200);
  return { rig, link: rig.link(0x42) };
}
