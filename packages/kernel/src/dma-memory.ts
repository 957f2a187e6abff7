import type { Bus } from './bus.js';
import type { Kernel } from './kernel.js';
import type { Coroutine, Step } from './types.js';

/** Coherent memory, as a driver sees it: each 64-bit access is a preemption point. */
export interface DmaMemory {
  /**
   * Zeroed memory, aligned to its size rounded up to a power of two of at least 4 KiB.
   * @returns its physical address
   * @throws IommuError ENOMEM
   */
  alloc(bytes: number, owner: string): Coroutine<number>;
  /** Frees what {@link alloc} gave; `bytes` as then. */
  free(pa: number, bytes: number): Coroutine<void>;
  load64(pa: number, out: Uint32Array): Step<void>;
  store64(pa: number, lo: number, hi: number): Step<void>;
}

/** {@link DmaMemory} over any {@link Bus}. */
export class CoherentMemory implements DmaMemory {
  readonly kernel: Kernel;
  readonly bus: Bus;

  constructor(kernel: Kernel, bus: Bus) {
    this.kernel = kernel;
    this.bus = bus;
  }

  *alloc(bytes: number, owner: string): Coroutine<number> {
    this.kernel.mightSleep(`to allocate ${bytes} bytes for ${owner}`);
    return this.bus.frames.alloc(owner, orderOf(bytes)) * 4096;
  }

  *free(pa: number, bytes: number): Coroutine<void> {
    this.bus.frames.free(pa / 4096, orderOf(bytes));
  }

  load64(pa: number, out: Uint32Array): Step<void> {
    const { kernel } = this;
    return kernel.at(Math.floor(pa / 8), false) ? this.loadLater(pa, out) : kernel.done(this.bus.load64(pa, out));
  }

  store64(pa: number, lo: number, hi: number): Step<void> {
    const { kernel } = this;
    return kernel.at(Math.floor(pa / 8), true)
      ? this.storeLater(pa, lo, hi)
      : kernel.done(this.bus.store64(pa, lo, hi));
  }

  // Closures are made here only: one in the methods above would cost an allocation at every access.
  loadLater(pa: number, out: Uint32Array): Step<void> {
    return this.kernel.pending(() => this.bus.load64(pa, out));
  }

  storeLater(pa: number, lo: number, hi: number): Step<void> {
    return this.kernel.pending(() => this.bus.store64(pa, lo, hi));
  }
}

/** log2 of the number of 4 KiB frames that `bytes` need. */
function orderOf(bytes: number): number {
  return Math.max(0, Math.ceil(Math.log2(bytes / 4096)));
}
