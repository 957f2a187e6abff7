import type { Coroutine } from '@iommukit/kernel';
import type { Mm } from './mm.js';
import { PageMover } from './page-mover.js';
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
      try {
        return yield* this.moveTo(frame, to);
      } finally {
        // Its entries have it, if it was moved.
        pageFrames.put(to);
      }
    } finally {
      lock.release();
    }
  }

  /** The copy is made when nobody can write to the page any more. */
  *moveTo(frame: number, to: number): Coroutine<boolean> {
    const move = yield* this.takeOut(frame);
    if (move === null) return false;
    this.core.pageFrames.copy(frame, to);
    this.moveCached(frame, to);
    yield* this.settle(move, (place, leaf) => this.putMoved(place, leaf, frame, to));
    return true;
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

  *putMoved(place: Place, leaf: Leaf, frame: number, to: number): Coroutine<void> {
    const { pageFrames } = this.core;
    pageFrames.get(to);
    yield* this.putPage(place, leaf, to);
    pageFrames.put(frame);
  }
}
