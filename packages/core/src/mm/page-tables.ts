import { CoherentMemory, type Coroutine, type Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { type AddressSpaceFormat, ENTRY } from './address-space-format.js';
import { cover, type Gather } from './gather.js';
import type { Mm } from './mm.js';
import type { Vma } from './vma.js';

/** Where a look at the tables ended. Reused: valid until the next preemption point. */
export interface Look {
  /** ENTRY bits: what was found at {@link level}. */
  kind: number;
  level: number;
  /** Physical address of the entry. */
  at: number;
  /** Its two words. */
  readonly entry: Uint32Array;
}

/** Neighbours that must keep their tables: pages below `floor` and from `ceiling` on. */
export interface Bounds {
  readonly floor: number;
  readonly ceiling: number;
}

/**
 * The builder of page tables: real entries in memory that hardware walks meanwhile, so each store is a preemption
 * point. Upper levels change under the mmap lock only in one direction (absent to present), so a look needs no point.
 */
export class PageTables {
  readonly core: Core;
  readonly format: AddressSpaceFormat;
  readonly memory: CoherentMemory;
  readonly look: Look = { kind: ENTRY.ABSENT, level: 0, at: 0, entry: new Uint32Array(2) };
  readonly word = new Uint32Array(2);

  constructor(core: Core) {
    this.core = core;
    this.format = core.format;
    this.memory = new CoherentMemory(core.kernel, core.bus);
  }

  /** Looks for `page`, down to the first entry that is no table. The result is reused: valid until the next point. */
  find(mm: Mm, page: number): Look {
    const { format, look } = this;
    let table = mm.pgd;
    for (let level = format.rootLevel; ; level++) {
      look.at = table + format.offset(page, level);
      this.core.bus.load64(look.at, look.entry);
      look.level = level;
      look.kind = format.kindOf(look.entry, level);
      if (look.kind !== ENTRY.TABLE) return look;
      table = format.frameOf(look.entry) * 4096;
    }
  }

  /**
   * Makes the tables that lead to `page`.
   * @returns the physical address of its leaf entry
   * @throws IommuError ENOMEM; tables made before stay, and go with the address space
   */
  ensureTables(mm: Mm, page: number): Step<number> {
    const look = this.find(mm, page);
    return this.isLast(look) ? this.core.kernel.done(look.at) : this.addTables(mm, page);
  }

  *addTables(mm: Mm, page: number): Coroutine<number> {
    for (;;) {
      const look = this.find(mm, page);
      if (this.isLast(look)) return look.at;
      yield* this.addTable(mm, look.at, look.level);
    }
  }

  /** No table is below the entry. */
  isLast({ level, kind }: Look): boolean {
    return level === this.format.leafLevel || kind === ENTRY.LEAF;
  }

  /** Publishes a fresh table in an absent entry, unless somebody was first. */
  *addTable(mm: Mm, at: number, level: number): Coroutine<void> {
    const { frames } = this.core.bus;
    const frame = frames.alloc(mm.tableOwner, this.format.tableOrder);
    const lock = yield* mm.pageTableLock.acquire();
    const absent = this.isAbsent(at, level);
    if (absent) {
      this.format.encodeTable(frame, this.word);
      yield* this.memory.store64(at, this.word[0]!, this.word[1]!);
    }
    lock.release();
    if (!absent) frames.free(frame, this.format.tableOrder);
  }

  /** Publishes a page in an absent leaf entry. False: somebody was first, and nothing was stored. */
  *setLeaf(mm: Mm, at: number, frame: number, perm: number, device: boolean): Coroutine<boolean> {
    const lock = yield* mm.pageTableLock.acquire();
    const absent = this.isAbsent(at, this.format.leafLevel);
    if (absent) {
      this.format.encodeLeaf(frame, perm, device, this.word);
      yield* this.memory.store64(at, this.word[0]!, this.word[1]!);
    }
    lock.release();
    return absent;
  }

  isAbsent(at: number, level: number): boolean {
    this.core.bus.load64(at, this.word);
    return this.format.kindOf(this.word, level) === ENTRY.ABSENT;
  }

  /** Clears the leaves of pages [first, end) of `vma`, and queues the pages that it owns. */
  *clearRange(mm: Mm, vma: Vma, first: number, end: number, gather: Gather): Coroutine<void> {
    const { format } = this;
    const perTable = format.span(format.leafLevel - 1);
    for (let page = first; page < end; ) {
      const { level, kind } = this.find(mm, page);
      const span = format.span(level);
      if (kind === ENTRY.ABSENT && level < format.leafLevel) {
        page = (Math.floor(page / span) + 1) * span;
        continue;
      }
      const stop = Math.min(end, (Math.floor(page / perTable) + 1) * perTable);
      yield* this.clearLeaves(mm, vma, page, stop, gather);
      page = stop;
    }
  }

  /** Clears pages [first, end), all of one table, under the page-table lock. */
  *clearLeaves(mm: Mm, vma: Vma, first: number, end: number, gather: Gather): Coroutine<void> {
    const lock = yield* mm.pageTableLock.acquire();
    for (let page = first; page < end; page++) {
      const { at, kind } = this.find(mm, page);
      if (kind !== ENTRY.LEAF) continue;
      yield* this.clear(at);
      cover(gather, page, page + 1);
      if (vma.backing === 'anonymous') gather.pages.push(this.format.frameOf(this.word));
    }
    lock.release();
  }

  /** Reads an entry into {@link word} and clears it, in one atomic step: hardware may set flags in between (PF-10). */
  clear(at: number): Step<void> {
    const { kernel } = this.core;
    return kernel.at(Math.floor(at / 8), true) ? this.clearLater(at) : kernel.done(this.clearNow(at));
  }

  // A closure in clear() itself would cost an allocation at every entry.
  clearLater(at: number): Step<void> {
    return this.core.kernel.pending(() => this.clearNow(at));
  }

  clearNow(at: number): void {
    this.core.bus.load64(at, this.word);
    this.core.bus.store64(at, 0, 0);
  }

  /**
   * Unhooks and queues every table below the top that serves pages [first, end) and no page outside `bounds`; a table
   * goes before the one that points to it. Their leaves are clear.
   */
  freeTables(mm: Mm, first: number, end: number, bounds: Bounds, gather: Gather): Coroutine<void> {
    return this.freeBelow(mm, mm.pgd, this.format.rootLevel, { first, end, bounds, gather });
  }

  *freeBelow(mm: Mm, table: number, level: number, job: FreeJob): Coroutine<void> {
    const { format } = this;
    const span = format.span(level);
    const { first, end, bounds, gather } = job;
    for (let start = Math.floor(first / span) * span; start < end; start += span) {
      const inside = Math.max(start, first);
      const at = table + format.offset(inside, level);
      this.core.bus.load64(at, this.word);
      if (format.kindOf(this.word, level) !== ENTRY.TABLE) continue;
      const frame = format.frameOf(this.word);
      if (level + 1 < format.leafLevel) {
        yield* this.freeBelow(mm, frame * 4096, level + 1, { ...job, first: inside, end: Math.min(end, start + span) });
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
