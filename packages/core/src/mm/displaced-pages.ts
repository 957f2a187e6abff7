import { type Coroutine, WaitQueue } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from './mm.js';
import { PLACEHOLDER, type PlaceholderKind, placeholderNumber } from './placeholders.js';

/** Pages that are elsewhere while an entry stands for them: in a swap slot, or on their way to another frame. */
export class DisplacedPages {
  readonly core: Core;
  /** Pages that are being moved: the frame that they come from, by the number in their placeholders. */
  readonly moves = new Map<number, number>();
  readonly state = { next: 1 };
  readonly arrived: WaitQueue;

  constructor(core: Core) {
    const { kernel } = core;
    this.core = core;
    this.arrived = new WaitQueue(kernel, 'a page that is being moved');
    kernel.checkpoints.keepMap(this.moves);
    kernel.checkpoints.keep(this.state);
  }

  /** A page is about to be moved. @returns the number for its placeholders */
  beginMove(frame: number): number {
    const number = this.state.next++;
    this.moves.set(number, frame);
    return number;
  }

  /** It has arrived, or stays where it was: who waits goes on. */
  endMove(number: number): void {
    this.moves.delete(number);
    this.core.kernel.touch(this.arrived.footprint, true);
    this.arrived.wake();
  }

  /** Waits until `page` is not being moved. */
  *settle(mm: Mm, page: number): Coroutine<void> {
    if (mm.placeholders === 0) return;
    const { leaves } = this.core;
    yield* this.arrived.wait(() => leaves.placeholder(mm, page) !== PLACEHOLDER.MOVING);
  }

  /** Waits until no page of [first, end) is being moved. @returns true if one was */
  *settleRange(mm: Mm, first: number, end: number): Coroutine<boolean> {
    if (mm.placeholders === 0) return false;
    const pages = this.standing(mm, first, end, PLACEHOLDER.MOVING);
    for (const page of pages) yield* this.settle(mm, page);
    return pages.length > 0;
  }

  /** What stands for pages [first, end), all cleared of leaves, goes with its references. */
  *drop(mm: Mm, first: number, end: number): Coroutine<void> {
    if (mm.placeholders === 0) return;
    const { leaves, pageTables } = this.core;
    const lock = yield* mm.pageTableLock.acquire();
    for (const page of this.standing(mm, first, end)) {
      const kind = leaves.placeholder(mm, page);
      const number = placeholderNumber(pageTables.look.entry);
      yield* leaves.clearPlaceholder(mm, page);
      this.dropOne(kind, number);
    }
    lock.release();
  }

  /** Pages of [first, end) for which something stands: of one kind, or of any. */
  standing(mm: Mm, first: number, end: number, only?: PlaceholderKind): number[] {
    return this.core.leaves.select(mm, first, end, (page) => {
      const kind = this.core.leaves.placeholder(mm, page);
      return only === undefined ? kind !== PLACEHOLDER.NONE : kind === only;
    });
  }

  dropOne(kind: PlaceholderKind, number: number): void {
    if (kind === PLACEHOLDER.SWAP) this.core.swap.put(number);
    else this.core.pageFrames.put(this.moves.get(number)!);
  }
}
