import { type CacheLines, type Coroutine, type Kernel, LINE, type PhysicalMemory, powerOfTwo } from '@iommukit/kernel';
import { CLEAN, inModeOf, missingRights, RIGHTS, type Translation, WANT_PRIVILEGED, wishes } from '@iommukit/pci-ats';
import { EVENT } from '@iommukit/smmuv3-spec';
import { TBI_PAGES } from './address-spaces.js';
import type { ConfigCache } from './config-cache.js';
import { CONTEXT, FLAG, KIND, NUMBER } from './context-fields.js';
import type { SmmuV3 } from './device.js';
import type { Iotlb } from './iotlb.js';
import { LastRequest, NO_LINE } from './last-request.js';
import { overridden } from './overrides.js';
import { AF, CONTIGUOUS, DBM, NG, rightsOf } from './rights.js';
import { NEXT, TableWalk } from './table-walk.js';
import type { WalkCache } from './walk-cache.js';

const { WRITE } = LINE;

const { LOW, BASE } = CONTEXT;

/** Pages of the whole 64-bit address range. */
const PAGES = 2 ** 52;
/** Pages of a half whose table index bits below the last level fit a small integer, which the short walk needs. */
const SHORT = 2 ** 36;
/** What the tag of the walk cache's line for a table of 512 pages has above the tag of the TLB's line of its first page. */
const TABLE_TAG = 2 ** 9 - 1;

/** Places in {@link Translator.pages}. */
const PAGE = 0;
const KEY = 1;

/**
 * Translation as one atomic step: configuration, TLB, walk, permission, in the order of smmuv3.md 5.3. Nothing here
 * records an event; what failed is in {@link reason} until the next lookup.
 */
export class Translator extends LastRequest {
  readonly kernel: Kernel;
  readonly memory: PhysicalMemory;
  readonly config: ConfigCache;
  readonly iotlb: Iotlb;
  readonly walks: WalkCache;
  /** Arrays of the caches, at hand for the hot path. */
  readonly contexts: Float64Array;
  readonly numbers: Int32Array;
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
  /** FLAG.OVERRIDES of the last context. */
  overrides = 0;
  /** The walk of the atomic gait. */
  readonly tableWalk: TableWalk;

  constructor(smmu: SmmuV3) {
    super(smmu);
    this.kernel = smmu.kernel;
    this.name = smmu.name;
    this.memory = smmu.memory;
    this.config = smmu.config;
    this.iotlb = smmu.iotlb;
    this.walks = smmu.walkCache;
    this.contexts = smmu.config.contexts;
    this.numbers = smmu.config.numbers;
    this.lines = smmu.iotlb.lines;
    this.tags = this.lines.tag;
    this.flags = this.lines.flags;
    this.frames = this.lines.frame;
    this.orders = this.lines.order;
    this.setMask = smmu.iotlb.setMask;
    this.walkTags = smmu.walkCache.tags;
    this.walkMask = smmu.walkCache.mask;
    this.tableWalk = new TableWalk(smmu);
  }

  /** See TranslationAgent.translate. Benchmarks: translate-hit-1k, translate-hit-1m, translate-miss-1k, translate-miss-1m. */
  translate(stream: number, ssid: number, page: number, want: number, out: Translation): boolean {
    const i = this.lookup(stream, ssid, page, want);
    if (i < 0) return this.withoutLine(i, page, want, out);
    const flags = this.flags[i];
    // What is not the common case goes elsewhere: this method is to be inlined, with all that it calls, where it is called from.
    if (((want & WANT_PRIVILEGED) | this.overrides | this.orders[i]) !== 0 || (want & ~flags & RIGHTS) !== 0) {
      return this.judge(i, page, this.asSeen(want), out);
    }
    this.line = i;
    out.frame = this.frames[i];
    out.perm = flags & RIGHTS;
    out.log2Size = 12;
    out.reason = 0;
    out.level = 3;
    return true;
  }

  /** Bypassed, or refused. */
  withoutLine(i: number, page: number, want: number, out: Translation): boolean {
    return i === NO_LINE.BYPASS ? this.identity(page, out) : this.refuse(want, out);
  }

  /** Whether the line at `i` answers a request of any kind: by its rights in the request's mode. */
  judge(i: number, page: number, want: number, out: Translation): boolean {
    const rights = inModeOf(want, this.flags[i]);
    return (want & RIGHTS & ~rights) === 0 ? this.grant(i, page, rights, out) : this.deny(i, page, want, out);
  }

  grant(i: number, page: number, rights: number, out: Translation): boolean {
    this.line = i;
    out.frame = this.frameOf(i, page);
    out.perm = rights;
    out.log2Size = 12 + this.orders[i];
    out.reason = 0;
    out.level = this.iotlb.levels[i];
    return true;
  }

  /** The frame of a page that the line covers; by its low bits, for the top byte may not be the line's. */
  frameOf(i: number, page: number): number {
    return this.frames[i] + (page % powerOfTwo(this.orders[i]));
  }

  /** The TLB line of a page, walked for if need be; or {@link NO_LINE}. Rights are the caller's business; `want` decides about flags. */
  lookup(stream: number, ssid: number, page: number, want: number): number {
    const { config } = this;
    if (stream !== config.memoStream || ssid !== config.memoSsid) {
      const at = this.configure(stream, ssid);
      if (at < 0) return at;
    }
    const { memo } = config;
    if (page < this.contexts[memo + LOW]) {
      const { tags } = this;
      const tag = this.contexts[memo + BASE] + page + page;
      let i = ((page ^ config.memoSalt) & this.setMask) << 2;
      if (tags[i] === tag || tags[++i] === tag || tags[++i] === tag || tags[++i] === tag) {
        this.kernel.observer.used(this.lines, i);
        return i;
      }
    }
    this.pages[PAGE] = page;
    return this.miss(memo, want);
  }

  /** {@link lookup} for a request that takes what it gets: where the line lacks a right that may be had by walking, it is walked for. */
  obtain(stream: number, ssid: number, page: number, want: number): number {
    const i = this.lookup(stream, ssid, page, want);
    if (i < 0 || !this.walksAgain(this.flags[i], this.asSeen(want))) return i;
    return this.again(i, page, this.asSeen(want));
  }

  /** A request of the last stream after STE.PRIVCFG and INSTCFG. */
  asSeen(want: number): number {
    return this.overrides === 0 ? want : overridden(want, this.overrides);
  }

  /** Translates as if for a read that nobody makes: a hint (CMD_PREFETCH_ADDR), which changes no flags and records nothing. */
  prefetch(stream: number, ssid: number, page: number): void {
    this.lookup(stream, ssid, page, 0);
  }

  /** {@link translate} stepwise. The ticket is InFlight's. Nothing comes between its end and what its caller does next. */
  translateSteps(
    stream: number,
    ssid: number,
    page: number,
    want: number,
    out: Translation,
    ticket: number,
  ): Coroutine<boolean> {
    return this.smmu.stepwise.translate(stream, ssid, page, want, out, ticket);
  }

  /** Steps 1 to 10 of 5.3: SMMUEN, STE, CD. Offset of the context, or {@link NO_LINE}. */
  configure(stream: number, ssid: number): number {
    this.context = -1;
    this.overrides = 0;
    this.config.forget();
    if (!this.smmu.registers.enabled) {
      if (!this.smmu.registers.globalAbort) return NO_LINE.BYPASS;
      return this.fail(0, 0);
    }
    const at = this.smmu.fetcher.context(stream, ssid);
    this.fetchAddress = this.smmu.fetcher.address;
    if (at < 0) return this.fail(this.smmu.fetcher.reason, 0);
    this.config.remember(stream, ssid, at);
    this.context = at;
    this.overrides = this.numbers[at + NUMBER.FLAGS] & FLAG.OVERRIDES;
    return at;
  }

  /** What no 4 KiB line with the context's ASID answers: bypass, bad ranges, the upper half, blocks and global lines, walks. */
  miss(at: number, want: number): number {
    const { contexts, pages } = this;
    const page = pages[PAGE];
    want = this.asSeen(want);
    const kind = this.numbers[at + NUMBER.KIND];
    if (kind !== KIND.STAGE1) {
      if (kind === KIND.BAD_CD) return this.fail(EVENT.C_BAD_CD, 0);
      if (!(page < contexts[at + CONTEXT.INPUT])) return this.failBeyond();
      if (kind === KIND.BYPASS) return NO_LINE.BYPASS;
    }
    const low = page < contexts[at + LOW];
    const key = low ? page : this.keyOf(contexts, this.numbers, at, page);
    if (key < 0) return this.fail(EVENT.F_TRANSLATION, 0);
    pages[KEY] = key;
    if (!low || this.iotlb.orders.length > 1 || this.iotlb.globals.exist) {
      const i = this.findOther(this.numbers, at, key);
      if (i >= 0) return this.use(i);
    }
    if (this.numbers[at + NUMBER.PLAIN] === 0 || !(key < SHORT)) return this.walkByLevel(at, want);
    // Step 11, the common case: one fetch from a table that the walk cache knows, for a page of 4 KiB that needs no flags. Only small
    // integers are passed on: a double would be boxed. Benchmarks: translate-miss-1k, translate-miss-1m.
    const { config, walks, kernel, memory } = this;
    const region = (key / 512) | 0;
    const w = (region ^ config.memoSalt) & this.walkMask;
    if (this.walkTags[w] !== contexts[at + BASE] + TABLE_TAG + region * 1024) return this.walkByLevel(at, want);
    const table = walks.tables[w];
    const index = walks.indexes[w];
    const chunk = table < 0 ? null : memory.chunkOf(index);
    if (chunk === null) return this.walkByLevel(at, want);
    const word = ((index & 511) << 10) + ((key & 511) << 1);
    const lo = chunk[word] | 0;
    const hi = chunk[word + 1] | 0;
    const frame = (lo >>> 12) + (hi & 0xffff) * 0x100000;
    if ((lo & (AF | 3)) !== (AF | 3) || (hi & (DBM | CONTIGUOUS)) !== 0 || !(frame < contexts[at + CONTEXT.OUTPUT0])) {
      return this.walkByLevel(at, want);
    }
    kernel.observer.used(walks.lines, w);
    kernel.observer.fetched(this.name, table, 'page table', config.memoStream, config.memoSsid);
    return this.keepPage(at, frame, lo, hi, walks.inherited[w]);
  }

  use(i: number): number {
    this.kernel.observer.used(this.lines, i);
    return i;
  }

  /** Any line that holds `key` for a context: of its ASID or global, of any size. */
  findOther(numbers: Int32Array, at: number, key: number): number {
    const { iotlb } = this;
    const space = numbers[at + NUMBER.SPACE];
    const i = iotlb.seek(space, 0, key);
    const j = i >= 0 ? i : iotlb.findBlock(space, key);
    if (j >= 0 || !iotlb.globals.exist) return j;
    const globalSpace = numbers[at + NUMBER.GLOBAL_SPACE];
    const k = iotlb.seek(globalSpace, 0, key);
    return k >= 0 ? k : iotlb.findBlock(globalSpace, key);
  }

  /** The key of a page of either half, its top byte ignored if need be. -1: out of range. */
  keyOf(contexts: Float64Array, numbers: Int32Array, at: number, page: number): number {
    const { half } = this.smmu.spaces.shape;
    const flags = numbers[at + NUMBER.FLAGS];
    const upper = Math.floor(page / (TBI_PAGES / 2)) % 2 === 1;
    if ((flags & (upper ? FLAG.TBI1 : FLAG.TBI0)) !== 0) page = (page % TBI_PAGES) + (upper ? PAGES - TBI_PAGES : 0);
    if (page < contexts[at + LOW]) return page;
    return page >= PAGES - contexts[at + CONTEXT.HIGH] && page < PAGES ? page - (PAGES - 2 * half) : -1;
  }

  /**
   * Fills the line of a page of the lower half. Rights that are missing are cached too (3.4). The access that filled a line is not
   * told as a use of it.
   */
  keepPage(at: number, frame: number, lo: number, hi: number, inherited: number): number {
    const { iotlb, lines, contexts, config, kernel } = this;
    const key = this.pages[KEY];
    const i =
      (lo & NG) !== 0
        ? iotlb.claim(((key ^ config.memoSalt) & this.setMask) << 2, contexts[at + CONTEXT.BASE] + key + key)
        : this.claimGlobal(at, 0, key);
    lines.page[i] = this.pages[PAGE];
    lines.frame[i] = frame;
    lines.order[i] = 0;
    lines.flags[i] = rightsOf(lo, hi, inherited, this.numbers[at + NUMBER.FLAGS], false);
    lines.pasid[i] = config.memoSsid;
    lines.stream[i] = config.memoStream;
    lines.born[i] = kernel.steps;
    const index = this.indexOf(frame);
    lines.generation[i] = index < 0 ? 0 : this.memory.frames.generation[index];
    iotlb.levels[i] = 3;
    kernel.observer.filled(lines, i, config.memoStream, config.memoSsid);
    return i;
  }

  /** PhysicalMemory.indexOf, apart: only small integers come here, so that nothing is computed in doubles. */
  indexOf(frame: number): number {
    const offset = frame - this.memory.firstPfn;
    return offset >= 0 && offset < this.memory.firstFrames ? offset : this.memory.indexOf(frame);
  }

  claimGlobal(at: number, order: number, first: number): number {
    this.iotlb.globals.exist = true;
    return this.iotlb.claimAny(this.numbers[at + NUMBER.GLOBAL_SPACE], order, first);
  }

  /** Step 11 by {@link Walker}: from any table, of any granule, in either half, with flags to be set. */
  walkByLevel(at: number, want: number): number {
    const { tableWalk: walk, config, pages } = this;
    walk.stream = config.memoStream;
    walk.ssid = config.memoSsid;
    walk.page = pages[PAGE];
    walk.key = pages[KEY];
    walk.want = want;
    walk.born = this.kernel.steps;
    walk.at = at;
    walk.cached = at;
    if (this.smmu.walker.run(walk) === NEXT.LEAF) return this.keep(walk);
    this.fetchAddress = walk.address;
    return this.fail(walk.reason, walk.level);
  }

  /** Fills a line with what a walk found. */
  keep(walk: TableWalk): number {
    const { iotlb, lines, kernel } = this;
    const { order, first } = walk;
    if (walk.global) iotlb.globals.exist = true;
    const space = walk.numbers[walk.at + (walk.global ? NUMBER.GLOBAL_SPACE : NUMBER.SPACE)];
    const i = iotlb.claimAny(space, order, first);
    lines.page[i] = walk.page - (walk.key - first);
    lines.frame[i] = walk.frame;
    lines.order[i] = order;
    lines.flags[i] = walk.flags;
    lines.pasid[i] = walk.ssid;
    lines.stream[i] = walk.stream;
    lines.born[i] = walk.born;
    lines.generation[i] = walk.generation;
    iotlb.levels[i] = walk.level;
    kernel.observer.filled(lines, i, walk.stream, walk.ssid);
    return i;
  }

  /** SMMU bypassed, or a stream without stage 1. */
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
    if (this.walksAgain(this.flags[i], want)) {
      const j = this.again(i, page, want);
      if (j < 0) return this.refuse(want, out);
      const rights = inModeOf(want, this.flags[j]);
      if ((want & RIGHTS & ~rights) === 0) return this.grant(j, page, rights, out);
      i = j;
    }
    this.fail(EVENT.F_PERMISSION, this.iotlb.levels[i]);
    return this.refuse(want, out);
  }

  /**
   * A line with `flags` is not enough, and its page is walked for once more: for a write to a clean page (3.5), or for any right that is
   * missing, where missing rights are not cached (SMMU-20).
   */
  walksAgain(flags: number, want: number): boolean {
    if (missingRights(want, flags) === 0) return false;
    return !this.smmu.capabilities.cacheReadOnly || ((flags & CLEAN) !== 0 && (wishes(want) & WRITE) !== 0);
  }

  /** Drops a line, and walks for its page once more. */
  again(i: number, page: number, want: number): number {
    const { memo } = this.config;
    this.tags[i] = -1;
    this.pages[PAGE] = page;
    this.pages[KEY] =
      page < this.contexts[memo + CONTEXT.LOW] ? page : this.keyOf(this.contexts, this.numbers, memo, page);
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
