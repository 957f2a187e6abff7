import type { Coroutine } from '@iommukit/kernel';
import type { Mm } from './mm.js';
import { type Move, PageMover } from './page-mover.js';
import { PLACEHOLDER } from './placeholders.js';
import type { SwapSlot } from './swap.js';

/** Takes pages away when memory is short, from outside: to swap, or back to their file (MN-13, PF-10). */
export class Reclaim extends PageMover {
  /** See {@link MmService.reclaim}. */
  *reclaim(mm: Mm, page: number): Coroutine<boolean> {
    const { pageCache } = this.core;
    const lock = yield* pageCache.lock.acquire();
    try {
      const frame = this.movable(mm, page - (page % this.core.format.pageFrames));
      if (frame < 0) return false;
      return pageCache.isCached(frame) ? yield* this.dropCached(frame) : yield* this.swapOut(frame);
    } finally {
      lock.release();
    }
  }

  // ── pages of files ─────────────────────────────────────────────────────────────────────────────────────────────

  /** A clean page is on disk already: it goes without being written. */
  *dropCached(frame: number): Coroutine<boolean> {
    const { pageCache, pageFrames } = this.core;
    const move = yield* this.takeOut(frame);
    if (move === null) return false;
    if (this.isDirty(move)) pageCache.markDirty(frame);
    const { content, index } = pageCache.byFrame.get(frame)!;
    pageCache.writeBack(content, index);
    pageCache.remove(content, index);
    pageFrames.put(frame);
    yield* this.settle(move, () => this.leaveAbsent(frame));
    return true;
  }

  *leaveAbsent(frame: number): Coroutine<void> {
    this.core.pageFrames.put(frame);
  }

  // ── anonymous pages ────────────────────────────────────────────────────────────────────────────────────────────

  /** What is written is what the page held when nobody could write to it any more. */
  *swapOut(frame: number): Coroutine<boolean> {
    const { swap } = this.core;
    const fresh = swap.alloc();
    try {
      const move = yield* this.takeOut(frame);
      if (move === null) return false;
      const slot = this.slotFor(move, fresh);
      yield* this.settle(move, ({ mm, page }) => this.putSlot(mm, page, frame, slot));
      return true;
    } finally {
      swap.put(fresh.number);
    }
  }

  /** A page that is clean, and came from a slot, equals it still (PF-10). */
  slotFor(move: Move, fresh: SwapSlot): SwapSlot {
    const { swap } = this.core;
    const copy = swap.copyOf(move.frame);
    if (copy !== null && !this.isDirty(move)) return copy;
    swap.write(fresh, move.frame);
    return fresh;
  }

  *putSlot(mm: Mm, page: number, frame: number, slot: SwapSlot): Coroutine<void> {
    const { leaves, pageFrames, swap } = this.core;
    swap.get(slot.number);
    yield* leaves.setPlaceholder(mm, page, PLACEHOLDER.SWAP, slot.number);
    pageFrames.put(frame);
  }
}
