import type { ByteSource } from './byte-source.js';

/** A stretch of physical memory as an image has it. */
export interface ImageRange {
  /** Physical address of the first byte. */
  readonly base: number;
  /** Bytes that the machine has there. */
  readonly bytes: number;
  /** How many of them, from the first on, the image holds. */
  readonly held: number;
  /** Where the first byte lies in the image. */
  readonly offset: number;
}

/** Physical memory of a machine at one moment: ranges of a {@link ByteSource}, read where they are asked for. */
export class MemoryImage {
  readonly source: ByteSource;
  /** Ascending, apart from one another. */
  readonly ranges: readonly ImageRange[];
  /** The range of the last {@link find}: the next one is often the same. */
  last: ImageRange | null = null;

  /** `ranges` may overlap: where they do, the one that is first in the list counts. */
  constructor(source: ByteSource, ranges: readonly ImageRange[]) {
    this.source = source;
    this.ranges = apart(ranges);
  }

  /** Bytes of memory that the machine has, as far as the image knows. */
  get bytes(): number {
    return this.ranges.reduce((sum, range) => sum + range.bytes, 0);
  }

  /** The address after the last byte. */
  get end(): number {
    const last = this.ranges.at(-1);
    return last === undefined ? 0 : last.base + last.bytes;
  }

  /** The range that has the byte at `pa`, or null. */
  find(pa: number): ImageRange | null {
    const { last, ranges } = this;
    if (last !== null && pa >= last.base && pa < last.base + last.bytes) return last;
    const next = firstAfter(ranges, pa);
    const range = next === 0 ? null : ranges[next - 1]!;
    if (range === null || pa >= range.base + range.bytes) return null;
    this.last = range;
    return range;
  }

  /** Fills `into` with what the image holds from `pa` on; zeros where it holds nothing. */
  read(pa: number, into: Uint8Array): void {
    into.fill(0);
    const end = pa + into.length;
    for (let n = Math.max(firstAfter(this.ranges, pa) - 1, 0); n < this.ranges.length; n++) {
      const { base, held, offset } = this.ranges[n]!;
      if (base >= end) return;
      const from = Math.max(base, pa);
      const to = Math.min(base + held, end);
      if (from < to) this.source.read(offset + (from - base), into.subarray(from - pa, to - pa));
    }
  }
}

/** How many ranges begin at or before `pa`. */
function firstAfter(ranges: readonly ImageRange[], pa: number): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.base <= pa) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The same memory in ranges that are apart: the earlier in the list wins. */
function apart(ranges: readonly ImageRange[]): ImageRange[] {
  const order = ranges.map((range, rank) => ({ ...range, rank })).sort((a, b) => a.base - b.base || a.rank - b.rank);
  if (order.every((range, i) => i === 0 || order[i - 1]!.base + order[i - 1]!.bytes <= range.base)) {
    return order.map(({ base, bytes, held, offset }) => ({ base, bytes, held, offset }));
  }
  return cutApart(ranges);
}

/** {@link apart} where some overlap: edges in order, and between two of them the first range that is there. */
function cutApart(ranges: readonly ImageRange[]): ImageRange[] {
  const edges = [...new Set(ranges.flatMap(({ base, bytes }) => [base, base + bytes]))].sort((a, b) => a - b);
  const owner = new Array<ImageRange | null>(edges.length).fill(null);
  const place = new Map(edges.map((edge, i) => [edge, i]));
  // `next` leads past edges that are taken already, so that each is taken once.
  const next = edges.map((_, i) => i);
  const free = (i: number): number => {
    let at = i;
    while (next[at] !== at) {
      next[at] = next[next[at]!] ?? edges.length;
      at = next[at]!;
    }
    return at;
  };
  next.push(edges.length);
  for (const range of ranges) {
    const end = place.get(range.base + range.bytes)!;
    for (let i = free(place.get(range.base)!); i < end; i = free(i + 1)) {
      owner[i] = range;
      next[i] = i + 1;
    }
  }
  const cut: ImageRange[] = [];
  owner.forEach((range, i) => {
    if (range === null) return;
    const [base, end] = [edges[i]!, edges[i + 1]!];
    const skipped = base - range.base;
    const held = Math.min(Math.max(range.held - skipped, 0), end - base);
    cut.push({ base, bytes: end - base, held, offset: range.offset + skipped });
  });
  return cut;
}
