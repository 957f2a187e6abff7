import { IommuError } from './errors.js';
import type { Kernel } from './kernel.js';

/** Failure injection: an allocation may be told to fail. */
export class Injection {
  readonly kernel: Kernel;
  /** Allocations since the run began, of every kind: frames, slab objects, ids. */
  readonly state = { count: 0 };
  /** The number (from 1) of the allocation that fails, or 0 for none. */
  failAt = 0;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keep(this.state);
  }

  /**
   * Every allocator calls this first.
   * @throws IommuError ENOMEM if this allocation is told to fail
   */
  allocate(what: string): void {
    this.state.count++;
    if (this.state.count === this.failAt) {
      throw new IommuError('ENOMEM', `allocation ${this.state.count} (${what}) was told to fail`);
    }
  }
}
