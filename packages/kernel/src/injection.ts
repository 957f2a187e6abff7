import { IommuError } from './errors.js';
import type { Kernel } from './kernel.js';

/** Failure injection: an allocation may be told to fail. */
export class Injection {
  readonly kernel: Kernel;
  /** Allocations since the run began: frames, slab objects, ids; of the kind {@link only} if one is named. */
  readonly state = { count: 0 };
  /** The number (from 1) of the allocation that fails, or 0 for none. */
  failAt = 0;
  /** The kind that counts (`frame`, a slab's name, an allocator's `what`), or null for every kind. */
  only: string | null = null;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keep(this.state);
  }

  /**
   * Every allocator calls this first.
   * @throws IommuError ENOMEM if this allocation is told to fail
   */
  allocate(what: string): void {
    if (this.only !== null && this.only !== what) return;
    this.state.count++;
    if (this.state.count === this.failAt) {
      throw new IommuError('ENOMEM', `allocation ${this.state.count} (${what}) was told to fail`);
    }
  }
}
