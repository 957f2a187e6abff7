import type { Coroutine, Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from './mm.js';
import type { Leaf } from './page-tables.js';
import { PLACEHOLDER, placeholderNumber } from './placeholders.js';
import type { Place } from './reverse-map.js';

/** An entry that a page is taken out of. */
export interface TakenFrom extends Place {
  /** What the entry was; null while the page is not taken, or when it had gone from there. */
  leaf: Leaf | null;
}

/** A page on its way: mapped nowhere, until {@link PageMover.settle}. */
export interface Move {
  /** In its placeholders. */
  readonly number: number;
  readonly frame: number;
  readonly places: readonly TakenFrom[];
}

/**
 * What migration and reclaim share: a page is taken out of every entry that maps it, wherever that is, and something else is
 * put there. They come from outside: without mmap locks, and after the last user too (MM-10). Who faults meanwhile waits.
 */
export abstract class PageMover {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /**
   * The frame of a page that can be moved, under the page lock: -1 when it is absent, registers, the shared page of zeros, or
   * in use by somebody who is about to copy it.
   */
  movable(mm: Mm, page: number): number {
    const { format, leaves, pageTables, pageFrames } = this.core;
    const found = leaves.find(mm, page);
    if (found === null || format.isDevice(pageTables.look.entry) || pageFrames.isZero(found.frame)) return -1;
    return this.isIdle(found.frame) ? found.frame : -1;
  }

  /** Every user of the page is an entry that can be found, or the page cache. */
  isIdle(frame: number): boolean {
    const { pageCache, pageFrames, reverseMap } = this.core;
    const known = reverseMap.placesOf(frame).length + (pageCache.isCached(frame) ? 1 : 0);
    return pageFrames.users(frame) === known;
  }

  /**
   * Takes the page out of every entry. The caller holds the page lock.
   * @returns null when somebody still has the page: an entry was copied or moved meanwhile. It is where it was then
   * @throws IommuError ENOMEM for a block that cannot be split; everything is as it was then
   */
  *takeOut(frame: number): Coroutine<Move | null> {
    const move = this.begin(frame);
    try {
      for (const place of move.places) place.leaf = yield* this.takeFrom(place, move);
      if (this.isComplete(move)) return move;
    } catch (error) {
      yield* this.putBack(move);
      throw error;
    }
    yield* this.putBack(move);
    return null;
  }

  /** Whoever exits meanwhile leaves its record, and the page its frame. */
  begin(frame: number): Move {
    const { displaced, mms, pageFrames, reverseMap } = this.core;
    const places = reverseMap.placesOf(frame).map((place) => ({ ...place, leaf: null }));
    for (const { mm } of places) mms.grab(mm);
    pageFrames.get(frame);
    return { number: displaced.beginMove(frame), frame, places };
  }

  /** Nobody has the page but its placeholders, the page cache, and us. */
  isComplete({ frame, places }: Move): boolean {
    const { pageCache, pageFrames } = this.core;
    const taken = places.filter(({ leaf }) => leaf !== null).length;
    return pageFrames.users(frame) <= taken + (pageCache.isCached(frame) ? 1 : 0) + 1;
  }

  /** Somebody wrote to the page by one of its entries: what hardware marked until the clear counts (PF-10). */
  isDirty({ places }: Move): boolean {
    return places.some(({ leaf }) => leaf?.dirty === true);
  }

  putBack(move: Move): Coroutine<void> {
    return this.settle(move, (place, leaf) => this.putPage(place, leaf, move.frame));
  }

  putPage({ mm, page }: Place, { perm, dirty, accessed }: Leaf, frame: number): Coroutine<void> {
    return this.core.leaves.store(mm, page, frame, perm, { dirty, accessed });
  }

  /** Clear, flush, notify, and a placeholder, under the page-table lock. Null: the page has gone from there. */
  *takeFrom({ mm, page }: Place, { frame, number }: Move): Coroutine<Leaf | null> {
    const { format, leaves, mappings } = this.core;
    yield* mappings.rangeStart(mm, page, page + format.pageFrames);
    const lock = yield* mm.pageTableLock.acquire();
    let leaf: Leaf | null = null;
    try {
      if (leaves.find(mm, page)?.frame === frame) {
        leaf = yield* leaves.clearAndFlush(mm, page);
        yield* this.notifyTaken(mm, page);
        yield* leaves.setPlaceholder(mm, page, PLACEHOLDER.MOVING, number);
      }
    } finally {
      lock.release();
      yield* mappings.rangeEndOnly(mm, page, page + format.pageFrames);
    }
    return leaf;
  }

  /** Else a device goes on using a page that somebody else gets (MN-13). */
  notifyTaken(mm: Mm, page: number): Step<void> {
    return this.core.mappings.notifyPage(mm, page);
  }

  /**
   * The end of a move: something takes the page's place, wherever nobody has unmapped it meanwhile; whoever waits goes on.
   */
  *settle({ number, frame, places }: Move, put: (place: Place, leaf: Leaf) => Coroutine<void>): Coroutine<void> {
    const { displaced, mms, pageFrames } = this.core;
    for (const place of places) {
      if (place.leaf !== null) yield* this.settleOne(place, place.leaf, number, put);
      mms.drop(place.mm);
    }
    displaced.endMove(number);
    pageFrames.put(frame);
  }

  *settleOne(
    { mm, page }: Place,
    leaf: Leaf,
    number: number,
    put: (place: Place, leaf: Leaf) => Coroutine<void>,
  ): Coroutine<void> {
    const lock = yield* mm.pageTableLock.acquire();
    if (this.standsFor(mm, page, number)) {
      yield* this.core.leaves.clearPlaceholder(mm, page);
      yield* put({ mm, page }, leaf);
    }
    lock.release();
  }

  standsFor(mm: Mm, page: number, number: number): boolean {
    const { leaves, pageTables } = this.core;
    return leaves.placeholder(mm, page) === PLACEHOLDER.MOVING && placeholderNumber(pageTables.look.entry) === number;
  }
}
