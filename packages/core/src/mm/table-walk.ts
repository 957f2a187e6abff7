import { CoherentMemory, IommuError, type Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { type AddressSpaceFormat, ENTRY } from './address-space-format.js';
import type { TableRoot } from './table-root.js';

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

/** How to find entries in trees of page tables, and to change one of them in one step. */
export class TableWalk {
  readonly core: Core;
  readonly format: AddressSpaceFormat;
  readonly memory: CoherentMemory;
  readonly look: Look = { kind: ENTRY.ABSENT, level: 0, at: 0, entry: new Uint32Array(2) };
  /** What the last step read, or made. */
  readonly word = new Uint32Array(2);

  constructor(core: Core, format: AddressSpaceFormat = core.format) {
    this.core = core;
    this.format = format;
    this.memory = new CoherentMemory(core.kernel, core.bus);
  }

  /**
   * Looks for `page`, down to the first entry that is no table. Pages that no user address has are absent. The result is
   * reused: valid until the next point.
   */
  find(root: TableRoot, page: number): Look {
    const { format, look } = this;
    let table = root.pgd;
    if (page >= format.pageEnd) return this.outside(root);
    for (let level = format.rootLevel; ; level++) {
      look.at = table + format.offset(page, level);
      this.core.bus.load64(look.at, look.entry);
      look.level = level;
      look.kind = format.kindOf(look.entry, level);
      if (look.kind !== ENTRY.TABLE) return look;
      table = format.tableOf(look.entry) * 4096;
    }
  }

  outside(root: TableRoot): Look {
    const { look } = this;
    look.at = root.pgd;
    look.level = this.format.rootLevel;
    look.kind = ENTRY.ABSENT;
    look.entry.fill(0);
    return look;
  }

  /** The frame (of 4 KiB) that a leaf gives to `page`. */
  frameAt({ entry, level }: Look, page: number): number {
    return this.format.frameOf(entry, level) + (page % this.format.span(level));
  }

  /** The first page of [page, end) that is present, or `end`: absent tables are skipped as a whole. */
  firstPresent(root: TableRoot, page: number, end: number): number {
    for (let at = page; at < end; ) {
      const { kind, level } = this.find(root, at);
      if (kind === ENTRY.LEAF) return at;
      const span = this.format.span(level);
      at = (Math.floor(at / span) + 1) * span;
    }
    return end;
  }

  /** True if nothing is there that hardware or {@link find} would take for a table or a leaf. */
  isAbsent(at: number, level: number): boolean {
    this.core.bus.load64(at, this.word);
    return this.format.kindOf(this.word, level) === ENTRY.ABSENT;
  }

  /** Takes the page-table lock, unless the task holds it already: then there is nothing to release (null). */
  lock(root: TableRoot): Step<{ release(): void } | null> {
    const { pageTableLock } = root;
    const { kernel } = this.core;
    return pageTableLock.owner === kernel.self() ? kernel.done(null) : pageTableLock.acquire();
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
   * Reads an entry into {@link word}, changes it, and stores it, in one atomic step (PF-10). True if it changed.
   * @param change changes the entry in place
   */
  rewrite(at: number, change: (entry: Uint32Array) => void): Step<boolean> {
    const { kernel } = this.core;
    const step = () => this.rewriteNow(at, change);
    return kernel.at(Math.floor(at / 8), true) ? kernel.pending(step) : kernel.done(step());
  }

  rewriteNow(at: number, change: (entry: Uint32Array) => void): boolean {
    const { word } = this;
    this.core.bus.load64(at, word);
    const lo = word[0]!;
    const hi = word[1]!;
    change(word);
    if (word[0] === lo && word[1] === hi) return false;
    this.core.bus.store64(at, word[0]!, word[1]!);
    return true;
  }

  requireInside(page: number): void {
    if (page >= 0 && page < this.format.pageEnd) return;
    throw new IommuError('EINVAL', `page 0x${page.toString(16)} has no place in ${this.format.name} tables`, {
      remedy: `user addresses have ${Math.log2(this.format.pageEnd) + 12} bits`,
    });
  }
}
