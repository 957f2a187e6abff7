import { LINE } from '@iommukit/kernel';
import { WANT_PRIVILEGED } from '@iommukit/pci-ats';
import type { Vtd } from './device.js';

/** What {@link Translator.lookup} returns instead of a line. */
export const NO_LINE = {
  /** The request failed: `reason` says why. */
  REFUSED: -1,
  /** The address is not translated. */
  BYPASS: -2,
} as const;

/** What became of the last request that was translated, in either gait: until the next one. */
export abstract class LastRequest {
  readonly vtd: Vtd;
  /** A fault reason; 0 for a refusal without a record. */
  reason = 0;
  /** Level at which the walk ended; 1 holds pages. */
  level = 0;
  /** An entry on the way has FPD=1: what it qualifies is not recorded (vtd.md 5.2). */
  suppressed = false;
  /** The line of the last translation that succeeded; -1 when it needed none. */
  line = -1;
  /** Generation of the frame of a translation that has no line, when it was read. */
  generation = 0;
  /** What the last request that failed wanted, after RID_PRIV. */
  wanted = 0;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** The generation of the last translation's frame when it was read; 0 for a large page, whose frames have many. */
  get witness(): number {
    if (this.line < 0) return this.generation;
    const { lines } = this.vtd.iotlb;
    return lines.order[this.line] === 0 ? lines.generation[this.line] : 0;
  }

  /** The last request that failed counts as privileged (PRIV). */
  get privileged(): boolean {
    return (this.wanted & WANT_PRIVILEGED) !== 0;
  }

  /** The last request that failed wanted to execute (EXE). */
  get exec(): boolean {
    return (this.wanted & LINE.EXEC) !== 0;
  }

  fail(reason: number, level: number): number {
    this.reason = reason;
    this.level = level;
    return NO_LINE.REFUSED;
  }
}
