import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from './mm.js';
import type { Leaf } from './page-tables.js';
import { PLACEHOLDER, placeholderNumber } from './placeholders.js';
import type { Place } from './reverse-map.js';

/** A page that is mapped nowhere for the moment. */
export interface Move {
  /** In its placeholders. */
  readonly number: number;
  readonly frame: number;
  readonly places: readonly (Place & { readonly leaf: Leaf })[];
  /** Somebody wrote to it by one of its entries (PF-10). */
  readonly dirty: boolean;
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
   * @throws IommuError ENOMEM for a block that cannot be split; everything is as it was then
   */
  *takeOut(frame: number): Coroutine<Move> {
    const { displaced, mms, reverseMap } = this.core;
    const number = displaced.beginMove(frame);
    const places: (Place & { readonly leaf: Leaf })[] = [];
    try {
      for (const place of reverseMap.placesOf(frame)) {
        mms.grab(place.mm);
        const leaf = yield* this.takeFrom(place, frame, number);
        if (leaf === null) mms.drop(place.mm);
        else places.push({ ...place, leaf });
      }
    } catch (error) {
      yield* this.settle({ number, frame, places, dirty: false }, (place, leaf) => this.stay(place, leaf, frame));
      throw error;
    }
    return { number, frame, places, dirty: places.some(({ leaf }) => leaf.dirty) };
  }

  /** The page goes back to where it was. */
  stay({ mm, page }: Place, { perm, dirty, accessed }: Leaf, frame: number): Coroutine<void> {
    return this.core.leaves.store(mm, page, frame, perm, { dirty, accessed });
  }

  /** Clear, flush, notify, and a placeholder, under the page-table lock. Null: the page has gone from there. */
  *takeFrom({ mm, page }: Place, frame: number, number: number): Coroutine<Leaf | null> {
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
    }
    yield* mappings.rangeEndOnly(mm, page, page + format.pageFrames);
    return leaf;
  }

  /** Else a device goes on using a page that somebody else gets (MN-13). */
  notifyTaken(mm: Mm, page: number): Coroutine<void> {
    return this.core.mappings.notifyPage(mm, page);
  }

  /** Something else takes the page's place, wherever nobody has unmapped it meanwhile; whoever waits goes on. */
  *settle({ number, places }: Move, put: (place: Place, leaf: Leaf) => Coroutine<void>): Coroutine<void> {
    const { displaced, mms } = this.core;
    for (const { mm, page, leaf } of places) {
      const lock = yield* mm.pageTableLock.acquire();
      if (this.standsFor(mm, page, number)) {
        yield* this.core.leaves.clearPlaceholder(mm, page);
        yield* put({ mm, page }, leaf);
      }
      lock.release();
      mms.drop(mm);
    }
    displaced.endMove(number);
  }

  standsFor(mm: Mm, page: number, number: number): boolean {
    const { leaves, pageTables } = this.core;
    return leaves.placeholder(mm, page) === PLACEHOLDER.MOVING && placeholderNumber(pageTables.look.entry) === number;
  }
}
