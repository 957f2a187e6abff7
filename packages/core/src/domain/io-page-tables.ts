import { type Coroutine, IommuError, Spinlock } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { type AddressSpaceFormat, ENTRY, LEAF } from '../mm/address-space-format.js';
import { PageTables } from '../mm/page-tables.js';
import type { TableRoot } from '../mm/table-root.js';
import { type IoGather, newIoGather, unhooked, unmapped } from './io-gather.js';

/** What a domain's owner brings to its tables. */
export interface IoPageTablesOptions {
  /** How the tables are written; the kernel's own format if left out. */
  readonly format?: AddressSpaceFormat;
  /**
   * 2: hardware copes when a block and smaller leaves of the same size in sum change places, so that splitting interrupts
   * nobody. Less: break-before-make (smmuv3.md 3.6, BBML).
   */
  readonly bbml?: 0 | 1 | 2;
  /**
   * Drops pages [first, end) from every cache, walk caches too, in the middle of a break-before-make. Runs under the
   * tables' spinlock.
   */
  flush(root: TableRoot, first: number, end: number): Coroutine<void>;
}

/** Where a leaf goes: its level, and whether a whole contiguous group does. */
interface Fit {
  readonly level: number;
  readonly pages: number;
  readonly group: boolean;
}

/**
 * Page tables of DMA domains, which map what a driver asks for: with the largest blocks and contiguous groups that fit.
 * Page and frame numbers are address / 4096. The tables own no data frames. Calls that run at the same time are about
 * different pages, as those of DMA interfaces are; they may share tables, blocks and groups.
 */
export class IoPageTables extends PageTables {
  readonly options: IoPageTablesOptions;

  constructor(core: Core, options: IoPageTablesOptions) {
    super(core, options.format);
    this.options = options;
  }

  /**
   * Tables that map nothing.
   * @param owner of its table frames, for reports: `domain 3 page table`
   * @throws IommuError ENOMEM
   */
  create(owner: string): TableRoot {
    const { kernel, bus } = this.core;
    const pgd = bus.frames.alloc(owner, this.format.rootOrder) * 4096;
    return { pgd, tableOwner: owner, pageTableLock: new Spinlock(kernel, 'io-page-table') };
  }

  /** Frees all tables. No hardware can walk them any more. */
  destroy(root: TableRoot): void {
    const { frames } = this.core.bus;
    const gather = newIoGather();
    this.queueBelow(root.pgd, this.format.rootLevel, 0, this.format.pageEnd, gather);
    this.release(gather);
    frames.free(root.pgd / 4096, this.format.rootOrder);
  }

  // ── map ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Maps `pages` pages from `page` on to the frames from `frame` on; all of them or none.
   * @param perm PERM bits; @param device registers, not memory
   * @throws IommuError EINVAL for what is not aligned to the format's pages or too large for it, EEXIST, ENOMEM
   */
  *map(root: TableRoot, page: number, frame: number, pages: number, perm: number, device = false): Coroutine<void> {
    this.requireRange(page, pages);
    this.requireFrames(frame, pages);
    const end = page + pages;
    const present = this.firstPresent(root, page, end);
    if (present < end) throw this.exists(present);
    let done = page;
    try {
      while (done < end) done += yield* this.mapNext(root, done, frame + done - page, end - done, perm, device);
    } catch (error) {
      yield* this.undo(root, page, done);
      throw error;
    }
  }

  /** One leaf or one contiguous group. @returns its pages */
  *mapNext(
    root: TableRoot,
    page: number,
    frame: number,
    left: number,
    perm: number,
    device: boolean,
  ): Coroutine<number> {
    const { format } = this;
    const { level, pages, group } = this.fit(page, frame, left);
    yield* this.ensureTables(root, page, level);
    const present = this.firstPresent(root, page, page + pages);
    if (present < page + pages) throw this.exists(present);
    for (let i = 0; i < pages; i += format.span(level)) {
      yield* this.dropEmptyTable(root, page + i, level);
      const { at } = this.find(root, page + i);
      format.encodeLeaf(frame + i, perm, device, this.word, level, group ? LEAF.CONTIGUOUS : 0);
      yield* this.memory.store64(at, this.word[0]!, this.word[1]!);
    }
    return pages;
  }

  /** The largest block or contiguous group that page and frame are aligned to, and that is not too large. */
  fit(page: number, frame: number, left: number): Fit {
    const { format } = this;
    for (let level = format.rootLevel; level <= format.leafLevel; level++) {
      const orders = format.leafOrders(level);
      for (let i = orders.length - 1; i >= 0; i--) {
        const pages = 2 ** orders[i]!;
        if (pages <= left && page % pages === 0 && frame % pages === 0) return { level, pages, group: i === 1 };
      }
    }
    throw this.misaligned(page);
  }

  /** A table without entries makes room for a block; it goes when no walk cache knows it any more. */
  *dropEmptyTable(root: TableRoot, page: number, level: number): Coroutine<void> {
    if (level === this.format.leafLevel) return;
    const frame = yield* this.takeTable(root, page, level);
    if (frame < 0) return;
    const span = this.format.span(level);
    const gather = newIoGather();
    gather.tables.push(frame);
    this.queueBelow(frame * 4096, level + 1, page, page + span, gather);
    yield* this.flushBroken(root, page, page + span);
    this.release(gather);
  }

  /** Takes back what a failing {@link map} mapped. */
  *undo(root: TableRoot, first: number, end: number): Coroutine<void> {
    if (first === end) return;
    const gather = yield* this.unmap(root, first, end - first);
    yield* this.flushBroken(root, first, end);
    this.release(gather);
  }

  // ── unmap ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Clears the entries of `pages` pages from `page` on. What is not mapped is skipped; blocks and groups that stick out are
   * split. The caller flushes what the result says, and then {@link release}s it.
   * @throws IommuError EINVAL for what is not aligned to the format's pages, ENOMEM when a block cannot be split: then
   * nothing but the splits made so far has changed
   */
  *unmap(root: TableRoot, page: number, pages: number): Coroutine<IoGather> {
    this.requireRange(page, pages);
    const gather = newIoGather();
    const end = page + pages;
    // Only the ends can stick out: splitting them first leaves nothing half done.
    yield* this.isolateEnds(root, page, end);
    yield* this.unmapBelow(root.pgd, this.format.rootLevel, page, end, gather);
    return gather;
  }

  *isolateEnds(root: TableRoot, first: number, end: number): Coroutine<void> {
    const lock = yield* this.lock(root);
    try {
      yield* this.isolateWithin(root, first, first, end);
      yield* this.isolateWithin(root, end - 1, first, end);
    } finally {
      lock?.release();
    }
  }

  *unmapBelow(table: number, level: number, first: number, end: number, gather: IoGather): Coroutine<void> {
    const { format, word } = this;
    const span = format.span(level);
    for (let page = first; page < end; page = this.nextEntry(page, level)) {
      const at = table + format.offset(page, level);
      this.core.bus.load64(at, word);
      const kind = format.kindOf(word, level);
      if (kind === ENTRY.ABSENT) continue;
      const stop = Math.min(end, this.nextEntry(page, level));
      if (kind === ENTRY.TABLE && stop - page < span) {
        yield* this.unmapBelow(format.tableOf(word) * 4096, level + 1, page, stop, gather);
        continue;
      }
      yield* this.clear(at);
      if (kind === ENTRY.LEAF) unmapped(gather, page, span);
      else {
        const frame = format.tableOf(word);
        unhooked(gather, frame, page, stop);
        this.queueBelow(frame * 4096, level + 1, page, stop, gather);
      }
    }
  }

  /** Queues the tables below one that no walk from the top reaches, and counts their leaves in pages [first, end). */
  queueBelow(table: number, level: number, first: number, end: number, gather: IoGather): void {
    const { format } = this;
    const span = format.span(level);
    const entry = new Uint32Array(2);
    for (let page = first; page < end; page += span) {
      this.core.bus.load64(table + format.offset(page, level), entry);
      const kind = format.kindOf(entry, level);
      if (kind === ENTRY.LEAF) unmapped(gather, page, span);
      if (kind !== ENTRY.TABLE) continue;
      const frame = format.tableOf(entry);
      gather.tables.push(frame);
      this.queueBelow(frame * 4096, level + 1, page, page + span, gather);
    }
  }

  /** Frees the tables that an {@link unmap} unhooked, after the flush. */
  release(gather: IoGather): void {
    for (const frame of gather.tables.splice(0)) this.core.bus.frames.free(frame, this.format.tableOrder);
  }

  /** The frame that `page` is mapped to, or -1. */
  frameOf(root: TableRoot, page: number): number {
    const look = this.find(root, page);
    return look.kind === ENTRY.LEAF ? this.frameAt(look, page) : -1;
  }

  // ── blocks ─────────────────────────────────────────────────────────────────────────────────────────────────────

  override flushBroken(root: TableRoot, first: number, end: number): Coroutine<void> {
    return this.options.flush(root, first, end);
  }

  override split(root: TableRoot, page: number, at: number, level: number): Coroutine<void> {
    return this.options.bbml === 2 ? this.splitInPlace(root, at, level) : super.split(root, page, at, level);
  }

  override unfold(root: TableRoot, page: number, at: number, level: number): Coroutine<void> {
    return this.options.bbml === 2 ? this.unfoldInPlace(at, level) : super.unfold(root, page, at, level);
  }

  /** The table takes the block's place in one step, unless hardware has set a flag in the block meanwhile (PF-10). */
  *splitInPlace(root: TableRoot, at: number, level: number): Coroutine<void> {
    const { format } = this;
    const { bus, kernel } = this.core;
    const table = bus.frames.alloc(root.tableOwner, format.tableOrder);
    const block = new Uint32Array(2);
    do {
      bus.load64(at, block);
      this.fillTable(table, level, block[0]!, block[1]!);
      yield* kernel.point(Math.floor(at / 8), true);
      format.encodeTable(table, this.word);
    } while (!bus.swap64(at, block, this.word[0]!, this.word[1]!));
  }

  *unfoldInPlace(at: number, level: number): Coroutine<void> {
    const { format } = this;
    const bytes = format.groupEntries(level) * 8;
    const base = Math.floor(at / bytes) * bytes;
    for (let member = base; member < base + bytes; member += 8) {
      yield* this.rewrite(member, (entry) => format.setFlags(entry, format.flagsOf(entry) & ~LEAF.CONTIGUOUS));
    }
  }

  // ── arguments ──────────────────────────────────────────────────────────────────────────────────────────────────

  requireRange(page: number, pages: number): void {
    const { pageFrames } = this.format;
    if (!(pages > 0) || page % pageFrames !== 0 || pages % pageFrames !== 0) throw this.misaligned(page);
    this.requireInside(page);
    this.requireInside(page + pages - 1);
  }

  requireFrames(frame: number, pages: number): void {
    const { pageFrames, outputBits } = this.format;
    if (frame % pageFrames !== 0) throw this.misaligned(frame);
    if (frame >= 0 && frame + pages <= 2 ** (outputBits - 12)) return;
    throw new IommuError('EINVAL', `frame 0x${frame.toString(16)} does not fit ${this.format.name} tables`);
  }

  misaligned(page: number): IommuError {
    return new IommuError('EINVAL', `0x${page.toString(16)} begins no whole pages of ${this.format.name} tables`, {
      remedy: `give multiples of ${this.format.pageFrames * 4} KiB`,
    });
  }

  exists(page: number): IommuError {
    return new IommuError('EEXIST', `page 0x${page.toString(16)} is mapped already`, { remedy: 'unmap it first' });
  }
}
