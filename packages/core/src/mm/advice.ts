import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { newGather } from './gather.js';
import type { Mm } from './mm.js';
import { type PageRange, rangeOf } from './page-range.js';
import type { Vma } from './vma.js';

/** madvise (MN-13). */
export class Advice {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** See {@link MmService.madviseDontneed}. */
  *dontneed(mm: Mm, address: bigint, bytes: number): Coroutine<void> {
    const range = rangeOf(address, bytes, this.core.format);
    // For read only: no mapping changes, and entries have a lock of their own.
    const lock = yield* mm.mmapLock.read();
    try {
      for (const vma of mm.vmas) {
        const first = Math.max(vma.first, range.first);
        const end = Math.min(vma.end, range.end);
        if (first < end) yield* this.zap(mm, vma, { first, end });
      }
      this.core.vmas.requireCovered(mm, range);
    } finally {
      lock.release();
    }
  }

  /** Entries, then notifications, then caches, and only then the pages (MN-18). */
  *zap(mm: Mm, vma: Vma, range: PageRange): Coroutine<void> {
    const { mappings } = this.core;
    const gather = newGather();
    yield* mappings.rangeStart(mm, range.first, range.end);
    yield* mappings.clear(mm, vma, range, gather);
    yield* mappings.rangeEnd(mm, range.first, range.end);
    yield* mappings.finishGather(mm, gather);
  }
}
