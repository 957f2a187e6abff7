import type { Bus } from './bus.js';
import type { Kernel } from './kernel.js';
import { type Coroutine, PREEMPT, type Step } from './types.js';

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
  /** Fills `out`, 64-bit word after word. */
  loadWords(pa: number, out: Uint32Array): Step<void>;
  /** Stores `count` 64-bit words of `from`, beginning with its 32-bit word `at`; one after the other. */
  storeWords(pa: number, from: Uint32Array, at: number, count: number): Step<void>;
  /**
   * Waits until `test` holds, looking again when the 64-bit word at `pa` is stored to, and whenever foreign hardware may have
   * stored there. Stands for a polling loop: allowed in atomic context. `why` is for reports.
   * @returns false if `limitNs` virtual nanoseconds passed first
   */
  until(pa: number, test: () => boolean, why: string, limitNs: number): Step<boolean>;
}

/** {@link DmaMemory} over any {@link Bus}. */
export class CoherentMemory implements DmaMemory {
  readonly kernel: Kernel;
  readonly bus: Bus;
  /** What the last load of {@link loadWords} gave; copied at once. */
  readonly word = new Uint32Array(2);

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

  loadWords(pa: number, out: Uint32Array): Step<void> {
    for (let i = 0; i < out.length; i += 2) {
      if (this.kernel.at(Math.floor(pa / 8) + i / 2, false)) return this.loadRest(pa, out, i);
      this.loadPair(pa, out, i);
    }
    return this.kernel.done(undefined);
  }

  storeWords(pa: number, from: Uint32Array, at: number, count: number): Step<void> {
    for (let i = 0; i < count; i++) {
      if (this.kernel.at(Math.floor(pa / 8) + i, true)) return this.storeRest(pa, from, at, count, i);
      this.bus.store64(pa + 8 * i, from[at + 2 * i]!, from[at + 2 * i + 1]!);
    }
    return this.kernel.done(undefined);
  }

  until(pa: number, test: () => boolean, why: string, limitNs: number): Step<boolean> {
    return this.kernel.until(Math.floor(pa / 8), test, why, limitNs);
  }

  /** {@link loadWords} of a task that was preempted before word `i`. */
  *loadRest(pa: number, out: Uint32Array, i: number): Coroutine<void> {
    for (let j = i; j < out.length; j += 2) {
      if (j === i || this.kernel.at(Math.floor(pa / 8) + j / 2, false)) yield PREEMPT;
      this.loadPair(pa, out, j);
    }
  }

  /** {@link storeWords} of a task that was preempted before word `i`. */
  *storeRest(pa: number, from: Uint32Array, at: number, count: number, i: number): Coroutine<void> {
    for (let j = i; j < count; j++) {
      if (j === i || this.kernel.at(Math.floor(pa / 8) + j, true)) yield PREEMPT;
      this.bus.store64(pa + 8 * j, from[at + 2 * j]!, from[at + 2 * j + 1]!);
    }
  }

  loadPair(pa: number, out: Uint32Array, i: number): void {
    this.bus.load64(pa + 4 * i, this.word);
    out[i] = this.word[0]!;
    out[i + 1] = this.word[1]!;
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
