import { assert, type Coroutine, type Step } from '@iommukit/kernel';
import { PERM } from '../faults.js';
import { ENTRY, LEAF } from './address-space-format.js';
import { cover, type Gather } from './gather.js';
import { PLACEHOLDER, placeholderOf } from './placeholders.js';
import { type LeafOptions, leafFlags, TableBlocks } from './table-blocks.js';
import type { TableRoot } from './table-root.js';
import type { Look } from './table-walk.js';
import type { Vma } from './vma.js';

/** Neighbours that must keep their tables: pages below `floor` and from `ceiling` on. */
export interface Bounds {
  readonly floor: number;
  readonly ceiling: number;
}

/** A leaf, as it was when it was cleared. */
export interface Leaf {
  /** Its first frame. */
  readonly frame: number;
  /** PERM bits: WRITE also where hardware would have had to mark it dirty first. */
  readonly perm: number;
  readonly dirty: boolean;
  readonly accessed: boolean;
  readonly device: boolean;
}

const NO_OPTIONS: LeafOptions = {};

/**
 * The builder of page tables: real entries in memory that hardware walks meanwhile, so each store is a preemption
 * point. Upper levels change under the mmap lock only in one direction (absent to present), so a look needs no point.
 * Every method that changes leaves takes the page-table lock, unless the calling task holds it already.
 */
export class PageTables extends TableBlocks {
  // ── one page ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Publishes a page in an absent leaf entry. False: somebody was first, and nothing was stored.
   * @param at the entry, as {@link ensureTables} gives it
   */
  *setLeaf(
    root: TableRoot,
    at: number,
    frame: number,
    perm: number,
    device: boolean,
    options: LeafOptions = NO_OPTIONS,
  ): Coroutine<boolean> {
    const lock = yield* this.lock(root);
    const absent = this.isAbsentLeaf(at);
    if (absent) yield* this.storeLeaf(at, frame, perm, device, options);
    lock?.release();
    return absent;
  }

  /** A block is no absent page, though no page looks like one; nor is an entry that stands for a page elsewhere. */
  isAbsentLeaf(at: number): boolean {
    const { format, word } = this;
    const { leafLevel } = format;
    if (!this.isAbsent(at, leafLevel) || format.kindOf(word, leafLevel - 1) !== ENTRY.ABSENT) return false;
    return placeholderOf(word) === PLACEHOLDER.NONE;
  }

  storeLeaf(at: number, frame: number, perm: number, device: boolean, options: LeafOptions): Step<void> {
    this.format.encodeLeaf(frame, perm, device, this.word, this.format.leafLevel, leafFlags(options));
    return this.memory.store64(at, this.word[0]!, this.word[1]!);
  }

  /**
   * Clears the leaf of `page` in one atomic step, so that no flag that hardware sets is lost (PF-10); a block or a group
   * around it is split first. The caller flushes before the frame is used for anything else.
   * @returns what it was, or null when it was absent
   * @throws IommuError ENOMEM when a block cannot be split
   */
  *clearLeaf(root: TableRoot, page: number): Coroutine<Leaf | null> {
    const lock = yield* this.lock(root);
    try {
      yield* this.isolate(root, page, this.format.leafLevel);
      const { at, kind } = this.find(root, page);
      if (kind !== ENTRY.LEAF) return null;
      yield* this.clear(at);
      return this.leafOf(this.word);
    } finally {
      lock?.release();
    }
  }

  leafOf(entry: Uint32Array): Leaf {
    const { format } = this;
    return {
      frame: format.frameOf(entry),
      perm: format.permOf(entry) | (format.isWritableClean(entry) ? PERM.WRITE : 0),
      dirty: format.isDirty(entry),
      accessed: format.isAccessed(entry),
      device: format.isDevice(entry),
    };
  }

  /**
   * Stores a page in the entry that {@link clearLeaf} cleared, when no cache holds the old one any more (PF-5c). The
   * caller holds the page-table lock since before the clear, or the mmap lock for write.
   */
  *replaceLeaf(
    root: TableRoot,
    at: number,
    frame: number,
    perm: number,
    options: LeafOptions = NO_OPTIONS,
  ): Coroutine<void> {
    const stored = yield* this.setLeaf(root, at, frame, perm, false, options);
    assert(stored, 'a leaf is replaced only after it was cleared');
  }

  /**
   * Gives the leaf of `page` more rights, in one atomic store: same frame, accessed, and dirty if it may be written now
   * (PF-5d, PF-5e). Caches may go on denying the access until they are told (MN-14).
   * @returns false when it is absent, or has these rights already
   * @throws IommuError ENOMEM when a block cannot be split
   */
  *upgradeLeaf(root: TableRoot, page: number, perm: number): Coroutine<boolean> {
    const lock = yield* this.lock(root);
    try {
      yield* this.isolateGroup(root, page);
      const { at, kind } = this.find(root, page);
      if (kind !== ENTRY.LEAF) return false;
      return yield* this.upgrade(at, perm);
    } finally {
      lock?.release();
    }
  }

  upgrade(at: number, perm: number): Step<boolean> {
    const { format } = this;
    return this.rewrite(at, (entry) => {
      const flags = format.flagsOf(entry) & LEAF.CONTIGUOUS;
      format.setPerm(entry, format.permOf(entry) | perm);
      format.setFlags(entry, (perm & PERM.WRITE) === 0 ? flags : flags | LEAF.DIRTY);
    });
  }

  /**
   * Makes the leaf of `page` clean, in one atomic step: what was written back so far (PF-10). The caller flushes, so that
   * the next write is seen.
   * @returns true if it was dirty
   */
  *cleanLeaf(root: TableRoot, page: number): Coroutine<boolean> {
    const { format } = this;
    const lock = yield* this.lock(root);
    try {
      yield* this.isolate(root, page, format.leafLevel);
      const { at, kind } = this.find(root, page);
      if (kind !== ENTRY.LEAF) return false;
      return yield* this.rewrite(at, (entry) =>
        format.setFlags(entry, (format.flagsOf(entry) & ~LEAF.DIRTY) | LEAF.CLEAN),
      );
    } finally {
      lock?.release();
    }
  }

  *isolateGroup(root: TableRoot, page: number): Coroutine<void> {
    const { entry, kind, level } = this.find(root, page);
    if (kind === ENTRY.LEAF && this.format.isContiguous(entry)) yield* this.isolate(root, page, level);
  }

  // ── ranges ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Gives the leaves of pages [first, end) the rights `perm`, each in one atomic step (PF-10), except that none becomes
   * writable that was not: its frame may be shared ({@link upgradeLeaf} does that). What changed is covered by `gather`;
   * the caller flushes. Blocks and groups that stick out are split.
   * @throws IommuError ENOMEM when a block cannot be split
   */
  *protectRange(root: TableRoot, first: number, end: number, perm: number, gather: Gather): Coroutine<void> {
    const lock = yield* this.lock(root);
    try {
      for (let page = this.firstPresent(root, first, end); page < end; ) {
        yield* this.isolateWithin(root, page, first, end);
        const { at, level } = this.find(root, page);
        const next = this.nextEntry(page, level);
        if (yield* this.weaken(at, perm)) cover(gather, page, Math.min(next, end));
        page = this.firstPresent(root, next, end);
      }
    } finally {
      lock?.release();
    }
  }

  /** One leaf of {@link protectRange}. */
  weaken(at: number, perm: number): Step<boolean> {
    const { format } = this;
    return this.rewrite(at, (entry) => {
      const writable = format.isWritableClean(entry) || (format.permOf(entry) & PERM.WRITE) !== 0;
      format.setPerm(entry, writable ? perm : perm & ~PERM.WRITE);
    });
  }

  /** Splits what {@link sticksOut} of pages [first, end) at `page`. */
  *isolateWithin(root: TableRoot, page: number, first: number, end: number): Coroutine<void> {
    for (;;) {
      const look = this.find(root, page);
      if (!this.sticksOut(look, page, first, end)) return;
      if (this.format.isContiguous(look.entry)) yield* this.unfold(root, page, look.at, look.level);
      else yield* this.split(root, page, look.at, look.level);
    }
  }

  /** True if a leaf is a block or of a group that is not all within pages [first, end). */
  sticksOut(look: Look, page: number, first: number, end: number): boolean {
    if (look.kind !== ENTRY.LEAF) return false;
    if (look.level === this.format.leafLevel && !this.format.isContiguous(look.entry)) return false;
    const pages = this.pagesOf(look);
    const from = Math.floor(page / pages) * pages;
    return from < first || from + pages > end;
  }

  /** Pages of the leaf that was found, or of its group. */
  pagesOf({ level, entry }: Look): number {
    const { format } = this;
    return format.span(level) * (format.isContiguous(entry) ? format.groupEntries(level) : 1);
  }

  nextEntry(page: number, level: number): number {
    const span = this.format.span(level);
    return (Math.floor(page / span) + 1) * span;
  }

  /**
   * Clears the leaves of pages [first, end) of `vma`, and queues the pages that it owns. Blocks and groups that stick out
   * are split.
   * @throws IommuError ENOMEM when a block cannot be split
   */
  *clearRange(root: TableRoot, vma: Vma, first: number, end: number, gather: Gather): Coroutine<void> {
    const { format } = this;
    const perTable = format.span(format.leafLevel - 1);
    for (let page = first; page < end; ) {
      const look = this.find(root, page);
      if (look.kind === ENTRY.ABSENT && look.level < format.leafLevel) {
        page = this.nextEntry(page, look.level);
        continue;
      }
      const pages = look.level < format.leafLevel ? this.pagesOf(look) : perTable;
      const stop = Math.min(end, (Math.floor(page / pages) + 1) * pages);
      yield* this.clearLeaves(root, vma, page, stop, gather);
      page = stop;
    }
  }

  /** Clears pages [first, end), all of one table, of one block or of one group, under the page-table lock. */
  *clearLeaves(root: TableRoot, vma: Vma, first: number, end: number, gather: Gather): Coroutine<void> {
    const lock = yield* this.lock(root);
    try {
      for (let page = first; page < end; ) {
        if (this.sticksOut(this.find(root, page), page, first, end)) {
          yield* this.isolateWithin(root, page, first, end);
          this.find(root, page);
        }
        const { at, kind, level } = this.look;
        const next = this.nextEntry(page, level);
        if (kind === ENTRY.LEAF) {
          yield* this.clear(at);
          cover(gather, next - this.format.span(level), next);
          this.collect(vma, level, gather);
        }
        page = next;
      }
    } finally {
      lock?.release();
    }
  }

  /** Queues the pages of the leaf just cleared, which {@link word} holds: those of a block one by one. */
  collect(vma: Vma, level: number, gather: Gather): void {
    if (vma.backing === 'device') return;
    const { format, word } = this;
    const frame = format.frameOf(word, level);
    const dirty = vma.backing !== 'anonymous' && format.isDirty(word);
    for (let i = 0; i < format.span(level); i += format.pageFrames) {
      gather.pages.push(frame + i);
      if (dirty) gather.dirty.push(frame + i);
    }
  }

  // ── tables ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Unhooks and queues every table below the top that serves pages [first, end) and no page outside `bounds`; a table
   * goes before the one that points to it. Their leaves are clear.
   */
  freeTables(root: TableRoot, first: number, end: number, bounds: Bounds, gather: Gather): Coroutine<void> {
    return this.freeBelow(root.pgd, this.format.rootLevel, { first, end, bounds, gather });
  }

  *freeBelow(table: number, level: number, job: FreeJob): Coroutine<void> {
    const { format } = this;
    const span = format.span(level);
    const { first, end, bounds, gather } = job;
    for (let start = Math.floor(first / span) * span; start < end; start += span) {
      const inside = Math.max(start, first);
      const at = table + format.offset(inside, level);
      this.core.bus.load64(at, this.word);
      if (format.kindOf(this.word, level) !== ENTRY.TABLE) continue;
      const frame = format.tableOf(this.word);
      if (level + 1 < format.leafLevel) {
        yield* this.freeBelow(frame * 4096, level + 1, { ...job, first: inside, end: Math.min(end, start + span) });
      }
      if (start < bounds.floor || start + span > bounds.ceiling) continue;
      yield* this.clear(at);
      cover(gather, inside, inside + 1);
      gather.tables.push(frame);
    }
  }
}

interface FreeJob {
  readonly first: number;
  readonly end: number;
  readonly bounds: Bounds;
  readonly gather: Gather;
}
