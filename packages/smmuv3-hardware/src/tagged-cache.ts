import type { CacheLines, Kernel } from '@iommukit/kernel';
import { type AddressSpaces, WORLD } from './address-spaces.js';

/** Pages below the byte of an address that TBI ignores, and that invalidations ignore. */
export const TBI_PAGES = 2 ** 44;

/** Which lines {@link TaggedCache.dropRange} drops. */
export interface DropRange {
  /** {@link WORLD}: the StreamWorld whose lines go. */
  readonly world: number;
  readonly vmid: number;
  /** Lines of this ASID and global ones; -1 for every ASID. */
  readonly asid: number;
  /** Pages (address / 4096) as the command has them, both ends included; their top byte is ignored. */
  readonly first: number;
  readonly last: number;
  /** 0, or the only level whose lines need to go (TTL). */
  readonly level: number;
  /** log2 of the granule's bytes (TG), 0 where none is given. A hint: lines of any granule go. */
  readonly granule: number;
  /** Only lines of the last level need to go: what is cached of the tables above stays. */
  readonly leaf: boolean;
  /** Lines of the private ASID set may stay: a broadcast (3.6). */
  readonly shared: boolean;
}

/** Numbers that tags are made with: see {@link TaggedCache}. */
export interface TagShape {
  /** Pages of one half of the address range. */
  readonly half: number;
  /** Tags of one space. */
  readonly span: number;
  /** Spaces that a tag can name. */
  readonly limit: number;
}

/** The shape of tags for virtual addresses of `bits` bits: a key and the size take bits - 10, spaces what remains of 53. */
export function tagShape(bits: number): TagShape {
  const half = 2 ** (bits - 12);
  return { half, span: 4 * half, limit: 2 ** 53 / (4 * half) };
}

/** The tag of a line of 2^order pages from key `first` on. The lowest bit that is set tells the order. */
export const tagOf = (shape: TagShape, space: number, order: number, first: number): number =>
  space * shape.span + 2 * first + 2 ** order;

/** What the index of a line is mixed with, to spread spaces that use the same addresses. */
export const saltOf = (space: number): number => (space * 0x9e5) & 0xffff;

/**
 * A cache of what walks found, over CacheLines. A key is a page of the lower half, or of the upper half, which follows it. A
 * tag is space * span + 2 * key + 2^order, exact in a double. How invalidations find their lines is here; where a line lies is
 * each cache's own business.
 */
export abstract class TaggedCache {
  readonly kernel: Kernel;
  readonly spaces: AddressSpaces;
  readonly shape: TagShape;
  readonly lines: CacheLines;
  readonly tags: Float64Array;
  /** The level of the descriptor that filled a line. */
  readonly levels: Int8Array;
  /** The orders of lines that may exist; the first `standing` of them always. */
  readonly orders: number[];
  readonly standing: number;
  /** Indexes of every line that is filled, or was since the checkpoint. */
  readonly list: { readonly lines: Int32Array; length: number };
  readonly isListed: Uint8Array;

  constructor(kernel: Kernel, spaces: AddressSpaces, shape: TagShape, lines: CacheLines, orders: readonly number[]) {
    this.kernel = kernel;
    this.spaces = spaces;
    this.shape = shape;
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
  columns(): readonly (Int8Array | Int32Array)[] {
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

  /** Drops every line. */
  dropAll(): void {
    for (let n = 0; n < this.list.length; n++) this.tags[this.list.lines[n]] = -1;
    this.orders.length = this.standing;
  }

  /** Drops every line of a StreamWorld (TLBI_NSNH_ALL, TLBI_EL2_ALL). */
  dropWorld(world: number): void {
    const { worlds } = this.spaces;
    this.dropWhere((i) => worlds[this.spaceOf(i)] === world);
  }

  /** Drops every NS-EL1 line of a VMID (TLBI_NH_ALL). */
  dropVmid(vmid: number): void {
    this.dropWhere((i) => this.spaces.reaches(this.spaceOf(i), WORLD.EL1, vmid, -1, false));
  }

  /** Drops the lines of one ASID that are not global (TLBI_NH_ASID, TLBI_EL2_ASID); `shared`: those of the private set may stay. */
  dropAsid(world: number, vmid: number, asid: number, shared = false): void {
    const { spaces, shape, tags, list } = this;
    for (let aset = 0; aset < (shared ? 1 : 2); aset++) {
      const space = spaces.find(world, vmid, asid, aset);
      if (space < 0) continue;
      const first = space * shape.span;
      for (let n = 0; n < list.length; n++) {
        const i = list.lines[n];
        if (tags[i] >= first && tags[i] < first + shape.span) tags[i] = -1;
      }
    }
  }

  dropWhere(goes: (i: number) => boolean): void {
    for (let n = 0; n < this.list.length; n++) {
      const i = this.list.lines[n];
      if (this.tags[i] !== -1 && goes(i)) this.tags[i] = -1;
    }
  }

  // ── by address ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Drops lines by address (TLBI_NH_VA, TLBI_NH_VAA, TLBI_EL2_VA …): any line that holds a page of the range goes whole. */
  dropRange(range: DropRange): void {
    const first = range.first % TBI_PAGES;
    const last = first + Math.min(range.last - range.first, TBI_PAGES - 1);
    // All of it lies in the lower half. Benchmark: invalidate-refill.
    if (last < this.shape.half) return this.dropKeys(range, first, last);
    this.dropHalves(range, first, last, 0);
    if (last >= TBI_PAGES) this.dropHalves(range, first, last, TBI_PAGES);
  }

  /** The lower half begins at page `base`, the upper one ends before `base` + TBI_PAGES. */
  dropHalves(range: DropRange, first: number, last: number, base: number): void {
    const { half } = this.shape;
    this.dropWithin(range, first, last, base, 0);
    this.dropWithin(range, first, last, base + TBI_PAGES - half, half);
  }

  /** Pages [first, last] as far as they are in the half that begins at page `begin` and key `key`. */
  dropWithin(range: DropRange, first: number, last: number, begin: number, key: number): void {
    const from = Math.max(first, begin);
    const to = Math.min(last, begin + this.shape.half - 1);
    if (from <= to) this.dropKeys(range, key + from - begin, key + to - begin);
  }

  dropKeys(range: DropRange, first: number, last: number): void {
    if (range.asid < 0 || last - first >= this.list.length) return this.dropScanned(range, first, last);
    const scope = this.spaces.scope(range.world, range.vmid, range.asid, range.shared);
    for (let n = 0; n < scope.length; n++) if (scope[n] >= 0) this.dropPages(scope[n], range, first, last);
  }

  dropPages(space: number, range: DropRange, first: number, last: number): void {
    for (let n = 0; n < this.orders.length; n++) {
      const order = this.orders[n];
      const unit = 2 ** order;
      for (let key = first - (first % unit); key <= last; key += unit) {
        const i = this.seek(space, order, key);
        if (i >= 0 && this.covers(range, i)) this.tags[i] = -1;
      }
    }
  }

  dropScanned(range: DropRange, first: number, last: number): void {
    const { spaces, lines } = this;
    this.dropWhere((i) => {
      if (!spaces.reaches(this.spaceOf(i), range.world, range.vmid, range.asid, range.shared)) return false;
      const unit = 2 ** lines.order[i];
      const key = ((this.tags[i] % this.shape.span) - unit) / 2;
      return key <= last && key + unit > first && this.covers(range, i);
    });
  }

  /** The invalidation is about lines of this level. */
  covers(range: DropRange, i: number): boolean {
    return range.level === 0 || range.level === this.levels[i];
  }

  spaceOf(i: number): number {
    return Math.floor(this.tags[i] / this.shape.span);
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
