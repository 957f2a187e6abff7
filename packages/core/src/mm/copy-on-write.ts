import type { Coroutine, Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { FoundLeaf } from './leaf-entries.js';
import type { Mm } from './mm.js';
import { AGAIN } from './page-faults.js';
import { VMA_FLAG, type Vma } from './vma.js';

/** A write to a page that is present and may not be written yet (PF-5 c, d, e). Callers hold the mmap lock for read. */
export class CopyOnWrite {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** @returns FAULT_RESULT bits, or AGAIN @throws IommuError ENOMEM */
  *writeFault(mm: Mm, vma: Vma, page: number): Coroutine<number> {
    const { filePages, format, leaves, pageTables } = this.core;
    const found = leaves.find(mm, page)!;
    // PF-5e: no hardware marks the page dirty, so that the fault does.
    if (format.isWritableClean(pageTables.look.entry)) return yield* this.upgrade(mm, found, vma.perm);
    if ((vma.flags & VMA_FLAG.SHARED) !== 0) return yield* filePages.makeWritable(mm, vma, found);
    return this.isReusable(found.frame)
      ? yield* this.upgrade(mm, found, vma.perm)
      : yield* this.breakSharing(mm, vma, found);
  }

  /** PF-5d: nobody else has the page. */
  isReusable(frame: number): boolean {
    const { pageFrames, pageCache } = this.core;
    return pageFrames.users(frame) === 1 && !pageFrames.isZero(frame) && !pageCache.isCached(frame);
  }

  // ── the same page, with more rights (PF-5d, MN-14) ─────────────────────────────────────────────────────────────

  *upgrade(mm: Mm, found: FoundLeaf, perm: number): Coroutine<number> {
    const { leaves, pageTables } = this.core;
    const { page } = found;
    const lock = yield* mm.pageTableLock.acquire();
    try {
      if (!leaves.same(mm, found)) return AGAIN;
      yield* pageTables.upgradeLeaf(mm, page, perm);
      leaves.changed(mm, page);
      yield* this.flushUpgraded(mm, page);
      yield* this.notifyUpgrade(mm, page);
      return 0;
    } finally {
      lock.release();
    }
  }

  /** PF-5e: nobody caches an entry whose access flag is clear, so that there is nothing to flush (MN-13). */
  *markAccessed(mm: Mm, page: number): Coroutine<number> {
    const { leaves, pageTables } = this.core;
    const found = leaves.find(mm, page)!;
    const lock = yield* mm.pageTableLock.acquire();
    const same = leaves.same(mm, found);
    if (same) {
      yield* pageTables.upgradeLeaf(mm, page, found.perm);
      leaves.changed(mm, page);
    }
    lock.release();
    return same ? 0 : AGAIN;
  }

  /** CPUs and those who follow their broadcasts learn it: entries with the old rights make them fault for nothing. */
  flushUpgraded(mm: Mm, page: number): Coroutine<void> {
    return this.core.tlb.flushUpgraded(mm, page);
  }

  /** MN-14: who caches that the page may not be written must forget it, or the same fault comes for ever. */
  *notifyUpgrade(mm: Mm, page: number): Coroutine<void> {
    if (this.upgradeNotifies()) yield* this.core.mappings.notifyPage(mm, page);
  }

  upgradeNotifies(): boolean {
    const { upgrade = 'notify' } = this.core.settings;
    return upgrade === 'notify';
  }

  // ── a page of one's own (PF-5c) ────────────────────────────────────────────────────────────────────────────────

  /** The order of PF-5c: start, lock, compare, clear and flush, the new entry, the old page, end. */
  *breakSharing(mm: Mm, vma: Vma, found: FoundLeaf): Coroutine<number> {
    const { pageFrames, mappings, format } = this.core;
    const { page, frame } = found;
    const own = pageFrames.alloc(mm.pageOwner);
    // Whoever else has the page may let go of it meanwhile.
    pageFrames.get(frame);
    pageFrames.copy(frame, own);
    yield* mappings.rangeStart(mm, page, page + format.pageFrames);
    const replaced = yield* this.replaceIfSame(mm, vma, found, own);
    pageFrames.put(replaced ? frame : own);
    // The clear told secondary TLBs (MN-12).
    yield* mappings.rangeEndOnly(mm, page, page + format.pageFrames);
    pageFrames.put(frame);
    return replaced ? 0 : AGAIN;
  }

  *replaceIfSame(mm: Mm, vma: Vma, found: FoundLeaf, own: number): Coroutine<boolean> {
    const lock = yield* mm.pageTableLock.acquire();
    try {
      const same = this.core.leaves.same(mm, found);
      if (same) yield* this.replace(mm, vma, found.page, own);
      return same;
    } finally {
      lock.release();
    }
  }

  /** The old entry is gone everywhere before the new one can be used: nobody writes to one page and reads another. */
  *replace(mm: Mm, vma: Vma, page: number, own: number): Coroutine<void> {
    yield* this.clearAndFlush(mm, page);
    yield* this.setOwn(mm, vma, page, own);
  }

  /** The clear-and-flush step, which tells secondary TLBs too (MN-12, MN-13). */
  *clearAndFlush(mm: Mm, page: number): Coroutine<void> {
    yield* this.core.leaves.clearAndFlush(mm, page);
    yield* this.notifyClear(mm, page);
  }

  notifyClear(mm: Mm, page: number): Step<void> {
    return this.core.mappings.notifyPage(mm, page);
  }

  setOwn(mm: Mm, { perm }: Vma, page: number, own: number): Coroutine<void> {
    return this.core.leaves.store(mm, page, own, perm);
  }
}
