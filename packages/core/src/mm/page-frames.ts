import { assert, powerOfTwo } from '@iommukit/kernel';
import type { Core } from '../core.js';

/**
 * Who uses which data page: entries of page tables, the page cache, whoever reads it at the moment. A page is named by its
 * first frame. A page with one user costs nothing here.
 */
export class PageFrames {
  readonly core: Core;
  /** Users beyond the first, by page. */
  readonly more = new Map<number, number>();
  /** Pages with users of blocks that go back as a whole, with the last one; by their first frame. */
  readonly blocks = new Map<number, number>();
  /** `zero`: the shared page of zeros, -1 while nobody maps it. `blockOrder`: of every block. */
  readonly state = { zero: -1, blockOrder: 0 };

  constructor(core: Core) {
    this.core = core;
    core.kernel.checkpoints.keepMap(this.more);
    core.kernel.checkpoints.keepMap(this.blocks);
    core.kernel.checkpoints.keep(this.state);
  }

  /** A zeroed page with one user. @throws IommuError ENOMEM */
  alloc(owner: string): number {
    return this.core.bus.frames.alloc(owner, this.core.format.pageOrder);
  }

  /** 2^order frames in a row, each of whose pages has one user; of one order a machine. @throws IommuError ENOMEM */
  allocBlock(owner: string, order: number): number {
    assert(this.blocks.size === 0 || order === this.state.blockOrder, 'blocks have one size');
    const frame = this.core.bus.frames.alloc(owner, order);
    this.blocks.set(frame, powerOfTwo(order) / this.core.format.pageFrames);
    this.state.blockOrder = order;
    return frame;
  }

  /** A block whose pages nobody uses yet goes back. */
  dropBlock(frame: number): void {
    this.blocks.delete(frame);
    this.core.bus.frames.free(frame, this.state.blockOrder);
  }

  /** One more user, for a caller that has one. */
  get(page: number): void {
    this.more.set(page, (this.more.get(page) ?? 0) + 1);
  }

  /** A user goes; with the last one the page goes back. */
  put(page: number): void {
    const more = this.more.size === 0 ? undefined : this.more.get(page);
    if (more === undefined) this.lastUser(page);
    else if (more === 1) this.more.delete(page);
    else this.more.set(page, more - 1);
  }

  /** Users of a page in use. */
  users(page: number): number {
    return 1 + (this.more.get(page) ?? 0);
  }

  /** The shared page of zeros, with one more user: its entry (PF-5a). @throws IommuError ENOMEM */
  getZero(): number {
    const { state } = this;
    if (state.zero < 0) state.zero = this.alloc('zero page');
    else this.get(state.zero);
    return state.zero;
  }

  /** True for the shared page of zeros: nobody writes to it. */
  isZero(page: number): boolean {
    return page === this.state.zero;
  }

  /** Copies a page's bytes, in one step. */
  copy(from: number, to: number): void {
    const { bus, format, kernel } = this.core;
    const bytes = new Uint8Array(4096 * format.pageFrames);
    bus.read(from * 4096, bytes);
    bus.write(to * 4096, bytes);
    if (kernel.listener === null) return;
    for (let word = 0; word < bytes.length / 8; word++) {
      kernel.touch(from * 512 + word, false);
      kernel.touch(to * 512 + word, true);
    }
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  lastUser(page: number): void {
    if (page === this.state.zero) this.state.zero = -1;
    this.core.swap.pageGone(page);
    if (this.blocks.size === 0 || !this.leaveBlock(page)) this.free(page);
  }

  free(page: number): void {
    this.core.bus.frames.free(page, this.core.format.pageOrder);
  }

  /** False: the page is of no block. */
  leaveBlock(page: number): boolean {
    const { blockOrder } = this.state;
    const first = page - (page % powerOfTwo(blockOrder));
    const left = this.blocks.get(first);
    if (left === undefined) return false;
    if (left > 1) this.blocks.set(first, left - 1);
    else {
      this.blocks.delete(first);
      this.core.bus.frames.free(first, blockOrder);
    }
    return true;
  }
}
