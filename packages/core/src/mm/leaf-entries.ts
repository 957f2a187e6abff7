import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { ENTRY } from './address-space-format.js';
import type { Mm } from './mm.js';
import type { Leaf } from './page-tables.js';
import { encodePlaceholder, PLACEHOLDER, type PlaceholderKind, placeholderOf } from './placeholders.js';
import type { LeafOptions } from './table-blocks.js';

/** A leaf as somebody found it: to be compared again under the page-table lock. */
export interface FoundLeaf {
  readonly page: number;
  readonly frame: number;
  /** PERM bits as the entry gave them. */
  readonly perm: number;
}

/**
 * Leaf entries of an address space's own pages, one at a time: found, compared again, cleared and flushed, stored; and the
 * placeholders that stand in them. Who changes one holds the page-table lock.
 */
export class LeafEntries {
  readonly core: Core;
  readonly word = new Uint32Array(2);

  constructor(core: Core) {
    this.core = core;
  }

  /** The leaf that maps `page`, if it is there; a block counts as its pages. */
  find(mm: Mm, page: number): FoundLeaf | null {
    const { format, pageTables } = this.core;
    const look = pageTables.find(mm, page);
    if (look.kind !== ENTRY.LEAF) return null;
    return { page, frame: pageTables.frameAt(look, page), perm: format.permOf(look.entry) };
  }

  /** True if the leaf still is as it was found. What hardware sets in it does not count. */
  same(mm: Mm, { page, frame, perm }: FoundLeaf): boolean {
    const { format, pageTables } = this.core;
    const look = pageTables.find(mm, page);
    if (look.kind !== ENTRY.LEAF || pageTables.frameAt(look, page) !== frame) return false;
    return format.permOf(look.entry) === perm;
  }

  /**
   * Clears a leaf in one atomic step, and flushes the CPUs; secondary TLBs come next (PF-5c, PF-10).
   * @throws IommuError ENOMEM when it is part of a block that cannot be split; then nothing changed
   */
  *clearAndFlush(mm: Mm, page: number): Coroutine<Leaf> {
    const leaf = yield* this.core.pageTables.clearLeaf(mm, page);
    this.changed(mm, page);
    yield* this.core.mappings.flushCpuPage(mm, page);
    return leaf!;
  }

  /** Stores a leaf in an entry that was cleared. */
  *store(mm: Mm, page: number, frame: number, perm: number, options?: LeafOptions): Coroutine<void> {
    const { pageTables } = this.core;
    yield* pageTables.replaceLeaf(mm, pageTables.find(mm, page).at, frame, perm, options);
    this.changed(mm, page);
  }

  /** True if hardware marks entries dirty: then a clean page may be mapped writable (PF-5e, PF-10). */
  get markedByHardware(): boolean {
    return this.core.cpuFeatures.httu === 'dirty';
  }

  /** The entry that maps `page` is another one now. */
  changed(mm: Mm, page: number): void {
    this.core.kernel.observer.mapped(mm.space, page);
  }

  // ── placeholders ───────────────────────────────────────────────────────────────────────────────────────────────

  /** What stands in place of `page`; its entry then is in `pageTables.look`. */
  placeholder(mm: Mm, page: number): PlaceholderKind {
    const { format, pageTables } = this.core;
    const { kind, level, entry } = pageTables.find(mm, page);
    return kind === ENTRY.ABSENT && level === format.leafLevel ? placeholderOf(entry) : PLACEHOLDER.NONE;
  }

  /** Puts a placeholder into an entry that was cleared. */
  *setPlaceholder(mm: Mm, page: number, kind: PlaceholderKind, number: number): Coroutine<void> {
    encodePlaceholder(kind, number, this.word);
    yield* this.storeWord(mm, page);
    mm.placeholders++;
  }

  /** Takes a placeholder out of its entry, which is clear afterwards. */
  *clearPlaceholder(mm: Mm, page: number): Coroutine<void> {
    this.word.fill(0);
    yield* this.storeWord(mm, page);
    mm.placeholders--;
  }

  *storeWord(mm: Mm, page: number): Coroutine<void> {
    const { pageTables } = this.core;
    yield* pageTables.memory.store64(pageTables.find(mm, page).at, this.word[0]!, this.word[1]!);
  }

  // ── many ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Pages of [first, end) whose leaf entry passes `test`, which finds it in `pageTables.look`: one look at the tables. */
  select(mm: Mm, first: number, end: number, test: (page: number) => boolean): number[] {
    const { format, pageTables } = this.core;
    const pages: number[] = [];
    for (let page = first; page < end; ) {
      const { kind, level } = pageTables.find(mm, page);
      const isEntry = level === format.leafLevel || kind === ENTRY.LEAF;
      if (isEntry && test(page)) pages.push(page);
      const span = isEntry ? format.pageFrames : format.span(level);
      page = (Math.floor(page / span) + 1) * span;
    }
    return pages;
  }
}
