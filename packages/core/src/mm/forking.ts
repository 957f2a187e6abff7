import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { PERM } from '../faults.js';
import { mmFork } from '../tracepoints.js';
import { newGather } from './gather.js';
import type { FoundLeaf } from './leaf-entries.js';
import type { Mm } from './mm.js';
import { PLACEHOLDER, placeholderNumber } from './placeholders.js';
import { isCopyOnWrite, type Vma } from './vma.js';

const EVERYTHING = 2n ** 64n - 1n;

/** fork: a copy of an address space whose private pages are shared until somebody writes (MM-12, MN-13). */
export class Forking {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** See {@link MmService.fork}. */
  *fork(parent: Mm): Coroutine<Mm> {
    const lock = yield* parent.mmapLock.write();
    const child = this.newMm(parent, lock);
    try {
      for (const vma of parent.vmas) yield* this.copyVma(parent, child, vma);
    } catch (error) {
      yield* this.core.mms.put(child);
      throw error;
    } finally {
      yield* this.flushParent(parent);
      lock.release();
    }
    const { trace } = this.core.kernel;
    if (trace.wants(mmFork)) trace.emit(mmFork, { space: parent.space, child: child.space });
    return child;
  }

  newMm(parent: Mm, lock: { release(): void }): Mm {
    try {
      return this.core.mms.duplicate(parent);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Shared pages of files come by faults; everything else is copied, entry by entry. */
  *copyVma(parent: Mm, child: Mm, vma: Vma): Coroutine<void> {
    this.core.vmas.copyTo(child, vma);
    if (isCopyOnWrite(vma)) yield* this.copyPrivate(parent, child, vma);
    else if (vma.backing === 'device') yield* this.copyPages(parent, child, vma, yield* this.pagesIn(parent, vma));
  }

  /** A mapping without pages has nothing to tell. */
  *copyPrivate(parent: Mm, child: Mm, vma: Vma): Coroutine<void> {
    const { first, end } = vma;
    const { mappings } = this.core;
    const pages = yield* this.pagesIn(parent, vma);
    if (pages.length === 0) return;
    yield* mappings.rangeStart(parent, first, end);
    try {
      yield* this.copyPages(parent, child, vma, pages);
    } finally {
      // The parent's entries lost rights, whether the copy is complete or not.
      if (mappings.endNotifies) yield* this.notifyParent(parent, BigInt(first) << 12n, BigInt(end) << 12n);
      yield* mappings.rangeEndOnly(parent, first, end);
    }
  }

  *copyPages(parent: Mm, child: Mm, vma: Vma, pages: readonly number[]): Coroutine<void> {
    for (const page of pages) {
      yield* this.core.pageTables.ensureTables(child, page);
      while (!(yield* this.copyPage(parent, child, vma, page))) yield* this.core.displaced.settle(parent, page);
    }
  }

  /** Under the lock: an entry of which a page is just taken away looks absent to others. */
  *pagesIn(parent: Mm, { first, end }: Vma): Coroutine<number[]> {
    const { leaves } = this.core;
    const lock = yield* parent.pageTableLock.acquire();
    const pages = leaves.select(parent, first, end, (page) => {
      return leaves.find(parent, page) !== null || leaves.placeholder(parent, page) !== PLACEHOLDER.NONE;
    });
    lock.release();
    return pages;
  }

  /** False: the page is being moved, and is copied when it has arrived. */
  *copyPage(parent: Mm, child: Mm, vma: Vma, page: number): Coroutine<boolean> {
    const { leaves, pageTables } = this.core;
    switch (leaves.placeholder(parent, page)) {
      case PLACEHOLDER.MOVING:
        return false;
      case PLACEHOLDER.SWAP:
        yield* this.copySlot(child, page, placeholderNumber(pageTables.look.entry));
        return true;
      default:
        return yield* this.copyLeaf(parent, child, vma, page);
    }
  }

  *copySlot(child: Mm, page: number, number: number): Coroutine<void> {
    this.core.swap.get(number);
    const lock = yield* child.pageTableLock.acquire();
    yield* this.core.leaves.setPlaceholder(child, page, PLACEHOLDER.SWAP, number);
    lock.release();
  }

  /** The two page-table locks are never held together. */
  *copyLeaf(parent: Mm, child: Mm, vma: Vma, page: number): Coroutine<boolean> {
    const { leaves, pageTables } = this.core;
    const shared = yield* this.share(parent, vma, page);
    if (shared === null) return leaves.placeholder(parent, page) === PLACEHOLDER.NONE;
    const { at } = pageTables.find(child, page);
    const { frame, perm, dirty } = shared;
    yield* pageTables.setLeaf(child, at, frame, perm, vma.backing === 'device', { dirty });
    return true;
  }

  /** The parent's page with one more user, and read-only if each may write its own; null when it went meanwhile. */
  *share(parent: Mm, vma: Vma, page: number): Coroutine<(FoundLeaf & { readonly dirty: boolean }) | null> {
    const { format, leaves, pageFrames, pageTables } = this.core;
    const lock = yield* parent.pageTableLock.acquire();
    try {
      if (isCopyOnWrite(vma)) yield* this.makeReadOnly(parent, page);
      const found = leaves.find(parent, page);
      if (found === null) return null;
      const dirty = format.isDirty(pageTables.look.entry);
      if (vma.backing !== 'device') pageFrames.get(found.frame);
      return { ...found, dirty };
    } finally {
      lock.release();
    }
  }

  /** Who shares a page may not write to it. */
  *makeReadOnly(parent: Mm, page: number): Coroutine<void> {
    const { format, leaves, pageTables } = this.core;
    const found = leaves.find(parent, page);
    if (found === null) return;
    const perm = format.permOf(pageTables.look.entry) & ~PERM.WRITE;
    yield* pageTables.protectRange(parent, page, page + format.pageFrames, perm, newGather());
  }

  /**
   * The parent's CPUs forget that they may write, before the child runs; from 6.6 on this flush tells secondary TLBs, of
   * the whole address space.
   */
  *flushParent(parent: Mm): Coroutine<void> {
    yield* this.core.tlb.flushMm(parent);
    if (!this.core.mappings.endNotifies) yield* this.notifyParent(parent, 0n, EVERYTHING);
  }

  /** Else a device goes on writing to a page that the child shares (MN-13). */
  notifyParent(parent: Mm, start: bigint, end: bigint): Coroutine<void> {
    return this.core.notifiers.invalidateRange(parent, start, end);
  }
}
