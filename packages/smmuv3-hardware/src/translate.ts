import { type CacheLines, type Coroutine, type Kernel, LINE, type PhysicalMemory } from '@iommukit/kernel';
import type { Translation } from '@iommukit/pci-ats';
import { EVENT } from '@iommukit/smmuv3-spec';
import { CONTEXT, type ConfigCache, FLAG, KIND, NUMBER } from './config-cache.js';
import type { SmmuV3 } from './device.js';
import { type Iotlb, saltOf, tagOf } from './iotlb.js';
import { AF, NG, PRIVILEGED_SHIFT, rightsOf } from './rights.js';

/** What {@link Translator.lookup} returns instead of a line. */
export const NO_LINE = {
  /** The request failed: {@link Translator.reason} says why. */
  REFUSED: -1,
  /** The address is not translated. */
  BYPASS: -2,
} as const;

const ALL = LINE.READ | LINE.WRITE | LINE.EXEC;
/** Bit of `want` for a privileged request. */
export const WANT_PRIVILEGED = 8;

/** Pages of the whole 64-bit address range, and of the part below the byte that TBI ignores. */
const PAGES = 2 ** 52;
const TBI_PAGES = 2 ** 44;
/** Pages of one half of a 48-bit range: keys of the upper half begin here. */
const HALF = 2 ** 36;

/** Places in {@link Translator.pages}. */
const PAGE = 0;
const KEY = 1;

/**
 * Stage-1 translation as one atomic step: configuration, TLB, walk, permission, in the order of smmuv3.md 5.3. Nothing here
 * records an event; what failed is in {@link reason} until the next lookup.
 */
export class Translator {
  readonly smmu: SmmuV3;
  readonly kernel: Kernel;
  readonly memory: PhysicalMemory;
  readonly config: ConfigCache;
  readonly iotlb: Iotlb;
  /** Arrays of the two caches, at hand for the hot path. */
  readonly contexts: Float64Array;
  readonly numbers: Int32Array;
  readonly lines: CacheLines;
  readonly tags: Float64Array;
  readonly flags: Uint8Array;
  readonly frames: Float64Array;
  readonly orders: Uint8Array;
  readonly setMask: number;
  /** Event number of what failed; 0 for an abort without a record. */
  reason = 0;
  /** Level at which the walk ended. */
  level = 0;
  /** Address whose fetch failed: F_STE_FETCH, F_CD_FETCH, F_WALK_EABT. */
  fetchAddress = 0;
  /** The page of the request that missed, and its key. Kept here because a double that is passed on is boxed. */
  readonly pages = new Float64Array(2);
  readonly name: string;
  /** Offset of the last request's context in {@link ConfigCache.contexts}; -1 when it had none. */
  context = -1;
  /** The line of the last {@link translate} that succeeded; -1 when it needed none. */
  line = -1;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.kernel = smmu.kernel;
    this.name = smmu.name;
    this.memory = smmu.memory;
    this.config = smmu.config;
    this.iotlb = smmu.iotlb;
    this.contexts = smmu.config.contexts;
    this.numbers = smmu.config.numbers;
    this.lines = smmu.iotlb.lines;
    this.tags = this.lines.tag;
    this.flags = this.lines.flags;
    this.frames = this.lines.frame;
    this.orders = this.lines.order;
    this.setMask = smmu.iotlb.setMask;
  }

  /** See TranslationAgent.translate. Benchmarks: translate-hit-1k, translate-hit-1m, translate-miss-1k, translate-miss-1m. */
  translate(stream: number, ssid: number, page: number, want: number, out: Translation): boolean {
    const i = this.lookup(stream, ssid, page);
    if (i < 0) return i === NO_LINE.BYPASS ? this.identity(page, out) : this.refuse(out);
    const flags = this.flags[i];
    const rights = (want & WANT_PRIVILEGED) === 0 ? flags & ALL : (flags >> PRIVILEGED_SHIFT) & ALL;
    if ((want & ALL & ~rights) !== 0) return this.deny(i, out);
    this.line = i;
    const order = this.orders[i];
    if (order !== 0) return this.inBlock(i, page, rights, out);
    out.frame = this.frames[i];
    out.perm = rights;
    out.log2Size = 12;
    out.reason = 0;
    out.level = 3;
    return true;
  }

  /** {@link translate} in the stepwise gait. */
  *translateSteps(
    stream: number,
    ssid: number,
    page: number,
    want: number,
    out: Translation,
    _ticket: number,
  ): Coroutine<boolean> {
    return this.translate(stream, ssid, page, want, out);
  }

  /** CMD_PREFETCH_ADDR: caches a translation if there is one. */
  prefetch(stream: number, ssid: number, page: number): void {
    this.lookup(stream, ssid, page);
  }

  inBlock(i: number, page: number, rights: number, out: Translation): boolean {
    const { lines } = this.iotlb;
    out.frame = lines.frame[i] + (page - lines.page[i]);
    out.perm = rights;
    out.log2Size = 12 + lines.order[i];
    out.reason = 0;
    out.level = this.iotlb.levelOf(i);
    return true;
  }

  /** The TLB line of a page, walked for if need be; or {@link NO_LINE}. Rights are the caller's business. */
  lookup(stream: number, ssid: number, page: number): number {
    const { config } = this;
    if (stream !== config.memoStream || ssid !== config.memoSsid) {
      const at = this.configure(stream, ssid);
      if (at < 0) return at;
    }
    const { memo } = config;
    this.context = memo;
    if (page < this.contexts[memo + CONTEXT.LOW]) {
      const { tags } = this;
      const tag = this.contexts[memo + CONTEXT.BASE] + page;
      let i = ((page ^ config.memoSalt) & this.setMask) << 2;
      if (tags[i] === tag || tags[++i] === tag || tags[++i] === tag || tags[++i] === tag) {
        this.kernel.observer.used(this.lines, i);
        return i;
      }
    }
    this.pages[PAGE] = page;
    return this.miss(memo);
  }

  /** Stage 1 translates the last request's stream: CD.A, R and S govern its faults (3.3). */
  get translates(): boolean {
    return this.context >= 0 && this.numbers[this.context + NUMBER.KIND] === KIND.STAGE1;
  }

  /** Steps 1 to 10 of 5.3: SMMUEN, STE, CD. Offset of the context, or {@link NO_LINE}. */
  configure(stream: number, ssid: number): number {
    this.context = -1;
    if (!this.smmu.registers.enabled) {
      if (!this.smmu.registers.globalAbort) return NO_LINE.BYPASS;
      return this.fail(0, 0);
    }
    const at = this.smmu.fetcher.context(stream, ssid);
    if (at < 0) this.fail(this.smmu.fetcher.reason, 0);
    this.fetchAddress = this.smmu.fetcher.address;
    return at;
  }

  /** What no 4 KiB line with the context's ASID answers: bypass, bad ranges, the upper half, blocks and global lines, walks. */
  miss(at: number): number {
    const { contexts, pages } = this;
    const page = pages[PAGE];
    const kind = this.numbers[at + NUMBER.KIND];
    if (kind !== KIND.STAGE1) {
      if (kind === KIND.BAD_CD) return this.fail(EVENT.C_BAD_CD, 0);
      return page < contexts[at + CONTEXT.OUTPUT] ? NO_LINE.BYPASS : this.fail(EVENT.F_ADDR_SIZE, 0);
    }
    pages[KEY] = page;
    if (!(page < contexts[at + CONTEXT.LOW])) {
      const key = this.keyOf(at, page);
      if (key < 0) return this.fail(EVENT.F_TRANSLATION, 0);
      pages[KEY] = key;
      const i = this.iotlb.find(
        this.iotlb.setOf(key, this.numbers[at + NUMBER.SALT]),
        contexts[at + CONTEXT.BASE] + key,
      );
      if (i >= 0) return this.use(i);
    }
    if (this.iotlb.state.blocks !== 0 || this.iotlb.state.globals) {
      const i = this.findOther(at, pages[KEY]);
      if (i >= 0) return this.use(i);
    }
    return this.walk(at);
  }

  use(i: number): number {
    this.kernel.observer.used(this.lines, i);
    return i;
  }

  /** A block line of the context's ASID, or a global line. */
  findOther(at: number, key: number): number {
    const { iotlb, numbers } = this;
    const i = iotlb.findBlock(numbers[at + NUMBER.SPACE], key);
    if (i >= 0 || !iotlb.state.globals) return i;
    const space = numbers[at + NUMBER.GLOBAL_SPACE];
    const j = iotlb.find(iotlb.setOf(key, saltOf(space)), tagOf(space, 0, key));
    return j >= 0 ? j : iotlb.findBlock(space, key);
  }

  /** The key of a page that is not below LOW as it stands: the upper half, or a top byte to be ignored. -1: out of range. */
  keyOf(at: number, page: number): number {
    const { contexts } = this;
    const flags = this.numbers[at + NUMBER.FLAGS];
    const upper = Math.floor(page / (TBI_PAGES / 2)) % 2 === 1;
    if ((flags & (upper ? FLAG.TBI1 : FLAG.TBI0)) !== 0) page = (page % TBI_PAGES) + (upper ? PAGES - TBI_PAGES : 0);
    if (page < contexts[at + CONTEXT.LOW]) return page;
    return page >= PAGES - contexts[at + CONTEXT.HIGH] && page < PAGES ? page - (PAGES - 2 * HALF) : -1;
  }

  /**
   * Step 11, the common case written out: four levels from TTB0 to a page. Anything else starts again level by level. Only
   * small integers are passed on: a double would be boxed. Benchmarks: translate-miss-1k, translate-miss-1m.
   */
  walk(at: number): number {
    const { memory, contexts, numbers, config, name } = this;
    const { observer } = this.kernel;
    const { memoStream, memoSsid } = config;
    const key = this.pages[KEY];
    if (numbers[at + NUMBER.START0] !== 0 || key >= HALF) return this.walkByLevel(at);
    const output = contexts[at + CONTEXT.OUTPUT];
    const upperBits = (key / 2 ** 18) | 0;
    const lowerBits = key & 0x3ffff;

    let frame = numbers[at + NUMBER.FRAME0];
    let index = this.indexOf(frame);
    if (index < 0) return this.walkByLevel(at);
    observer.fetched(name, frame, 'page table', memoStream, memoSsid);
    let chunk = memory.chunkOf(index);
    let word = ((index & 511) << 10) + numbers[at + NUMBER.OFFSET0] + ((upperBits >>> 9) << 1);
    if (chunk === null || (chunk[word] & 3) !== 3) return this.walkByLevel(at);
    let inherited = chunk[word + 1] | 0;

    frame = (chunk[word] >>> 12) + (inherited & 0xffff) * 0x100000;
    index = this.indexOf(frame);
    if (index < 0 || frame >= output) return this.walkByLevel(at);
    observer.fetched(name, frame, 'page table', memoStream, memoSsid);
    chunk = memory.chunkOf(index);
    word = ((index & 511) << 10) + ((upperBits & 511) << 1);
    if (chunk === null || (chunk[word] & 3) !== 3) return this.walkByLevel(at);
    let high = chunk[word + 1] | 0;
    inherited |= high;

    frame = (chunk[word] >>> 12) + (high & 0xffff) * 0x100000;
    index = this.indexOf(frame);
    if (index < 0 || frame >= output) return this.walkByLevel(at);
    observer.fetched(name, frame, 'page table', memoStream, memoSsid);
    chunk = memory.chunkOf(index);
    word = ((index & 511) << 10) + ((lowerBits >>> 9) << 1);
    if (chunk === null || (chunk[word] & 3) !== 3) return this.walkByLevel(at);
    high = chunk[word + 1] | 0;
    inherited |= high;

    frame = (chunk[word] >>> 12) + (high & 0xffff) * 0x100000;
    index = this.indexOf(frame);
    if (index < 0 || frame >= output) return this.walkByLevel(at);
    observer.fetched(name, frame, 'page table', memoStream, memoSsid);
    chunk = memory.chunkOf(index);
    word = ((index & 511) << 10) + ((lowerBits & 511) << 1);
    if (chunk === null || (chunk[word] & 3) !== 3) return this.walkByLevel(at);
    const low = chunk[word] | 0;
    high = chunk[word + 1] | 0;
    frame = (low >>> 12) + (high & 0xffff) * 0x100000;
    if (frame >= output) return this.walkByLevel(at);
    return this.fill(at, 0, 0, frame, low, high, inherited);
  }

  /** Step 11 from any start level and in either half, with every fault in the order of 3.3. */
  walkByLevel(at: number): number {
    const { kernel, memory, contexts, numbers, config, name } = this;
    const { observer } = kernel;
    const { memoStream, memoSsid } = config;
    const key = this.pages[KEY];
    const half = key < HALF ? 0 : 1;
    const shape = at + NUMBER.START0 + half * (NUMBER.START1 - NUMBER.START0);
    let level = numbers[shape];
    if (level < 0) return this.fail(EVENT.F_TRANSLATION, 0); // EPD: a miss is not walked for
    const output = contexts[at + CONTEXT.OUTPUT];
    const upperBits = (key / 2 ** 18) | 0;
    const lowerBits = key & 0x3ffff;
    let root = numbers[shape + 3];
    if (root < 0) root = contexts[at + CONTEXT.TABLE0 + half];
    let slot = numbers[shape + 2] + ((this.indexBits(level, upperBits, lowerBits) & numbers[shape + 1]) << 1);
    let inherited = 0;
    observer.fetched(name, root, 'page table', memoStream, memoSsid);
    let index = this.indexOf(root);
    if (index < 0) return this.walkAbort(root * 4096 + slot * 4, level);
    for (;;) {
      const chunk = memory.chunkOf(index);
      if (chunk === null) return this.fail(EVENT.F_TRANSLATION, level);
      const word = ((index & 511) << 10) + slot;
      const lo = chunk[word] | 0;
      const hi = chunk[word + 1] | 0;
      if ((lo & 1) === 0) return this.fail(EVENT.F_TRANSLATION, level);
      const next = (lo >>> 12) + (hi & 0xffff) * 0x100000;
      if (level === 3) {
        if ((lo & 2) === 0) return this.fail(EVENT.F_TRANSLATION, level);
        if (next >= output) return this.fail(EVENT.F_ADDR_SIZE, level);
        return this.fill(at, half, 0, next, lo, hi, inherited);
      }
      if ((lo & 2) === 0 && level === 0) return this.fail(EVENT.F_TRANSLATION, level);
      if (next >= output) return this.fail(EVENT.F_ADDR_SIZE, level);
      if ((lo & 2) === 0) return this.fill(at, half, 3 - level, next - (next % 512 ** (3 - level)), lo, hi, inherited);
      inherited |= hi;
      level++;
      slot = (this.indexBits(level, upperBits, lowerBits) & 511) << 1;
      observer.fetched(name, next, 'page table', memoStream, memoSsid);
      index = this.indexOf(next);
      if (index < 0) return this.walkAbort(next * 4096 + slot * 4, level);
    }
  }

  /** PhysicalMemory.indexOf, apart: only small integers come here, so that nothing is computed in doubles. */
  indexOf(frame: number): number {
    const offset = frame - this.memory.firstPfn;
    return offset >= 0 && offset < this.memory.firstFrames ? offset : this.memory.indexOf(frame);
  }

  /** The bits of a key that index the table of a level, in the low 9 bits. */
  indexBits(level: number, upperBits: number, lowerBits: number): number {
    const bits = level < 2 ? upperBits : lowerBits;
    return (level & 1) === 0 ? bits >>> 9 : bits;
  }

  /**
   * The leaf: AF, then the rights, then a line. Rights that are missing are cached too (3.4). The access that filled a line is not
   * told as a use of it.
   */
  fill(at: number, half: number, size: number, frame: number, lo: number, hi: number, inherited: number): number {
    const { iotlb, lines, contexts, config, kernel } = this;
    const control = this.numbers[at + NUMBER.FLAGS];
    if ((lo & AF) === 0 && (control & FLAG.AFFD) === 0) return this.fail(EVENT.F_ACCESS, 3 - size);
    const key = this.pages[KEY];
    const i =
      size === 0 && (lo & NG) !== 0
        ? iotlb.claim(((key ^ config.memoSalt) & this.setMask) << 2, contexts[at + CONTEXT.BASE] + key)
        : this.claimOther(at, size, key, (lo & NG) === 0);
    lines.page[i] = this.pages[PAGE] - (size === 0 ? 0 : key % 512 ** size);
    lines.frame[i] = frame;
    lines.order[i] = 9 * size;
    lines.flags[i] = rightsOf(lo, hi, inherited, control, half !== 0);
    lines.pasid[i] = config.memoSsid;
    lines.stream[i] = config.memoStream;
    lines.born[i] = kernel.steps;
    const index = this.indexOf(frame);
    lines.generation[i] = index < 0 ? 0 : this.memory.frames.generation[index];
    kernel.observer.filled(lines, i, config.memoStream, config.memoSsid);
    return i;
  }

  /** The line for a block, or for a global translation. */
  claimOther(at: number, size: number, key: number, global: boolean): number {
    const { iotlb, numbers } = this;
    const space = numbers[at + (global ? NUMBER.GLOBAL_SPACE : NUMBER.SPACE)];
    const unit = 512 ** size;
    const first = key - (key % unit);
    if (global) iotlb.state.globals = true;
    if (size !== 0) iotlb.state.blocks |= 1 << size;
    return iotlb.claim(iotlb.setOf(first / unit, saltOf(space)), tagOf(space, size, first));
  }

  walkAbort(address: number, level: number): number {
    this.fetchAddress = address;
    return this.fail(EVENT.F_WALK_EABT, level);
  }

  fail(reason: number, level: number): number {
    this.reason = reason;
    this.level = level;
    return NO_LINE.REFUSED;
  }

  /** SMMU bypassed, or a stream without stage 1. */
  identity(page: number, out: Translation): boolean {
    this.line = -1;
    out.frame = page;
    out.perm = ALL;
    out.log2Size = 12;
    out.reason = 0;
    out.level = 0;
    return true;
  }

  deny(i: number, out: Translation): boolean {
    this.fail(EVENT.F_PERMISSION, this.iotlb.levelOf(i));
    return this.refuse(out);
  }

  refuse(out: Translation): boolean {
    this.line = -1;
    out.frame = 0;
    out.perm = 0;
    out.log2Size = 0;
    out.reason = this.reason;
    out.level = this.level;
    return false;
  }
}
