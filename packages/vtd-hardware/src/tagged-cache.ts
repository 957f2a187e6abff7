import type { CacheLines, Kernel } from '@iommukit/kernel';
import { type AddressSpaces, KEY_BITS, STAGE_KIND } from './address-spaces.js';

/** Pages of the whole 64-bit address range. */
export const PAGES = 2 ** 52;

/** The tag of a line of 2^order pages from key `first` on, in the space whose tags begin at `base`. The lowest bit set tells the order. */
export const tagOf = (base: number, order: number, first: number): number => base + 2 * first + 2 ** order;

/** What the index of a line is mixed with, to spread spaces that use the same addresses. */
export const saltOf = (space: number): number => (space * 0x9e5) & 0xffff;

/** What else is known of a line. */
export const MARK = {
  /** A global page of the extended-context mode, which some invalidations leave. */
  GLOBAL: 1,
  /** R/W = 0 somewhere on the way of a first-stage page: only supervisors may write, and only they make it dirty. */
  READ_ONLY: 2,
} as const;

/**
 * A cache of what walks found, over CacheLines. A key is a page number cut to the index bits of its tables, so that the upper half
 * of a first stage follows the lower one. A line's space is kept beside it. How invalidations find their lines is here; where a line
 * lies is each cache's own business.
 */
export abstract class TaggedCache {
  readonly kernel: Kernel;
  readonly spaces: AddressSpaces;
  readonly lines: CacheLines;
  readonly tags: Float64Array;
  /** The level of the entry that filled a line. */
  readonly levels: Int8Array;
  /** The space of a line, an index of {@link AddressSpaces}. */
  readonly spaceOf: Int32Array;
  /** {@link MARK} bits of a line. */
  readonly marks: Uint8Array;
  /** The orders of lines that may exist; the first `standing` of them always. */
  readonly orders: number[];
  readonly standing: number;
  /** Indexes of every line that is filled, or was since the checkpoint. */
  readonly list: { readonly lines: Int32Array; length: number };
  readonly isListed: Uint8Array;

  constructor(kernel: Kernel, spaces: AddressSpaces, lines: CacheLines, orders: readonly number[]) {
    this.kernel = kernel;
    this.spaces = spaces;
    this.lines = lines;
    this.tags = lines.tag;
    this.levels = new Int8Array(lines.count);
    this.spaceOf = new Int32Array(lines.count);
    this.marks = new Uint8Array(lines.count);
    this.orders = kernel.checkpoints.keepList([...orders]);
    this.standing = orders.length;
    this.list = { lines: new Int32Array(lines.count), length: 0 };
    lines.listed = this.list;
    this.isListed = new Uint8Array(lines.count);
    kernel.checkpoints.add(this);
    kernel.observer.cache(lines);
  }

  /** The line of `space` for the 2^order pages from key `first` on, or -1. */
  abstract seek(space: number, order: number, first: number): number;

  /** What belongs to a line beside {@link CacheLines}: kept by checkpoints. */
  columns(): readonly (Int8Array | Int32Array | Uint8Array)[] {
    return [this.levels, this.spaceOf, this.marks];
  }

  isGlobal(i: number): boolean {
    return (this.marks[i] & MARK.GLOBAL) !== 0;
  }

  enlist(i: number): void {
    this.isListed[i] = 1;
    this.list.lines[this.list.length++] = i;
  }

  /** Lines of this order may exist from now on. */
  note(order: number): void {
    if (!this.orders.includes(order)) this.orders.push(order);
  }

  // ── invalidation ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Drops every line. */
  dropAll(): void {
    for (let n = 0; n < this.list.length; n++) this.tags[this.list.lines[n]] = -1;
    this.orders.length = this.standing;
  }

  /** Drops every line of a domain, of either stage (3.2). */
  dropDomain(did: number): void {
    const { dids } = this.spaces;
    this.dropWhere((i) => dids[this.spaceOf[i]] === did);
  }

  /** Drops the second-stage lines of a domain that hold a page of [first, last], and every first-stage line of it (3.2). */
  dropPages(did: number, first: number, last: number, _leaf: boolean): void {
    const { dids, kinds } = this.spaces;
    this.dropWhere((i) => dids[this.spaceOf[i]] === did && kinds[this.spaceOf[i]] === STAGE_KIND.FIRST);
    for (const wide of [false, true]) {
      const space = this.spaces.find(STAGE_KIND.SECOND, did, -1, wide);
      if (space >= 0) this.dropKeys(space, first, Math.min(last, 2 ** this.spaces.keyBits(space) - 1), true);
    }
  }

  /** Drops every line of (domain, PASID); without `globals` those that are not global (3.6). */
  dropPasid(did: number, pasid: number, globals = true): void {
    for (const wide of [false, true]) {
      const space = this.spaces.find(STAGE_KIND.FIRST, did, pasid, wide);
      if (space >= 0) this.dropWhere((i) => this.spaceOf[i] === space && (globals || !this.isGlobal(i)));
    }
  }

  /** Drops the lines of (domain, PASID) that hold a page of [first, last] (3.6). Addresses that are not canonical have none. */
  dropPasidPages(did: number, pasid: number, first: number, last: number, _leaf: boolean, globals = true): void {
    for (const wide of [false, true]) {
      const space = this.spaces.find(STAGE_KIND.FIRST, did, pasid, wide);
      if (space < 0) continue;
      const half = 2 ** ((wide ? KEY_BITS.wide : KEY_BITS.narrow) - 1);
      if (first < half) this.dropKeys(space, first, Math.min(last, half - 1), globals);
      const upper = PAGES - half;
      if (last >= upper) {
        const shift = PAGES - 2 * half;
        this.dropKeys(space, Math.max(first, upper) - shift, Math.min(last, PAGES - 1) - shift, globals);
      }
    }
  }

  /** Drops the first-stage lines of a domain, of every PASID; without `globals` those that are not global (3.6, extended mode). */
  dropDomainPasids(did: number, globals: boolean): void {
    const { dids, kinds } = this.spaces;
    this.dropWhere((i) => {
      const space = this.spaceOf[i];
      return dids[space] === did && kinds[space] === STAGE_KIND.FIRST && (globals || !this.isGlobal(i));
    });
  }

  dropWhere(goes: (i: number) => boolean): void {
    for (let n = 0; n < this.list.length; n++) {
      const i = this.list.lines[n];
      if (this.tags[i] !== -1 && goes(i)) this.tags[i] = -1;
    }
  }

  /** Keys [first, last] of one space: any line that holds one of them goes whole. */
  dropKeys(space: number, first: number, last: number, globals: boolean): void {
    if (first > last) return;
    if (last - first >= this.list.length) {
      const { lines } = this;
      const base = this.spaces.bases[space];
      this.dropWhere((i) => {
        if (this.spaceOf[i] !== space || (!globals && this.isGlobal(i))) return false;
        const unit = 2 ** lines.order[i];
        const key = (this.tags[i] - base - unit) / 2;
        return key <= last && key + unit > first;
      });
      return;
    }
    for (let n = 0; n < this.orders.length; n++) {
      const order = this.orders[n];
      const unit = 2 ** order;
      for (let key = first - (first % unit); key <= last; key += unit) {
        const i = this.seek(space, order, key);
        if (i >= 0 && (globals || !this.isGlobal(i))) this.tags[i] = -1;
      }
    }
  }

  // ── checkpoints ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Restoring touches only the lines that were filled since, and those that were filled at the checkpoint. */
  save(): () => void {
    const { lines, list, tags } = this;
    const columns = [
      ...[lines.tag, lines.page, lines.frame, lines.order, lines.flags, lines.pasid, lines.stream, lines.born],
      ...[lines.generation, ...this.columns()],
    ];
    const kept: { readonly i: number; readonly values: readonly number[] }[] = [];
    for (let n = 0; n < list.length; n++) {
      const i = list.lines[n];
      if (tags[i] !== -1) kept.push({ i, values: columns.map((column) => column[i]) });
    }
    return () => {
      for (let n = 0; n < list.length; n++) {
        tags[list.lines[n]] = -1;
        this.isListed[list.lines[n]] = 0;
      }
      list.length = 0;
      for (const { i, values } of kept) {
        this.enlist(i);
        values.forEach((value, n) => {
          columns[n][i] = value;
        });
      }
    };
  }
}
