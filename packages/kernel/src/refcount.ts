import type { Kernel } from './kernel.js';
import type { Footprint } from './types.js';

/** Counts at or above this stay: a leak is better than a free too early. */
const SATURATED = 2 ** 30;

/** A reference count that saturates, and reports (INV-9) a get after zero and a put below zero. */
export class Refcount {
  readonly kernel: Kernel;
  readonly what: string;
  readonly footprint: Footprint;
  /** `last` is who dropped the last reference. */
  readonly state: { count: number; last: string };

  /** `what` names the counted object in reports. Starts at `count` references. */
  constructor(kernel: Kernel, what: string, count = 1) {
    this.kernel = kernel;
    this.what = what;
    this.footprint = kernel.footprint();
    this.state = kernel.checkpoints.keep({ count, last: 'nobody' });
  }

  get count(): number {
    return this.state.count;
  }

  /** One more reference, for a caller that holds one already. */
  get(): void {
    this.kernel.touch(this.footprint, true);
    const { state } = this;
    if (state.count === 0) this.violate('taken after the last was dropped');
    else if (state.count < SATURATED) state.count++;
  }

  /** One more reference unless there is none: the only way from a bare pointer. */
  getNotZero(): boolean {
    if (this.state.count === 0) {
      this.kernel.touch(this.footprint, false);
      return false;
    }
    this.get();
    return true;
  }

  /** Drops a reference. True: it was the last, and the caller cleans up. */
  put(): boolean {
    this.kernel.touch(this.footprint, true);
    const { state } = this;
    if (state.count === 0) this.violate('dropped that nobody held');
    if (state.count === 0 || state.count >= SATURATED || --state.count > 0) return false;
    state.last = this.kernel.here();
    return true;
  }

  violate(how: string): void {
    this.kernel.violate('INV-9', `a reference to ${this.what} is ${how}; the last was dropped by ${this.state.last}`);
  }
}
