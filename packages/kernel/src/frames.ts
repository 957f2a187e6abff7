import { IommuError } from './errors.js';
import type { Kernel } from './kernel.js';

/** Who owns which frame. */
export interface Frames {
  /**
   * 2^order contiguous zeroed frames, aligned to their size; the last freed one first.
   * @returns the first frame number
   * @throws IommuError ENOMEM when none is left, or when told to fail
   */
  alloc(owner: string, order?: number): number;
  /** Frees what {@link alloc} gave; a frame that is free already is a violation (INV-9). */
  free(pfn: number, order?: number): void;
  /** Why a touch of this frame would be wrong, or null. */
  story(pfn: number): string | null;
  /** The owner of a frame in use, or null. */
  ownerOf(pfn: number): string | null;
  /** Frames in use. */
  inUse(): number;
}

/** What the allocator needs of the memory it hands out. */
export interface FrameStore {
  readonly frameCount: number;
  indexOf(pfn: number): number;
  pfnOf(index: number): number;
  zero(index: number): void;
}

/** Frames, last freed first, so that a stale mapping hits its new owner at once. */
export class FrameAllocator implements Frames {
  readonly kernel: Kernel;
  readonly store: FrameStore;
  /** Odd while in use. */
  readonly generation: Uint32Array;
  /** Index in {@link owners} of the present or last owner; 0 if there never was one. */
  readonly owner: Uint32Array;
  readonly owners: string[] = ['nobody'];
  readonly ownerIndex = new Map<string, number>();
  /** Freed frames by order, as stacks of indexes. */
  readonly freed: number[][] = [];
  /** Freed by which task at which step. */
  readonly obituary = new Map<number, string>();
  readonly state = { next: 0, used: 0 };
  /** Frames whose generation or owner changed since the checkpoint. */
  readonly journal: { index: number; generation: number; owner: number }[] = [];
  tracking = false;

  constructor(kernel: Kernel, store: FrameStore) {
    this.kernel = kernel;
    this.store = store;
    this.generation = new Uint32Array(store.frameCount);
    this.owner = new Uint32Array(store.frameCount);
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.keepMap(this.obituary);
    kernel.checkpoints.add(this);
  }

  alloc(owner: string, order = 0): number {
    this.kernel.injection.allocate('frame');
    const index = this.freed[order]?.pop() ?? this.fresh(order);
    const number = this.ownerNumber(owner);
    for (let i = index; i < index + 2 ** order; i++) {
      this.change(i, number);
      this.store.zero(i);
    }
    this.state.used += 2 ** order;
    const pfn = this.store.pfnOf(index);
    this.kernel.observer.frame(pfn, owner, true);
    return pfn;
  }

  free(pfn: number, order = 0): void {
    const index = this.store.indexOf(pfn);
    if (index < 0 || this.generation[index]! % 2 === 0) {
      this.kernel.violate('INV-9', `frame 0x${pfn.toString(16)} is freed, but ${this.story(pfn) ?? 'is in use'}`);
      return;
    }
    const owner = this.owner[index]!;
    for (let i = index; i < index + 2 ** order; i++) this.change(i, owner);
    this.obituary.set(index, `${this.kernel.current?.name ?? 'none'} at step ${this.kernel.steps}`);
    (this.freed[order] ??= []).push(index);
    this.state.used -= 2 ** order;
    this.kernel.observer.frame(pfn, this.owners[owner]!, false);
  }

  story(pfn: number): string | null {
    const index = this.store.indexOf(pfn);
    if (index < 0) return 'it is no RAM';
    if (this.generation[index]! % 2 === 1) return null;
    if (this.generation[index] === 0) return 'it was never allocated';
    return `it was freed by ${this.obituary.get(index) ?? 'its owner'}; its last owner was ${this.owners[this.owner[index]!]}`;
  }

  ownerOf(pfn: number): string | null {
    const index = this.store.indexOf(pfn);
    return index >= 0 && this.generation[index]! % 2 === 1 ? this.owners[this.owner[index]!]! : null;
  }

  inUse(): number {
    return this.state.used;
  }

  change(index: number, owner: number): void {
    if (this.tracking) this.journal.push({ index, generation: this.generation[index]!, owner: this.owner[index]! });
    this.generation[index]!++;
    this.owner[index] = owner;
  }

  fresh(order: number): number {
    const size = 2 ** order;
    const index = Math.ceil(this.state.next / size) * size;
    if (index + size > this.store.frameCount) {
      throw new IommuError('ENOMEM', `no ${size} contiguous frames are left`, { remedy: 'describe more memory' });
    }
    this.state.next = index + size;
    return index;
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
      for (let i = this.journal.length - 1; i >= 0; i--) {
        const { index, generation, owner } = this.journal[i]!;
        this.generation[index] = generation;
        this.owner[index] = owner;
      }
      this.journal.length = 0;
      this.freed.length = 0;
      for (const stack of freed) this.freed.push([...stack]);
    };
  }
}
