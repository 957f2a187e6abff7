import { powerOfTwo } from './power-of-two.js';

/** Bits of {@link CacheLines.flags}. */
export const LINE = {
  /** The right to read. */
  READ: 1,
  /** The right to write. */
  WRITE: 2,
  /** The right to execute. */
  EXEC: 4,
  /** The line holds that there is nothing: it is never used for an access. */
  ABSENT: 64,
  /** Set by an oracle: an invalidation that covers the line has returned, so any use is wrong (INV-7). */
  STALE: 128,
} as const;

/** What a search for lines asks. Pages are address / 4096, both ends included. */
export interface LineRange {
  readonly pasid: number;
  readonly first: number;
  readonly last: number;
  /** Only lines that were walked before this step ({@link Kernel.steps}). */
  readonly before: number;
}

/** Indexes of lines: the first `length` of `lines`. */
export interface LineList {
  readonly lines: Int32Array;
  length: number;
}

/**
 * What the lines of a cache hold: translations of pages; where tables are (an invalidation of pages may leave those: it says
 * nothing about the tables); or entries of a configuration.
 */
export type LineKind = 'translations' | 'tables' | 'configuration';

/**
 * The lines of a translation cache, as flat arrays: what a lookup needs, and what oracles need to judge a use. The cache
 * itself (how tags are made, where a line goes, when it is dropped) is its owner's business.
 */
export class CacheLines {
  /** Who has the cache, a space, and what it is: `smmuv3@9050000 IOTLB`, `0000:00:03.0 ATC`. */
  readonly name: string;
  readonly kind: LineKind;
  readonly count: number;
  /** The owner's tag; -1 is an empty line. */
  readonly tag: Float64Array;
  /** First page of the line's range (address / 4096). */
  readonly page: Float64Array;
  /** First frame that it translates to (physical address / 4096). */
  readonly frame: Float64Array;
  /** log2 of the number of pages that the line covers. */
  readonly order: Uint8Array;
  /** {@link LINE} bits. */
  readonly flags: Uint8Array;
  /** The PASID of the request that filled it; -1 without one. */
  readonly pasid: Int32Array;
  /** The StreamID of the request that filled it. */
  readonly stream: Uint32Array;
  /** The step at which the walk that filled it began. */
  readonly born: Float64Array;
  /** {@link PhysicalMemory.generationOf} the frame when it was filled. */
  readonly generation: Uint32Array;
  /** The lines that may be filled, if the owner keeps such a list: no others need to be searched. */
  listed: LineList | null = null;

  constructor(name: string, count: number, kind: LineKind = 'translations') {
    this.name = name;
    this.kind = kind;
    this.count = count;
    this.tag = new Float64Array(count).fill(-1);
    this.page = new Float64Array(count);
    this.frame = new Float64Array(count);
    this.order = new Uint8Array(count);
    this.flags = new Uint8Array(count);
    this.pasid = new Int32Array(count);
    this.stream = new Uint32Array(count);
    this.born = new Float64Array(count);
    this.generation = new Uint32Array(count);
  }

  /** The unit or the device that has the cache. */
  get holder(): string {
    return this.name.split(' ', 1)[0]!;
  }

  /** Marks every filled line of the range as stale. */
  markStale(range: LineRange): void {
    const { listed } = this;
    if (listed === null) for (let i = 0; i < this.count; i++) this.markLine(i, range);
    else for (let n = 0; n < listed.length; n++) this.markLine(listed.lines[n]!, range);
  }

  markLine(i: number, range: LineRange): void {
    if (this.tag[i] === -1 || this.pasid[i] !== range.pasid || this.born[i]! >= range.before) return;
    const first = this.page[i]!;
    if (first <= range.last && first + powerOfTwo(this.order[i]!) > range.first) this.flags[i]! |= LINE.STALE;
  }
}
