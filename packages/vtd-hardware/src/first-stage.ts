import { FAULT } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import { FLAG } from './regime.js';
import { ACCESSED, DIRTY, EXTENDED, lessOfFirst, PRESENT, rightsOfFirst } from './rights.js';
import type { Stage } from './stage.js';

/** First-stage entries: x86-64 paging of 4 or 5 levels (vtd.md 2.11). */
export class FirstStage implements Stage {
  readonly masks: readonly Uint32Array[];

  constructor(vtd: Vtd) {
    this.masks = vtd.fetcher.masks.first;
  }

  isPresent(lo: number): boolean {
    return (lo & PRESENT) !== 0;
  }

  isReserved(lo: number, hi: number, leaf: number): boolean {
    const mask = this.masks[leaf];
    return (lo & mask[0]) !== 0 || (hi & mask[1]) !== 0;
  }

  lessOf(lo: number, hi: number): number {
    return lessOfFirst(lo, hi);
  }

  isNothing(_less: number): boolean {
    return false;
  }

  accessed(lo: number, control: number): number {
    return lo | ACCESSED | ((control & FLAG.EXTENDED_ACCESSED) !== 0 ? EXTENDED : 0);
  }

  dirtied(lo: number): number {
    return lo | DIRTY;
  }

  rightsOf(less: number, lo: number, control: number): number {
    return rightsOfFirst(less, lo, control);
  }

  absentReason(_want: number, _control: number): number {
    return FAULT.FS_NOT_PRESENT;
  }

  reservedReason(_control: number): number {
    return FAULT.FS_RESERVED;
  }

  accessReason(_control: number, top: boolean): number {
    return top ? FAULT.FS_TOP_ACCESS : FAULT.FS_ACCESS;
  }

  snoopReason(): number {
    return FAULT.FS_FLAG_SNOOP;
  }

  interruptReason(_control: number): number {
    return FAULT.SM_INTERRUPT_RANGE;
  }
}
