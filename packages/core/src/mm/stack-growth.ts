import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from './mm.js';
import { findVma, VMA_FLAG, type Vma } from './vma.js';

/** The most that a mapping grows to: 8 MiB, in pages of 4 KiB. */
const STACK_LIMIT = 2048;
/** What stays free below it: 1 MiB. */
const GUARD_GAP = 256;

/** Mappings that grow downwards when a fault hits below them (VMA-3). */
export class StackGrowth {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /**
   * "Find and extend", as faults did before 6.5: one step, though the mmap lock is held for read only. Null when no mapping
   * contains `page`, nor can grow to it.
   */
  findExtend(mm: Mm, page: number): Vma | null {
    return this.core.settings['grow-stack'] === 'off' ? null : this.extend(mm, page);
  }

  /** A CPU's fault may extend in every generation; from 6.5 on it takes the mmap lock for write first. */
  *grow(mm: Mm, page: number): Coroutine<boolean> {
    const lock = yield* mm.mmapLock.write();
    const vma = findVma(mm.vmas, page) ?? this.extend(mm, page);
    lock.release();
    return vma !== null;
  }

  /** The mapping above `page`, extended down to it; null when that is against a rule. */
  extend(mm: Mm, page: number): Vma | null {
    const first = page - (page % this.core.format.pageFrames);
    const i = mm.vmas.findIndex((vma) => vma.first > page);
    const vma = mm.vmas[i];
    if (vma === undefined || (vma.flags & VMA_FLAG.GROWSDOWN) === 0) return null;
    if (vma.end - first > STACK_LIMIT || first < GUARD_GAP) return null;
    const below = mm.vmas[i - 1];
    // Two stacks need no gap between them: each has its own limit.
    if (below !== undefined && (below.flags & VMA_FLAG.GROWSDOWN) === 0 && first - below.end < GUARD_GAP) return null;
    vma.first = first;
    return vma;
  }
}
