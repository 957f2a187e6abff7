import type { CMDQ_BASE, EVENTQ_BASE } from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import type { Source } from './interrupts.js';
import { Ring } from './ring.js';

/** What tells the event queue and the PRI queue apart. */
export interface OutputQueueShape {
  readonly base: typeof CMDQ_BASE | typeof EVENTQ_BASE;
  /** Offsets of the index registers. */
  readonly prod: number;
  readonly cons: number;
  readonly entryBytes: number;
  readonly maxBits: number;
  /** Mask in GERROR. */
  readonly abortError: number;
  readonly source: Source;
}

/** A queue that the SMMU writes and software reads (smmuv3.md 5.6). */
export class OutputQueue {
  readonly smmu: SmmuV3;
  readonly shape: OutputQueueShape;
  readonly ring: Ring;

  constructor(smmu: SmmuV3, shape: OutputQueueShape) {
    this.smmu = smmu;
    this.shape = shape;
    this.ring = new Ring(smmu.registers, shape.base, shape.prod, shape.cons, shape.entryBytes, shape.maxBits);
  }

  /** A write to the queue aborted and software has not acknowledged it: nothing is delivered. */
  get aborted(): boolean {
    return this.smmu.registers.errorActive(this.shape.abortError);
  }

  /**
   * Appends an entry to a queue that is not full: the entry is in memory before PROD moves, and PROD moves before the interrupt.
   * False: the write aborted, and the entry is lost.
   */
  append(entry: Uint32Array): boolean {
    const { ring, smmu } = this;
    const pa = ring.address(ring.prod);
    if (!smmu.memory.contains(pa)) {
      smmu.registers.raiseError(this.shape.abortError);
      return false;
    }
    const wasEmpty = ring.empty;
    for (let i = 0; i < entry.length; i += 2) {
      smmu.memory.store64(pa + i * 4, entry[i], entry[i + 1]);
      smmu.kernel.touch(Math.floor(pa / 8) + i / 2, true);
    }
    const old = smmu.registers.get(ring.prodAt);
    smmu.registers.put(ring.prodAt, ((old & ~ring.mask) | ring.after(ring.prod)) >>> 0, true);
    if (this.interrupts(wasEmpty, entry)) smmu.interrupts.raise(this.shape.source);
    return true;
  }

  /** An appended entry interrupts: by default when the queue was empty. */
  interrupts(wasEmpty: boolean, _entry: Uint32Array): boolean {
    return wasEmpty;
  }
}
