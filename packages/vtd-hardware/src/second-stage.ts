import { FAULT } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import { FLAG, KIND } from './regime.js';
import {
  denial,
  LESS,
  lessOfSecond,
  rightsOfSecond,
  SECOND_ACCESSED,
  SECOND_DIRTY,
  SECOND_READ,
  SECOND_WRITE,
} from './rights.js';
import type { Stage } from './stage.js';

const ANY = SECOND_READ | SECOND_WRITE;
const NOTHING = LESS.READ | LESS.WRITE;

/** Second-stage entries (vtd.md 2.12). What goes wrong has other numbers in legacy mode (5.1) than in scalable mode (5.2). */
export class SecondStage implements Stage {
  readonly masks: readonly Uint32Array[];

  constructor(vtd: Vtd) {
    this.masks = vtd.fetcher.masks.second;
  }

  /** X alone is not present. */
  isPresent(lo: number): boolean {
    return (lo & ANY) !== 0;
  }

  isReserved(lo: number, hi: number, leaf: number): boolean {
    const mask = this.masks[leaf];
    return (lo & mask[0]) !== 0 || (hi & mask[1]) !== 0;
  }

  lessOf(lo: number, _hi: number): number {
    return lessOfSecond(lo);
  }

  isNothing(less: number): boolean {
    return (less & NOTHING) === NOTHING;
  }

  accessed(lo: number, control: number): number {
    return (control & FLAG.SECOND_FLAGS) === 0 ? lo : lo | SECOND_ACCESSED;
  }

  dirtied(lo: number): number {
    return lo | SECOND_DIRTY;
  }

  rightsOf(less: number, lo: number, control: number): number {
    return rightsOfSecond(less, lo, control);
  }

  absentReason(want: number, control: number): number {
    return denial(KIND.SECOND, control, want, 0);
  }

  reservedReason(control: number): number {
    return (control & FLAG.LEGACY) !== 0 ? FAULT.TABLE_RESERVED : FAULT.SS_RESERVED;
  }

  /** LCT.4.3 for the first table of legacy mode. */
  accessReason(control: number, top: boolean): number {
    if ((control & FLAG.LEGACY) !== 0) return top ? FAULT.CONTEXT_INVALID : FAULT.TABLE_ACCESS;
    return top ? FAULT.SS_TOP_ACCESS : FAULT.SS_ACCESS;
  }

  snoopReason(): number {
    return FAULT.SS_FLAG_SNOOP;
  }

  interruptReason(control: number): number {
    return (control & FLAG.LEGACY) !== 0 ? FAULT.INTERRUPT_RANGE : FAULT.SM_INTERRUPT_RANGE;
  }
}
