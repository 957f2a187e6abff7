import type { Coroutine, Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { type Gather, newGather } from './gather.js';
import type { Mm } from './mm.js';
import { type PageRange, rangeOf } from './page-range.js';
import type { Vma } from './vma.js';

/** mprotect (VMA-2, MN-13). */
export class Protection {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** See {@link MmService.mprotect}. */
  *mprotect(mm: Mm, address: bigint, bytes: number, perm: number): Coroutine<void> {
    const range = rangeOf(address, bytes, this.core.format);
    const { mappings, vmas } = this.core;
    const lock = yield* mm.mmapLock.write();
    try {
      vmas.requireCovered(mm, range);
      yield* mappings.splitEdges(mm, range);
      for (const vma of vmas.cut(mm, range)) {
        if (vma.perm !== perm) yield* this.changeVma(mm, vma, perm);
      }
      vmas.mergeAround(mm, range);
    } finally {
      lock.release();
    }
  }

  /** Both less and more access notify: caches may hold either (MN-13). */
  *changeVma(mm: Mm, vma: Vma, perm: number): Coroutine<void> {
    const { first, end } = vma;
    const gather = newGather();
    yield* this.core.mappings.rangeStart(mm, first, end);
    vma.perm = perm;
    yield* this.changeEntries(mm, vma, gather);
    yield* this.flush(mm, vma, gather);
    yield* this.tell(mm, vma);
    yield* this.core.mappings.rangeEndOnly(mm, first, end);
  }

  /**
   * No entry becomes writable here: a page may be shared, or clean, so that the first write still faults. A page that is
   * being moved comes back with the rights that it had, and is changed then.
   */
  *changeEntries(mm: Mm, { first, end, perm }: Vma, gather: Gather): Coroutine<void> {
    do yield* this.core.pageTables.protectRange(mm, first, end, perm, gather);
    while (yield* this.core.displaced.settleRange(mm, first, end));
  }

  /** CPUs. Who follows their broadcasts takes being told for having been flushed, also where no entry changed (MN-15). */
  *flush(mm: Mm, { first, end }: PageRange, gather: Gather): Coroutine<void> {
    const { mappings, tlb, cpuFeatures } = this.core;
    if (gather.end > 0) yield* mappings.flushCpu(mm, gather);
    else if (cpuFeatures.broadcast) yield* tlb.flushRange(mm, first, end, true);
  }

  /** Secondary TLBs: with the end of the range before 6.6, with the CPU flush from then on; once in either case. */
  tell(mm: Mm, { first, end }: PageRange): Step<void> {
    return this.core.mappings.notify(mm, first, end);
  }
}
