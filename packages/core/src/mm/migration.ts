import type { Coroutine } from '@iommukit/kernel';
import type { Mm } from './mm.js';
import { type Move, PageMover } from './page-mover.js';
import type { Leaf } from './page-tables.js';
import type { Place } from './reverse-map.js';

/** Moves pages to other frames, from outside (MN-13). */
export class Migration extends PageMover {
  /** See {@link MmService.migrate}. */
  *migrate(mm: Mm, page: number): Coroutine<boolean> {
    const { pageCache, pageFrames } = this.core;
    const lock = yield* pageCache.lock.acquire();
    try {
      const frame = this.movable(mm, page - (page % this.core.format.pageFrames));
      if (frame < 0) return false;
      const to = pageFrames.alloc(this.core.bus.frames.ownerOf(frame) ?? mm.pageOwner);
      yield* this.moveTo(frame, to);
      return true;
    } finally {
      lock.release();
    }
  }

  /** The copy is made when nobody can write to the page any more. */
  *moveTo(frame: number, to: number): Coroutine<void> {
    const { pageFrames } = this.core;
    // The old frame stays until the last of its entries is settled.
    pageFrames.get(frame);
    const move = yield* this.takeOut(frame);
    pageFrames.copy(frame, to);
    this.moveCached(frame, to);
    yield* this.putBack(move, to);
    pageFrames.put(to);
    pageFrames.put(frame);
  }

  /** The page cache, and what swap knows, go along. */
  moveCached(frame: number, to: number): void {
    const { pageCache, pageFrames, swap } = this.core;
    swap.moved(frame, to);
    if (!pageCache.isCached(frame)) return;
    pageCache.replace(frame, to);
    pageFrames.get(to);
    pageFrames.put(frame);
  }

  putBack(move: Move, to: number): Coroutine<void> {
    return this.settle(move, (place, leaf) => this.putPage(place, leaf, move.frame, to));
  }

  *putPage({ mm, page }: Place, { perm, dirty, accessed }: Leaf, from: number, to: number): Coroutine<void> {
    const { leaves, pageFrames } = this.core;
    pageFrames.get(to);
    yield* leaves.store(mm, page, to, perm, { dirty, accessed });
    pageFrames.put(from);
  }
}
