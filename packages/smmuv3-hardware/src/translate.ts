import { type Kernel, LINE, type PhysicalMemory } from '@iommukit/kernel';
import type { Translation } from '@iommukit/pci-ats';
import { EVENT } from '@iommukit/smmuv3-spec';
import { CONTEXT, type ConfigCache, FLAG, KIND } from './config-cache.js';
import type { SmmuV3 } from './device.js';
import { type Iotlb, saltOf, tagOf } from './iotlb.js';

/** What {@link Translator.lookup} returns instead of a line. */
export const NO_LINE = {
  /** The request failed: {@link Translator.reason} says why. */
  REFUSED: -1,
  /** The address is not translated. */
  BYPASS: -2,
} as const;

/** Rights in a line's flags beyond {@link LINE}: those of privileged requests, three bits further up. */
export const PRIVILEGED_SHIFT = 3;
const { READ, WRITE, EXEC } = LINE;
const ALL = READ | WRITE | EXEC;
/** Bit of `want` for a privileged request. */
export const WANT_PRIVILEGED = 8;

/** Pages of the whole 64-bit address range, and of the part below the byte that TBI ignores. */
const PAGES = 2 ** 52;
const TBI_PAGES = 2 ** 44;
/** Pages of one half of a 48-bit range: keys of the upper half begin here. */
const HALF = 2 ** 36;

/** Bits of the high word of a table descriptor that restrict what lies below (3.2): UXNTable, PXNTable, APTable. */
const TABLE = { PXN: 1 << 27, UXN: 1 << 28, NO_USER: 1 << 29, NO_WRITE: 1 << 30 } as const;

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
  /** Event number of what failed; 0 for an abort without a record. */
  reason = 0;
  /** Level at which the walk ended. */
  level = 0;
  /** Address whose fetch failed: F_STE_FETCH, F_CD_FETCH, F_WALK_EABT. */
  fetchAddress = 0;
  /** Offset of the last request's context in {@link ConfigCache.contexts}; -1 when it had none. */
  context = -1;
  /** The line of the last {@link translate} that succeeded; -1 when it needed none. */
  line = -1;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.kernel = smmu.kernel;
    this.memory = smmu.memory;
    this.config = smmu.config;
    this.iotlb = smmu.iotlb;
  }

  /** See TranslationAgent.translate. Benchmarks: translate-hit-1k, translate-hit-1m, translate-miss-1k, translate-miss-1m. */
  translate(stream: number, ssid: number, page: number, want: number, out: Translation): boolean {
    const i = this.lookup(stream, ssid, page);
    if (i < 0) return i === NO_LINE.BYPASS ? this.identity(page, out) : this.refuse(out);
    const { lines } = this.iotlb;
    const flags = lines.flags[i];
    const rights = (want & WANT_PRIVILEGED) === 0 ? flags & ALL : (flags >> PRIVILEGED_SHIFT) & ALL;
    const order = lines.order[i];
    if ((want & ALL & ~rights) !== 0) return this.deny(i, out);
    this.line = i;
    out.frame = lines.frame[i] + (order === 0 ? 0 : page - lines.page[i]);
    out.perm = rights;
    out.log2Size = 12 + order;
    out.reason = 0;
    out.level = order === 0 ? 3 : this.iotlb.levelOf(i);
    return true;
  }

  /** The TLB line of a page, walked for if need be; or {@link NO_LINE}. Rights are the caller's business. */
  lookup(stream: number, ssid: number, page: number): number {
    const { config } = this;
    let at = config.memo;
    if (stream !== config.memoStream || ssid !== config.memoSsid) {
      at = this.configure(stream, ssid);
      if (at < 0) return at;
    }
    this.context = at;
    const { contexts } = config;
    if (page < contexts[at + CONTEXT.LOW]) {
      const { iotlb } = this;
      const i = iotlb.find(iotlb.setOf(page, contexts[at + CONTEXT.SALT]), contexts[at + CONTEXT.BASE] + page);
      if (i >= 0) {
        this.kernel.observer.used(iotlb.lines, i);
        return i;
      }
    }
    return this.miss(at, stream, ssid, page);
  }

  /** Stage 1 translates the last request's stream: CD.A, R and S govern its faults (3.3). */
  get translates(): boolean {
    return this.context >= 0 && this.config.contexts[this.context + CONTEXT.KIND] === KIND.STAGE1;
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
  miss(at: number, stream: number, ssid: number, page: number): number {
    const { contexts } = this.config;
    const kind = contexts[at + CONTEXT.KIND];
    if (kind !== KIND.STAGE1) {
      if (kind === KIND.BAD_CD) return this.fail(EVENT.C_BAD_CD, 0);
      return page < contexts[at + CONTEXT.OUTPUT] ? NO_LINE.BYPASS : this.fail(EVENT.F_ADDR_SIZE, 0);
    }
    let key = page;
    if (!(page < contexts[at + CONTEXT.LOW])) {
      key = this.keyOf(at, page);
      if (key < 0) return this.fail(EVENT.F_TRANSLATION, 0);
      const i = this.iotlb.find(this.iotlb.setOf(key, contexts[at + CONTEXT.SALT]), contexts[at + CONTEXT.BASE] + key);
      if (i >= 0) return this.use(i);
    }
    if (this.iotlb.state.blocks !== 0 || this.iotlb.state.globals) {
      const i = this.findOther(at, key);
      if (i >= 0) return this.use(i);
    }
    return this.walk(at, stream, ssid, page, key);
  }

  use(i: number): number {
    this.kernel.observer.used(this.iotlb.lines, i);
    return i;
  }

  /** A block line of the context's ASID, or a global line. */
  findOther(at: number, key: number): number {
    const { iotlb } = this;
    const { contexts } = this.config;
    const i = iotlb.findBlock(contexts[at + CONTEXT.SPACE], key);
    if (i >= 0 || !iotlb.state.globals) return i;
    const space = contexts[at + CONTEXT.GLOBAL_SPACE];
    const j = iotlb.find(iotlb.setOf(key, saltOf(space)), tagOf(space, 0, key));
    return j >= 0 ? j : iotlb.findBlock(space, key);
  }

  /** The key of a page that is not below LOW as it stands: the upper half, or a top byte to be ignored. -1: out of range. */
  keyOf(at: number, page: number): number {
    const { contexts } = this.config;
    const flags = contexts[at + CONTEXT.FLAGS] | 0;
    const upper = Math.floor(page / (TBI_PAGES / 2)) % 2 === 1;
    if ((flags & (upper ? FLAG.TBI1 : FLAG.TBI0)) !== 0) page = (page % TBI_PAGES) + (upper ? PAGES - TBI_PAGES : 0);
    if (page < contexts[at + CONTEXT.LOW]) return page;
    return page >= PAGES - contexts[at + CONTEXT.HIGH] && page < PAGES ? page - (PAGES - 2 * HALF) : -1;
  }

  /** Step 11: walks the tables in memory and fills a line. */
  walk(at: number, stream: number, ssid: number, page: number, key: number): number {
    const { kernel, memory } = this;
    const { contexts } = this.config;
    const half = key < HALF ? 0 : CONTEXT.TABLE1 - CONTEXT.TABLE0;
    const start = contexts[at + CONTEXT.START0 + half] | 0;
    if (start < 0) return this.fail(EVENT.F_TRANSLATION, 0); // EPD: a miss is not walked for
    const born = kernel.steps;
    const { name } = this.smmu;
    const output = contexts[at + CONTEXT.OUTPUT];
    const upperBits = (key / 2 ** 18) | 0;
    const lowerBits = key & 0x3ffff;
    const table = contexts[at + CONTEXT.TABLE0 + half];
    let frame = Math.floor(table / 4096);
    let offset = (table - frame * 4096) >>> 2;
    let mask = contexts[at + CONTEXT.MASK0 + half] | 0;
    let inherited = 0;
    for (let level = start; ; level++) {
      kernel.observer.fetched(name, frame, 'page table', stream, ssid);
      const bits = level < 2 ? upperBits : lowerBits;
      const slot = offset + (((level & 1) === 0 ? bits >>> 9 : bits) & mask) * 2;
      const index = memory.indexOf(frame);
      if (index < 0) return this.walkAbort(frame * 4096 + slot * 4, level);
      const chunk = memory.chunkOf(index);
      if (chunk === null) return this.fail(EVENT.F_TRANSLATION, level);
      const word = ((index & 511) << 10) + slot;
      const lo = chunk[word];
      const hi = chunk[word + 1];
      if ((lo & 1) === 0) return this.fail(EVENT.F_TRANSLATION, level);
      const next = (lo >>> 12) + (hi & 0xffff) * 0x100000;
      if (level === 3) {
        if ((lo & 2) === 0) return this.fail(EVENT.F_TRANSLATION, level);
        if (next >= output) return this.fail(EVENT.F_ADDR_SIZE, level);
        return this.fill(at, half, stream, ssid, page, key, 0, next, lo, hi, inherited, born);
      }
      if ((lo & 2) === 0) {
        if (level === 0) return this.fail(EVENT.F_TRANSLATION, level);
        const unit = level === 1 ? 2 ** 18 : 512;
        if (next >= output) return this.fail(EVENT.F_ADDR_SIZE, level);
        return this.fill(at, half, stream, ssid, page, key, 3 - level, next - (next % unit), lo, hi, inherited, born);
      }
      if (next >= output) return this.fail(EVENT.F_ADDR_SIZE, level);
      inherited |= hi;
      frame = next;
      offset = 0;
      mask = 511;
    }
  }

  /** The leaf: AF, then the rights, then a line. Rights that are missing are cached too (3.4). */
  fill(
    at: number,
    half: number,
    stream: number,
    ssid: number,
    page: number,
    key: number,
    size: number,
    frame: number,
    lo: number,
    hi: number,
    inherited: number,
    born: number,
  ): number {
    const { iotlb, memory } = this;
    const { contexts } = this.config;
    const control = contexts[at + CONTEXT.FLAGS] | 0;
    if ((lo & (1 << 10)) === 0 && (control & FLAG.AFFD) === 0) return this.fail(EVENT.F_ACCESS, 3 - size);
    const flags = rightsOf(lo, hi, inherited, control, half !== 0);
    let space = 0;
    let tag = contexts[at + CONTEXT.BASE] + key;
    let salt = contexts[at + CONTEXT.SALT] | 0;
    let first = key;
    if ((lo & (1 << 11)) === 0 || size !== 0) {
      const global = (lo & (1 << 11)) === 0;
      space = contexts[at + (global ? CONTEXT.GLOBAL_SPACE : CONTEXT.SPACE)];
      first = key - (key % 2 ** (9 * size));
      tag = tagOf(space, size, first);
      salt = saltOf(space);
      if (global) iotlb.state.globals = true;
      if (size !== 0) iotlb.state.blocks |= 1 << size;
    }
    const { lines } = iotlb;
    const i = iotlb.claim(iotlb.setOf(size === 0 ? first : first / 2 ** (9 * size), salt), tag);
    lines.page[i] = page - (key - first);
    lines.frame[i] = frame;
    lines.order[i] = 9 * size;
    lines.flags[i] = flags;
    lines.pasid[i] = ssid;
    lines.stream[i] = stream;
    lines.born[i] = born;
    lines.generation[i] = memory.generationOf(frame);
    const { observer } = this.kernel;
    observer.filled(lines, i, stream, ssid);
    observer.used(lines, i);
    return i;
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

/** Rights of a leaf (3.2) for unprivileged requests, and three bits further up for privileged ones. */
export function rightsOf(lo: number, hi: number, inherited: number, control: number, upper: boolean): number {
  const tables = (control & (upper ? FLAG.HAD1 : FLAG.HAD0)) === 0 ? inherited : 0;
  const user = (lo & (1 << 6)) !== 0 && (tables & TABLE.NO_USER) === 0;
  const writable = (lo & (1 << 7)) === 0 && (tables & TABLE.NO_WRITE) === 0;
  const userWrite = user && writable;
  const wxn = (control & FLAG.WXN) !== 0;
  const userExec = (hi & (1 << 22)) === 0 && (tables & TABLE.UXN) === 0 && !(wxn && userWrite);
  const uwxn = (control & FLAG.UWXN) !== 0 && userWrite;
  const exec = (hi & (1 << 21)) === 0 && (tables & TABLE.PXN) === 0 && !userWrite && !uwxn && !(wxn && writable);
  const data = (control & FLAG.PAN) === 0 || !user;
  return (
    (user ? READ : 0) |
    (userWrite ? WRITE : 0) |
    (userExec ? EXEC : 0) |
    (data ? READ << PRIVILEGED_SHIFT : 0) |
    (data && writable ? WRITE << PRIVILEGED_SHIFT : 0) |
    (exec ? EXEC << PRIVILEGED_SHIFT : 0)
  );
}
