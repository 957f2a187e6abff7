import { type CacheLines, type Coroutine, type Kernel, LINE, type PhysicalMemory, powerOfTwo } from '@iommukit/kernel';
import { CLEAN, inModeOf, missingRights, RIGHTS, type Translation, WANT_PRIVILEGED, wishes } from '@iommukit/pci-ats';
import { beyond, forbids, INTERRUPTS, keyOf, passThrough } from './address-checks.js';
import { Admission } from './admission.js';
import type { Vtd } from './device.js';
import { type Iotlb, MARK } from './iotlb.js';
import { NO_LINE } from './last-request.js';
import { FLAG, KIND, NUMBER, REGIME } from './regime.js';
import { ACCESSED, denial, lessOfFirst, marksOf, PRESENT, rightsOfFirst } from './rights.js';
import { NEXT, TableWalk } from './table-walk.js';
import type { WalkCache } from './walk-cache.js';

const { WRITE, EXEC } = LINE;

const { LOW, BASE } = REGIME;

/** Wants that are looked at more closely. */
const RARE = EXEC | WANT_PRIVILEGED;
/** Pages whose table index bits above the last level fit a small integer, which the short walk needs. */
const SHORT = 2 ** 36;
/** What the tag of the walk cache's line for a table of 512 pages has above the tag of the IOTLB's line of its first page. */
const TABLE_TAG = 2 ** 9 - 1;
/** Regimes whose leaves the short walk does not understand. */
const SLOW = FLAG.EXTENDED_ACCESSED | FLAG.GLOBALS;
/** What a leaf has that the short walk understands. */
const USED = PRESENT | ACCESSED;
/** Level of a page. */
const PAGE_LEVEL = 1;

/** Places in {@link Translator.pages}. */
const PAGE = 0;
const KEY = 1;

/**
 * Translation as one atomic step: root, context, PASID entry, IOTLB, walk, permission. Nothing here records a fault; what failed is
 * in {@link reason} and {@link suppressed} until the next lookup.
 */
export class Translator extends Admission {
  readonly kernel: Kernel;
  readonly memory: PhysicalMemory;
  readonly iotlb: Iotlb;
  readonly walks: WalkCache;
  /** Arrays of the caches, at hand for the hot path. */
  readonly lines: CacheLines;
  readonly tags: Float64Array;
  readonly flags: Uint8Array;
  readonly frames: Float64Array;
  readonly orders: Uint8Array;
  readonly setMask: number;
  readonly walkTags: Float64Array;
  readonly walkMask: number;
  readonly name: string;
  /** The page of the request that missed, and its key. Kept here because a double that is passed on is boxed. */
  readonly pages = new Float64Array(2);
  /** The walk of the atomic gait. */
  readonly tableWalk: TableWalk;

  constructor(vtd: Vtd) {
    super(vtd);
    this.kernel = vtd.kernel;
    this.name = vtd.name;
    this.memory = vtd.memory;
    this.iotlb = vtd.iotlb;
    this.walks = vtd.walkCache;
    this.lines = vtd.iotlb.lines;
    this.tags = this.lines.tag;
    this.flags = this.lines.flags;
    this.frames = this.lines.frame;
    this.orders = this.lines.order;
    this.setMask = vtd.iotlb.setMask;
    this.walkTags = vtd.walkCache.tags;
    this.walkMask = vtd.walkCache.mask;
    this.tableWalk = new TableWalk(vtd);
  }

  /** See TranslationAgent.translate. Benchmarks: vtd-translate-hit-1k, vtd-translate-miss-1k. */
  translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean {
    const i = this.lookup(stream, pasid, page, want);
    if (i < 0) return this.withoutLine(i, page, want, out);
    const flags = this.flags[i];
    // What is not the common case goes elsewhere: this method is to be inlined, with all that it calls, where it is called from.
    if (((want & RARE) | this.privilege | this.orders[i]) !== 0 || (want & ~flags & RIGHTS) !== 0) {
      return this.judge(i, page, want, out);
    }
    this.line = i;
    out.frame = this.frames[i];
    out.perm = flags & RIGHTS;
    out.log2Size = 12;
    out.reason = 0;
    out.level = PAGE_LEVEL;
    return true;
  }

  /** Not translated, or refused. */
  withoutLine(i: number, page: number, want: number, out: Translation): boolean {
    return i === NO_LINE.BYPASS ? this.identity(page, out) : this.refuse(want, out);
  }

  /** Whether the line at `i` answers a request of any kind: by its rights in the request's mode. */
  judge(i: number, page: number, asked: number, out: Translation): boolean {
    const want = this.asSeen(asked);
    const reason = this.forbidden(want);
    if (reason !== 0) return this.forbid(reason, asked, out);
    const rights = inModeOf(want, this.flags[i]);
    return (want & RIGHTS & ~rights) === 0 ? this.grant(i, page, rights, out) : this.deny(i, page, want, out);
  }

  grant(i: number, page: number, rights: number, out: Translation): boolean {
    this.line = i;
    out.frame = this.frames[i] + (page % powerOfTwo(this.orders[i]));
    out.perm = rights;
    out.log2Size = 12 + this.orders[i];
    out.reason = 0;
    out.level = this.orders[i] === 0 ? PAGE_LEVEL : this.iotlb.levels[i];
    return true;
  }

  /** The IOTLB line of a page, walked for if need be; or {@link NO_LINE}. Rights are the caller's business; `want` decides about flags. */
  lookup(stream: number, pasid: number, page: number, want: number): number {
    const { regimes } = this;
    if (stream !== regimes.memoStream || pasid !== regimes.memoPasid) {
      const at = this.configure(stream, pasid);
      if (at < 0) return at;
    }
    const { memo } = regimes;
    if (page < this.doubles[memo + LOW]) {
      const { tags } = this;
      const tag = this.doubles[memo + BASE] + page + page;
      let i = ((page ^ regimes.memoSalt) & this.setMask) << 2;
      if (tags[i] === tag || tags[++i] === tag || tags[++i] === tag || tags[++i] === tag) {
        this.kernel.observer.used(this.lines, i);
        return i;
      }
    }
    this.pages[PAGE] = page;
    return this.miss(memo, want);
  }

  /**
   * {@link lookup} for a request that takes what it gets: where the line lacks a right that may be had by walking, it is walked for.
   * A request that its PASID entry forbids is refused.
   */
  obtain(stream: number, pasid: number, page: number, want: number): number {
    const i = this.lookup(stream, pasid, page, want);
    if (i < 0) return i;
    const seen = this.asSeen(want);
    const reason = this.forbidden(seen);
    if (reason !== 0) return this.failHere(reason, 0);
    return this.walksAgain(i, seen) ? this.again(i, page, seen) : i;
  }

  /** {@link translate} stepwise. The ticket is InFlight's. Nothing comes between its end and what its caller does next. */
  translateSteps(
    stream: number,
    pasid: number,
    page: number,
    want: number,
    out: Translation,
    ticket: number,
  ): Coroutine<boolean> {
    return this.vtd.stepwise.translate(stream, pasid, page, want, out, ticket);
  }

  /** Drops what is cached of one first-stage page, as a page request for it asks (vtd.md 4.5). */
  forget(stream: number, pasid: number, page: number): void {
    const { iotlb, numbers, doubles } = this;
    const at = this.vtd.fetcher.cachedRegime(stream, pasid);
    if (at < 0 || numbers[at + NUMBER.KIND] !== KIND.FIRST) return;
    const low = doubles[at + LOW];
    const key = page >= 0 && page < low ? page : keyOf(KIND.FIRST, low, page);
    if (key < 0) return;
    for (const order of iotlb.orders) {
      const i = iotlb.seek(numbers[at + NUMBER.SPACE], order, key - (key % powerOfTwo(order)));
      if (i >= 0) this.tags[i] = -1;
    }
  }

  forbid(reason: number, want: number, out: Translation): boolean {
    this.failHere(reason, 0);
    return this.refuse(want, out);
  }

  // ── misses ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What no 4 KiB line of the lower half answers: pass-through, bad addresses, the upper half, large pages, walks. */
  miss(at: number, asked: number): number {
    const want = this.asSeen(asked);
    const { doubles, numbers, pages } = this;
    const page = pages[PAGE];
    const kind = numbers[at + NUMBER.KIND];
    const control = numbers[at + NUMBER.FLAGS];
    if (kind === KIND.PASS_THROUGH) {
      const reason = passThrough(control, page, doubles[at + REGIME.OUTPUT]);
      this.vtd.useRegime(at);
      return reason === 0 ? NO_LINE.BYPASS : this.failHere(reason, 0);
    }
    const reason = forbids(control, want);
    if (reason !== 0) return this.failHere(reason, 0);
    const low = page < doubles[at + LOW] && page >= 0;
    const key = low ? page : keyOf(kind, doubles[at + LOW], page);
    if (key < 0) return this.failHere(beyond(kind, control), 0);
    pages[KEY] = key;
    if (!low || this.iotlb.orders.length > 1) {
      const i = this.findOther(numbers, at, key);
      if (i >= 0) return this.use(i);
    }
    if (kind !== KIND.FIRST || !(key < SHORT) || (control & SLOW) !== 0) return this.walkByLevel(at, want);
    // The common case: one fetch from a first-stage table that the walk cache knows, for a page that needs no flags. Only small
    // integers are passed on: a double would be boxed. All in one method, so that it is not inlined where hits are. Benchmark:
    // vtd-translate-miss-1k.
    const { memory, regimes, walks, kernel } = this;
    const region = (key / 512) | 0;
    const w = (region ^ regimes.memoSalt) & this.walkMask;
    if (this.walkTags[w] !== doubles[at + BASE] + TABLE_TAG + region * 1024) return this.walkByLevel(at, want);
    const table = walks.tables[w];
    const index = walks.indexes[w];
    const chunk = table < 0 ? null : memory.chunkOf(index);
    if (chunk === null) return this.walkByLevel(at, want);
    const word = ((index & 511) << 10) + ((key & 511) << 1);
    const lo = chunk[word] | 0;
    const hi = chunk[word + 1] | 0;
    const frame = (lo >>> 12) + (hi & 0xfffff) * 0x100000;
    if ((lo & USED) !== USED || !(frame < doubles[at + REGIME.OUTPUT])) return this.walkByLevel(at, want);
    if (frame >= INTERRUPTS.FIRST && frame <= INTERRUPTS.LAST) return this.walkByLevel(at, want);
    const less = walks.inherited[w] | lessOfFirst(lo, hi);
    const flags = rightsOfFirst(less, lo, control);
    if ((flags & CLEAN) !== 0 && (wishes(want) & WRITE) !== 0) return this.walkByLevel(at, want);
    kernel.observer.used(walks.lines, w);
    kernel.observer.fetched(this.name, table, 'page table', regimes.stream, regimes.pasid);
    return this.keepPage(at, frame, flags, marksOf(less));
  }

  use(i: number): number {
    this.kernel.observer.used(this.lines, i);
    return i;
  }

  /** Any line that holds `key` for a regime, of any size. */
  findOther(numbers: Int32Array, at: number, key: number): number {
    const { iotlb } = this;
    const space = numbers[at + NUMBER.SPACE];
    const i = iotlb.seek(space, 0, key);
    return i >= 0 ? i : iotlb.findBlock(space, key);
  }

  /**
   * Fills the line of a page. Rights that are missing are cached too. The access that filled a line is not told as a use of it.
   */
  keepPage(at: number, frame: number, flags: number, marks: number): number {
    const { iotlb, lines, doubles, regimes, kernel } = this;
    const key = this.pages[KEY];
    const i = iotlb.claim(((key ^ regimes.memoSalt) & this.setMask) << 2, doubles[at + BASE] + key + key);
    lines.page[i] = this.pages[PAGE];
    lines.frame[i] = frame;
    lines.order[i] = 0;
    lines.flags[i] = flags;
    lines.pasid[i] = regimes.pasid;
    lines.stream[i] = regimes.stream;
    lines.born[i] = kernel.steps;
    const index = this.indexOf(frame);
    lines.generation[i] = index < 0 ? 0 : this.memory.frames.generation[index];
    iotlb.levels[i] = PAGE_LEVEL;
    iotlb.marks[i] = marks;
    kernel.observer.filled(lines, i, regimes.stream, regimes.pasid);
    return i;
  }

  /** PhysicalMemory.indexOf, apart: only small integers come here, so that nothing is computed in doubles. */
  indexOf(frame: number): number {
    const offset = frame - this.memory.firstPfn;
    return offset >= 0 && offset < this.memory.firstFrames ? offset : this.memory.indexOf(frame);
  }

  /** By {@link Walker}: from any table of either stage, with flags to be set. */
  walkByLevel(at: number, want: number): number {
    const { tableWalk: walk, regimes, pages } = this;
    walk.stream = regimes.stream;
    walk.pasid = regimes.pasid;
    walk.page = pages[PAGE];
    walk.key = pages[KEY];
    walk.want = want;
    walk.born = this.kernel.steps;
    walk.at = at;
    walk.cached = at;
    if (this.vtd.walker.run(walk) === NEXT.LEAF) return this.keep(walk);
    if (this.remembersAbsence(walk)) this.keepAbsent(walk);
    return this.failHere(walk.reason, walk.level);
  }

  /** Fills a line with what a walk found. */
  keep(walk: TableWalk): number {
    return this.fillLine(walk, walk.first, walk.order, walk.frame, walk.flags, walk.generation);
  }

  /** Caching mode remembers what the second stage does not map; never the first (VTD-16). */
  remembersAbsence(walk: TableWalk): boolean {
    const second = walk.numbers[walk.at + NUMBER.KIND] === KIND.SECOND;
    return this.vtd.capabilities.cm && walk.absent && second && this.vtd.walker.fresh(walk);
  }

  /** A line without rights, that leads to no frame. */
  keepAbsent(walk: TableWalk): number {
    walk.marks = 0;
    return this.fillLine(walk, walk.key, 0, -1, 0, 0);
  }

  fillLine(walk: TableWalk, first: number, order: number, frame: number, flags: number, generation: number): number {
    const { iotlb, lines, kernel } = this;
    const space = walk.numbers[walk.at + NUMBER.SPACE];
    const i = iotlb.claimAny(space, order, first);
    lines.page[i] = walk.page - (walk.key - first);
    lines.frame[i] = frame;
    lines.order[i] = order;
    lines.flags[i] = flags;
    lines.pasid[i] = walk.pasid;
    lines.stream[i] = walk.stream;
    lines.born[i] = walk.born;
    lines.generation[i] = generation;
    iotlb.levels[i] = walk.level;
    iotlb.marks[i] = walk.marks;
    kernel.observer.filled(lines, i, walk.stream, walk.pasid);
    return i;
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Translation is off, or passes the request through. */
  identity(page: number, out: Translation): boolean {
    this.line = -1;
    this.generation = 0;
    out.frame = page;
    out.perm = RIGHTS;
    out.log2Size = 12;
    out.reason = 0;
    out.level = 0;
    return true;
  }

  /** The line lacks a right. Where that may have changed without an invalidation the page is walked for again. */
  deny(i: number, page: number, want: number, out: Translation): boolean {
    if (this.walksAgain(i, want)) {
      const j = this.again(i, page, want);
      if (j < 0) return this.refuse(want, out);
      const rights = inModeOf(want, this.flags[j]);
      if ((want & RIGHTS & ~rights) === 0) return this.grant(j, page, rights, out);
      this.failHere(this.tableWalk.denied, this.iotlb.levels[j]);
      return this.refuse(want, out);
    }
    const { numbers, regimes } = this;
    const kind = numbers[regimes.memo + NUMBER.KIND];
    const control = numbers[regimes.memo + NUMBER.FLAGS];
    this.failHere(denial(kind, control, want, this.flags[i]), this.iotlb.levels[i]);
    return this.refuse(want, out);
  }

  /**
   * A line is not enough, and its page is walked for once more: for a write to a clean page, or for any right that is
   * missing, unless missing rights are cached. That nothing is mapped is cached in caching mode, always.
   */
  walksAgain(i: number, want: number): boolean {
    const flags = this.flags[i];
    if (missingRights(want, flags) === 0 || (flags & ~LINE.STALE) === 0) return false;
    return !this.vtd.capabilities.cacheReadOnly || this.soils(i, want);
  }

  /** The line lacks the right to write because its page is clean, and the request wants to make it dirty. */
  soils(i: number, want: number): boolean {
    if ((this.flags[i] & CLEAN) === 0 || (wishes(want) & WRITE) === 0) return false;
    return (want & WANT_PRIVILEGED) !== 0 || (this.iotlb.marks[i] & MARK.READ_ONLY) === 0;
  }

  /** Drops a line, and walks for its page once more. */
  again(i: number, page: number, want: number): number {
    const { memo } = this.regimes;
    const low = this.doubles[memo + LOW];
    this.tags[i] = -1;
    this.pages[PAGE] = page;
    this.pages[KEY] = page < low ? page : keyOf(this.numbers[memo + NUMBER.KIND], low, page);
    return this.walkByLevel(memo, want);
  }

  refuse(want: number, out: Translation): boolean {
    this.line = -1;
    this.generation = 0;
    this.wanted = this.asSeen(want);
    out.frame = 0;
    out.perm = 0;
    out.log2Size = 0;
    out.reason = this.reason;
    out.level = this.level;
    return false;
  }
}
