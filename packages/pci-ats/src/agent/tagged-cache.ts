import { type CacheLines, type Kernel, powerOfTwo } from '@iommukit/kernel';

/** The spaces of addresses that lines belong to, as small numbers: what a line is tagged with beside its address. */
export interface CacheSpaces {
  /** By number: the first tag of a space. */
  readonly bases: readonly number[];
  /** The number of the space that a tag belongs to. */
  spaceOf(tag: number): number;
}

/** What an invalidation is about beside spaces and addresses; agents add their own conditions. */
export interface DropScope {
  /** Only entries of the last level changed: what is cached of the tables above stays. */
  readonly leaf: boolean;
}

/** The tag of a line of 2^order pages from key `first` on, in the space whose tags begin at `base`. The lowest bit set tells the order. */
export const tagOf = (base: number, order: number, first: number): number => base + 2 * first + powerOfTwo(order);

/** What the index of a line is mixed with, to spread spaces that use the same addresses. */
export const saltOf = (space: number): number => (space * 0x9e5) & 0xffff;

/**
 * A cache of what an agent's walks found, over CacheLines. A key is a page as its space counts them (mostly: the upper half of the
 * addresses follows the lower one). A tag is {@link tagOf}, exact in a double. How lines are dropped and kept by checkpoints is
 * here; where a line lies is each cache's own business.
 */
export abstract class TaggedCache<Scope extends DropScope = DropScope> {
  readonly kernel: Kernel;
  readonly spaces: CacheSpaces;
  readonly lines: CacheLines;
  readonly tags: Float64Array;
  /** The level of the entry that filled a line. */
  readonly levels: Int8Array;
  /** The orders of lines that may exist; the first `standing` of them always. */
  readonly orders: number[];
  readonly standing: number;
  /** Indexes of every line that is filled, or was since the checkpoint. */
  readonly list: { readonly lines: Int32Array; length: number };
  readonly isListed: Uint8Array;

  constructor(kernel: Kernel, spaces: CacheSpaces, lines: CacheLines, orders: readonly number[]) {
    this.kernel = kernel;
    this.spaces = spaces;
    this.lines = lines;
    this.tags = lines.tag;
    this.levels = new Int8Array(lines.count);
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
    return [this.levels];
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

  /** Whether an invalidation of this scope is about a line that it reaches by its space and address. */
  covers(_scope: Scope, _i: number): boolean {
    return true;
  }

  /** Drops every line. */
  dropAll(): void {
    for (let n = 0; n < this.list.length; n++) this.tags[this.list.lines[n]] = -1;
    this.orders.length = this.standing;
  }

  /** Drops the lines of the spaces that go; null: all of them. */
  dropSpaces(goes: (space: number) => boolean, scope: Scope | null = null): void {
    this.dropWhere((i) => goes(this.spaces.spaceOf(this.tags[i])) && (scope === null || this.covers(scope, i)));
  }

  /** Drops the lines of one space that hold one of the keys [first, last]: any such line goes whole. */
  dropKeys(space: number, first: number, last: number, scope: Scope): void {
    if (first > last) return;
    if (last - first >= this.list.length) this.scan((one) => one === space, first, last, scope);
    else this.probe(space, first, last, scope);
  }

  /** {@link dropKeys} of any number of spaces. */
  dropKeysOf(goes: (space: number) => boolean, first: number, last: number, scope: Scope): void {
    this.scan(goes, first, last, scope);
  }

  /** Key by key: where there are fewer keys than lines. */
  probe(space: number, first: number, last: number, scope: Scope): void {
    for (let n = 0; n < this.orders.length; n++) {
      const order = this.orders[n];
      const unit = powerOfTwo(order);
      for (let key = first - (first % unit); key <= last; key += unit) {
        const i = this.seek(space, order, key);
        if (i >= 0 && this.covers(scope, i)) this.tags[i] = -1;
      }
    }
  }

  /** Line by line. */
  scan(goes: (space: number) => boolean, first: number, last: number, scope: Scope): void {
    const { spaces, lines, tags } = this;
    this.dropWhere((i) => {
      const space = spaces.spaceOf(tags[i]);
      if (!goes(space)) return false;
      const unit = powerOfTwo(lines.order[i]);
      const key = (tags[i] - spaces.bases[space] - unit) / 2;
      return key <= last && key + unit > first && this.covers(scope, i);
    });
  }

  dropWhere(goes: (i: number) => boolean): void {
    for (let n = 0; n < this.list.length; n++) {
      const i = this.list.lines[n];
      if (this.tags[i] !== -1 && goes(i)) this.tags[i] = -1;
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
