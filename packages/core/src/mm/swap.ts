import type { Coroutine, Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';

/** One page's worth of swap. */
export interface SwapSlot {
  readonly number: number;
  /** What was in the page. */
  bytes: Uint8Array;
  /** Entries that stand for it, and a page in memory that still equals it. */
  refs: number;
}

/** Where anonymous pages go that are reclaimed: slots of a swap device that is never full. */
export class Swap {
  readonly core: Core;
  readonly slab: Slab<SwapSlot>;
  readonly slots = new Map<number, SwapSlot>();
  /** Slots that a page in memory still equals, by the page: if it stays clean it needs no writing. */
  readonly copies = new Map<number, SwapSlot>();
  readonly state = { next: 1 };

  constructor(core: Core) {
    const { kernel } = core;
    this.core = core;
    this.slab = kernel.slab<SwapSlot>('swap slot', {
      number: 0,
      bytes: new Uint8Array(0),
      refs: 0,
    });
    kernel.checkpoints.keepMap(this.slots);
    kernel.checkpoints.keepMap(this.copies);
    kernel.checkpoints.keep(this.state);
  }

  /** An empty slot with one reference. @throws IommuError ENOMEM */
  alloc(): SwapSlot {
    const number = this.state.next;
    const slot = this.slab.alloc({ number, refs: 1 });
    this.slots.set(number, slot);
    this.state.next++;
    return slot;
  }

  /** One more reference, for a caller that has one. */
  get(number: number): void {
    this.slots.get(number)!.refs++;
  }

  /** Drops a reference; the last one empties the slot. */
  put(number: number): void {
    const slot = this.slots.get(number)!;
    if (--slot.refs > 0) return;
    this.slots.delete(number);
    this.slab.free(slot);
  }

  /** Writes a page out. */
  write(slot: SwapSlot, page: number): void {
    slot.bytes = new Uint8Array(4096 * this.core.format.pageFrames);
    this.core.bus.read(page * 4096, slot.bytes);
  }

  /** Reads a slot into a page. The caller has a reference of it. Sleeps (PF-5b). */
  *read(number: number, page: number): Coroutine<void> {
    const { bus, kernel } = this.core;
    const slot = this.slots.get(number)!;
    kernel.mightSleep(`for swap slot ${number}`);
    yield* kernel.point(page * 512, true);
    bus.write(page * 4096, slot.bytes);
  }

  /** The page equals the slot: clean, it can go without being written. Takes a reference of its own. */
  remember(page: number, number: number): void {
    const slot = this.slots.get(number)!;
    slot.refs++;
    this.copies.set(page, slot);
  }

  /** The slot that a page equals if it is clean, or null. */
  copyOf(page: number): SwapSlot | null {
    return this.copies.get(page) ?? null;
  }

  /** A page is in another frame now. */
  moved(from: number, to: number): void {
    const slot = this.copies.get(from);
    if (slot === undefined) return;
    this.copies.delete(from);
    this.copies.set(to, slot);
  }

  /** A page goes back, or no longer equals its slot. */
  pageGone(page: number): void {
    if (this.copies.size === 0) return;
    const slot = this.copies.get(page);
    if (slot === undefined) return;
    this.copies.delete(page);
    this.put(slot.number);
  }
}
