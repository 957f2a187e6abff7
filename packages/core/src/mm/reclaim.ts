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
      if (pageCache.isCached(frame)) yield* this.dropCached(frame);
      else yield* this.swapOut(frame);
      return true;
    } finally {
      lock.release();
    }
  }

  // ── pages of files ─────────────────────────────────────────────────────────────────────────────────────────────

  /** A clean page is on disk already: it goes without being written. */
  *dropCached(frame: number): Coroutine<void> {
    const { pageCache, pageFrames } = this.core;
    const move = yield* this.takeOut(frame);
    if (move.dirty) pageCache.markDirty(frame);
    const { content, index } = pageCache.byFrame.get(frame)!;
    pageCache.writeBack(content, index);
    pageCache.remove(content, index);
    yield* this.settle(move, () => this.leaveAbsent(frame));
    pageFrames.put(frame);
  }

  *leaveAbsent(frame: number): Coroutine<void> {
    this.core.pageFrames.put(frame);
  }

  // ── anonymous pages ────────────────────────────────────────────────────────────────────────────────────────────

  /** What is written is what the page held when nobody could write to it any more. */
  *swapOut(frame: number): Coroutine<void> {
    const { pageFrames, swap } = this.core;
    const fresh = swap.alloc();
    pageFrames.get(frame);
    const move = yield* this.takeOut(frame);
    const slot = this.slotFor(move, fresh);
    yield* this.settle(move, ({ mm, page }) => this.putSlot(mm, page, frame, slot));
    pageFrames.put(frame);
    swap.put(fresh.number);
  }

  /** A page that is clean, and came from a slot, equals it still (PF-10). */
  slotFor({ frame, dirty }: Move, fresh: SwapSlot): SwapSlot {
    const { swap } = this.core;
    const copy = swap.copyOf(frame);
    if (copy !== null && !dirty) return copy;
    swap.write(fresh, frame);
    return fresh;
  }

  *putSlot(mm: Mm, page: number, frame: number, slot: SwapSlot): Coroutine<void> {
    const { leaves, pageFrames, swap } = this.core;
    swap.get(slot.number);
    yield* leaves.setPlaceholder(mm, page, PLACEHOLDER.SWAP, slot.number);
    pageFrames.put(frame);
  }
}
