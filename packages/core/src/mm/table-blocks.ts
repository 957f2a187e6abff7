import type { Coroutine, Step } from '@iommukit/kernel';
import { ENTRY, LEAF } from './address-space-format.js';
import { cover, newGather } from './gather.js';
import type { Mm } from './mm.js';
import type { TableRoot } from './table-root.js';
import { type Look, TableWalk } from './table-walk.js';

/** How a leaf is made. */
export interface LeafOptions {
  /**
   * True: written to, though it may be read-only. False: clean; a write marks it dirty. Left out: dirty if it may be
   * written.
   */
  readonly dirty?: boolean | undefined;
  /** False: the access flag is clear (default true). */
  readonly accessed?: boolean | undefined;
}

/** {@link LEAF} bits of {@link LeafOptions}. */
export function leafFlags({ dirty, accessed }: LeafOptions): number {
  const use = dirty === undefined ? 0 : dirty ? LEAF.DIRTY : LEAF.CLEAN;
  return accessed === false ? use | LEAF.OLD : use;
}

/** Tables and leaves above single pages: making tables, blocks, contiguous groups, and taking them apart. */
export class TableBlocks extends TableWalk {
  // ── making ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes the tables that lead to `page`.
   * @param level where to stop: the level of its pages, or of a block
   * @returns the physical address of its entry there, or of the leaf that is above it
   * @throws IommuError ENOMEM; tables made before stay, and go with the address space. EINVAL: no user address
   */
  ensureTables(root: TableRoot, page: number, level = this.format.leafLevel): Step<number> {
    const look = this.find(root, page);
    return this.isLast(look, level) ? this.core.kernel.done(look.at) : this.addTables(root, page, level);
  }

  *addTables(root: TableRoot, page: number, level: number): Coroutine<number> {
    this.requireInside(page);
    for (;;) {
      const look = this.find(root, page);
      if (this.isLast(look, level)) return look.at;
      yield* this.addTable(root, look.at, look.level);
    }
  }

  /** No table is to be made below the entry. */
  isLast({ level, kind }: Look, stop: number): boolean {
    return level >= stop || kind === ENTRY.LEAF;
  }

  /** Publishes a fresh table in an absent entry, unless somebody was first. */
  *addTable(root: TableRoot, at: number, level: number): Coroutine<void> {
    const { frames } = this.core.bus;
    const frame = frames.alloc(root.tableOwner, this.format.tableOrder);
    const lock = yield* this.lock(root);
    const absent = this.isAbsent(at, level);
    if (absent) {
      this.format.encodeTable(frame, this.word);
      yield* this.memory.store64(at, this.word[0]!, this.word[1]!);
    }
    lock?.release();
    if (!absent) frames.free(frame, this.format.tableOrder);
  }

  /**
   * Publishes a block over what is absent: `frame` is aligned to it. False: a leaf or a table is there, and nothing was
   * stored.
   * @param level where it stands; that of the smallest blocks if left out
   * @throws IommuError ENOMEM
   */
  *setBlock(
    root: TableRoot,
    page: number,
    frame: number,
    perm: number,
    device: boolean,
    options: LeafOptions & { readonly level?: number } = {},
  ): Coroutine<boolean> {
    const { level = this.format.leafLevel - 1 } = options;
    yield* this.ensureTables(root, page, level);
    const lock = yield* this.lock(root);
    const at = this.absentAt(root, page, level);
    if (at >= 0) {
      this.format.encodeLeaf(frame, perm, device, this.word, level, leafFlags(options));
      yield* this.memory.store64(at, this.word[0]!, this.word[1]!);
    }
    lock?.release();
    return at >= 0;
  }

  /** The entry of `page` at `level`, if nothing is there; else -1. */
  absentAt(root: TableRoot, page: number, level: number): number {
    const look = this.find(root, page);
    return look.level === level && look.kind === ENTRY.ABSENT ? look.at : -1;
  }

  // ── taking apart ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes the table that serves `page` off its entry at `level`, in one step: a block may take its place once every cache
   * was flushed, walk caches too. Its entries are as they were; it is the caller's to free.
   * @returns its frame, or -1 when no table is there
   */
  *takeTable(root: TableRoot, page: number, level = this.format.leafLevel - 1): Coroutine<number> {
    const lock = yield* this.lock(root);
    const at = this.tableAt(root, page, level);
    let frame = -1;
    if (at >= 0) {
      yield* this.clear(at);
      frame = this.format.tableOf(this.word);
    }
    lock?.release();
    return frame;
  }

  /** The entry at `level` through which `page` is found, if it is a table's; else -1. */
  tableAt(root: TableRoot, page: number, level: number): number {
    const { format } = this;
    let table = root.pgd;
    for (let above = format.rootLevel; ; above++) {
      const at = table + format.offset(page, above);
      this.core.bus.load64(at, this.word);
      if (format.kindOf(this.word, above) !== ENTRY.TABLE) return -1;
      if (above === level) return at;
      table = format.tableOf(this.word) * 4096;
    }
  }

  /**
   * Makes `page` a leaf of its own, of the smallest size: blocks above it become tables, a contiguous group single
   * entries, with the same rights and flags, and dirty where any of them was.
   * @throws IommuError ENOMEM
   */
  *splitBlock(root: TableRoot, page: number): Coroutine<void> {
    const lock = yield* this.lock(root);
    try {
      yield* this.isolate(root, page, this.format.leafLevel);
    } finally {
      lock?.release();
    }
  }

  /** Splits until the leaf of `page` stands at `level` or below, and in no group. The caller holds the lock. */
  *isolate(root: TableRoot, page: number, level: number): Coroutine<void> {
    for (;;) {
      const look = this.find(root, page);
      if (look.kind !== ENTRY.LEAF) return;
      if (this.format.isContiguous(look.entry)) yield* this.unfold(root, page, look.at, look.level);
      else if (look.level < level) yield* this.split(root, page, look.at, look.level);
      else return;
    }
  }

  /**
   * A block becomes a table of leaves, by break-before-make: no cache holds the block when the first of them is seen
   * (smmuv3.md 3.4).
   */
  *split(root: TableRoot, page: number, at: number, level: number): Coroutine<void> {
    const { format } = this;
    const table = this.core.bus.frames.alloc(root.tableOwner, format.tableOrder);
    yield* this.clear(at);
    const span = format.span(level);
    const first = Math.floor(page / span) * span;
    const lo = this.word[0]!;
    const hi = this.word[1]!;
    yield* this.flushBroken(root, first, first + span);
    this.fillTable(table, level, lo, hi);
    format.encodeTable(table, this.word);
    yield* this.memory.store64(at, this.word[0]!, this.word[1]!);
  }

  /** Fills a table that nobody sees yet with the leaves of a block of `level`, which was [lo, hi]. */
  fillTable(table: number, level: number, lo: number, hi: number): void {
    const { format, word } = this;
    const { bus } = this.core;
    word[0] = lo;
    word[1] = hi;
    const frame = format.frameOf(word, level);
    const span = format.span(level + 1);
    for (let i = 0; i < format.span(level) / span; i++) {
      word[0] = lo;
      word[1] = hi;
      format.resize(word, level, frame + i * span, level + 1);
      bus.store64(table * 4096 + i * 8, word[0]!, word[1]!);
    }
  }

  /** The members of a contiguous group become leaves of their own, by break-before-make (smmuv3.md 3.4). */
  *unfold(root: TableRoot, page: number, at: number, level: number): Coroutine<void> {
    const { format, word } = this;
    const entries = format.groupEntries(level);
    const bytes = entries * 8;
    const base = Math.floor(at / bytes) * bytes;
    const group = new Uint32Array(entries * 2);
    let flags = LEAF.CLEAN | LEAF.OLD;
    for (let i = 0; i < entries; i++) {
      yield* this.clear(base + i * 8);
      group.set(word, i * 2);
      flags = usedBy(flags, format.flagsOf(word));
    }
    const pages = format.span(level) * entries;
    const first = Math.floor(page / pages) * pages;
    yield* this.flushBroken(root, first, first + pages);
    for (let i = 0; i < entries; i++) {
      word.set(group.subarray(i * 2, i * 2 + 2));
      format.setFlags(word, flags);
      yield* this.memory.store64(base + i * 8, word[0]!, word[1]!);
    }
  }

  /** Break-before-make: [first, end) has entries that were cleared and are about to be made anew. */
  *flushBroken(root: TableRoot, first: number, end: number): Coroutine<void> {
    const gather = newGather();
    cover(gather, first, end);
    yield* this.core.mappings.flushGather(root as Mm, gather);
  }
}

/** What is known of a group when one member has `member`: any that was used or written counts for all. */
function usedBy(group: number, member: number): number {
  const dirty = ((group | member) & LEAF.DIRTY) !== 0 ? LEAF.DIRTY : LEAF.CLEAN;
  return dirty | (group & member & LEAF.OLD);
}
