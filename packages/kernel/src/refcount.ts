import type { Kernel } from './kernel.js';

/** Counts at or above this stay: a leak is better than a free too early. */
const SATURATED = 2 ** 30;

/** A reference count that saturates, and reports (INV-9) a get after zero and a put below zero. */
export class Refcount {
  readonly kernel: Kernel;
  readonly what: string;
  readonly state: { count: number };

  /** `what` names the counted object in reports. Starts at `count` references. */
  constructor(kernel: Kernel, what: string, count = 1) {
    this.kernel = kernel;
    this.what = what;
    this.state = kernel.checkpoints.keep({ count });
  }

  get count(): number {
    return this.state.count;
  }

  /** One more reference, for a caller that holds one already. */
  get(): void {
    if (this.state.count === 0)
      this.kernel.violate('INV-9', `a reference to ${this.what} is taken after the last was dropped`);
    else if (this.state.count < SATURATED) this.state.count++;
  }

  /** One more reference unless there is none: the only way from a bare pointer. */
  getNotZero(): boolean {
    if (this.state.count === 0) return false;
    this.get();
    return true;
  }

  /** Drops a reference. True: it was the last, and the caller cleans up. */
  put(): boolean {
    if (this.state.count === 0) {
      this.kernel.violate('INV-9', `a reference to ${this.what} is dropped that nobody held`);
      return false;
    }
    if (this.state.count >= SATURATED) return false;
    return --this.state.count === 0;
  }
}
