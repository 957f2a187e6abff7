import { assert, IommuError } from './errors.js';
import type { Kernel } from './kernel.js';
import { powerOfTwo } from './power-of-two.js';

/** Who owns which frame. */
export interface Frames {
  /**
   * 2^order contiguous zeroed frames, aligned to their size; the last freed one of this order first.
   * @returns the first frame number
   * @throws IommuError ENOMEM when none is left, or when told to fail
   */
  alloc(owner: string, order?: number): number;
  /** Frees what {@link alloc} gave, `order` as then; anything else is a violation (INV-9). */
  free(pfn: number, order?: number): void;
  /** Why a touch of this frame would be wrong, or null. */
  story(pfn: number): string | null;
  /** The owner of a frame in use, or null. */
  ownerOf(pfn: number): string | null;
  /** Frames in use. */
  inUse(): number;
  /** Every owner with the number of frames it has: the story of a leak. */
  holders(): readonly (readonly [owner: string, frames: number])[];
}

/** A run of contiguous frames: frame numbers and dense indexes count up together. */
export interface FrameRegion {
  readonly firstPfn: number;
  readonly frames: number;
  readonly firstIndex: number;
}

/** What the allocator needs of the memory it hands out. */
export interface FrameStore {
  /** Ascending, and dense in their indexes. */
  readonly regions: readonly FrameRegion[];
  readonly frameCount: number;
  indexOf(pfn: number): number;
  pfnOf(index: number): number;
  zero(index: number): void;
}

/** A frame as it was before a change. */
interface Before {
  readonly index: number;
  readonly generation: number;
  readonly owner: number;
  readonly head: number;
  readonly obituary: Obituary | undefined;
}

/** Which task freed a frame, and when. */
interface Obituary {
  readonly task: string;
  readonly step: number;
}

/** Blocks have at most 2^20 frames: 4 GiB. */
const MAX_ORDER = 20;

/**
 * Frames, last freed first, so that a stale mapping hits its new owner at once. Freed blocks are split when memory runs
 * out, and never merged.
 */
export class FrameAllocator implements Frames {
  readonly kernel: Kernel;
  readonly store: FrameStore;
  /** Odd while in use. */
  readonly generation: Uint32Array;
  /** Index in {@link owners} of the present or last owner; 0 if there never was one. */
  readonly owner: Uint32Array;
  /** Order + 1 at the first frame of a block in use, else 0. */
  readonly head: Uint8Array;
  readonly owners: string[] = ['nobody'];
  readonly ownerIndex = new Map<string, number>();
  /** Free blocks by order, as stacks of indexes. */
  readonly freed: number[][] = Array.from({ length: MAX_ORDER + 1 }, () => []);
  readonly obituaries = new Map<number, Obituary>();
  /** `next`: the first index that was never handed out. */
  readonly state = { next: 0, used: 0 };
  /** Frames as they were at the checkpoint, in order of change. */
  readonly journal: Before[] = [];
  tracking = false;

  constructor(kernel: Kernel, store: FrameStore) {
    this.kernel = kernel;
    this.store = store;
    this.generation = new Uint32Array(store.frameCount);
    this.owner = new Uint32Array(store.frameCount);
    this.head = new Uint8Array(store.frameCount);
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.add(this);
  }

  alloc(owner: string, order = 0): number {
    this.kernel.injection.allocate('frame');
    assert(order >= 0 && order <= MAX_ORDER, `blocks have 2^0 to 2^${MAX_ORDER} frames`);
    const index = this.take(order);
    const number = this.ownerNumber(owner);
    const pfn = this.store.pfnOf(index);
    for (let i = 0; i < powerOfTwo(order); i++) {
      this.change(index + i, number, i === 0 ? order + 1 : 0);
      this.store.zero(index + i);
      this.kernel.observer.frame(pfn + i, owner, true);
    }
    this.state.used += powerOfTwo(order);
    return pfn;
  }

  free(pfn: number, order = 0): void {
    const index = this.store.indexOf(pfn);
    if (index < 0 || this.head[index] !== order + 1) return this.refuse(pfn, index, order);
    const owner = this.owner[index]!;
    const obituary = { task: this.kernel.current?.name ?? 'none', step: this.kernel.steps };
    for (let i = 0; i < powerOfTwo(order); i++) {
      this.change(index + i, owner, 0);
      this.obituaries.set(index + i, obituary);
      this.kernel.observer.frame(pfn + i, this.owners[owner]!, false);
    }
    this.freed[order]!.push(index);
    this.state.used -= powerOfTwo(order);
  }

  refuse(pfn: number, index: number, order: number): void {
    const head = index < 0 ? 0 : this.head[index]!;
    const inside = head === 0 ? 'it lies inside a block' : `its block has 2^${head - 1} frames, not 2^${order}`;
    this.kernel.violate('INV-9', `frame 0x${pfn.toString(16)} is freed, but ${this.story(pfn) ?? inside}`);
  }

  story(pfn: number): string | null {
    const index = this.store.indexOf(pfn);
    if (index < 0) return 'it is no RAM';
    if (this.generation[index]! % 2 === 1) return null;
    if (this.generation[index] === 0) return 'it was never allocated';
    const { task, step } = this.obituaries.get(index)!;
    return `it was freed by ${task} at step ${step}; its last owner was ${this.owners[this.owner[index]!]}`;
  }

  ownerOf(pfn: number): string | null {
    const index = this.store.indexOf(pfn);
    return index >= 0 && this.generation[index]! % 2 === 1 ? this.owners[this.owner[index]!]! : null;
  }

  inUse(): number {
    return this.state.used;
  }

  holders(): readonly (readonly [owner: string, frames: number])[] {
    const counts = new Map<string, number>();
    for (let i = 0; i < this.state.next; i++) {
      if (this.generation[i]! % 2 === 0) continue;
      const owner = this.owners[this.owner[i]!]!;
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    return [...counts];
  }

  change(index: number, owner: number, head: number): void {
    if (this.tracking) {
      this.journal.push({
        index,
        generation: this.generation[index]!,
        owner: this.owner[index]!,
        head: this.head[index]!,
        obituary: this.obituaries.get(index),
      });
    }
    this.generation[index]!++;
    this.owner[index] = owner;
    this.head[index] = head;
  }

  take(order: number): number {
    const freed = this.freed[order]!.pop() ?? this.fresh(order) ?? this.split(order);
    if (freed !== null) return freed;
    throw new IommuError('ENOMEM', `no ${powerOfTwo(order)} contiguous frames are left`, {
      remedy: 'describe more memory',
    });
  }

  /** A block that was never handed out, or null. What alignment skips is kept for smaller blocks. */
  fresh(order: number): number | null {
    const size = powerOfTwo(order);
    for (const { firstPfn, frames, firstIndex } of this.store.regions) {
      const end = firstIndex + frames;
      const from = Math.max(this.state.next, firstIndex);
      const pfn = firstPfn + (from - firstIndex);
      const index = from + (Math.ceil(pfn / size) * size - pfn);
      if (index + size > end) continue;
      this.skip(this.state.next, index);
      this.state.next = index + size;
      return index;
    }
    return null;
  }

  /** Puts frames [from, to) below what was freed, in the largest blocks that their alignment allows. */
  skip(from: number, to: number): void {
    for (let index = from; index < to; ) {
      const region = this.store.regions.find((r) => index < r.firstIndex + r.frames)!;
      const end = Math.min(to, region.firstIndex + region.frames);
      const pfn = region.firstPfn + (index - region.firstIndex);
      let order = 0;
      while (order < MAX_ORDER && pfn % 2 ** (order + 1) === 0 && index + 2 ** (order + 1) <= end) order++;
      this.freed[order]!.unshift(index);
      index += powerOfTwo(order);
    }
  }

  /** The first part of a larger free block, or null; the rest is freed in halves. */
  split(order: number): number | null {
    for (let larger = order + 1; larger <= MAX_ORDER; larger++) {
      const index = this.freed[larger]!.pop();
      if (index === undefined) continue;
      for (let half = larger - 1; half >= order; half--) this.freed[half]!.push(index + 2 ** half);
      return index;
    }
    return null;
  }

  ownerNumber(owner: string): number {
    let number = this.ownerIndex.get(owner);
    if (number === undefined) {
      number = this.owners.push(owner) - 1;
      this.ownerIndex.set(owner, number);
    }
    return number;
  }

  /** Starts a journal; restoring plays it backwards. */
  save(): () => void {
    this.tracking = true;
    const freed = this.freed.map((stack) => [...stack]);
    return () => {
      for (let i = this.journal.length - 1; i >= 0; i--) this.undo(this.journal[i]!);
      this.journal.length = 0;
      for (let order = 0; order <= MAX_ORDER; order++) {
        const stack = this.freed[order]!;
        stack.length = 0;
        for (const index of freed[order]!) stack.push(index);
      }
    };
  }

  undo({ index, generation, owner, head, obituary }: Before): void {
    this.generation[index] = generation;
    this.owner[index] = owner;
    this.head[index] = head;
    if (obituary === undefined) this.obituaries.delete(index);
    else this.obituaries.set(index, obituary);
  }
}
