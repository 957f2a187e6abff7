import {
  CD_LEAF_BITS,
  ENTRY_BYTES,
  EVENT,
  L1_BYTES,
  L1CD,
  L1STD,
  S1DSS,
  S1FMT,
  STE,
  STE_CONFIG,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
  STRTAB_FMT,
  STRTAB_SPLIT,
} from '@iommukit/smmuv3-spec';
import { CONTEXT, type ConfigCache, KIND, NUMBER } from './config-cache.js';
import { fillContext, illegalCd } from './context.js';
import type { SmmuV3 } from './device.js';
import { effectiveEats, illegalSte } from './stream-entry.js';

const WORDS = ENTRY_BYTES / 4;
const MAX_SSID = 2 ** 20;
const L1STD_RESERVED_SPAN = 12;

/**
 * Steps 2 to 10 of smmuv3.md 5.3: finds the STE and the CD of a request, in the cache or in memory. Nothing here records an
 * event: {@link reason} says what failed.
 */
export class Fetcher {
  readonly smmu: SmmuV3;
  readonly config: ConfigCache;
  /** Event number of what failed; 0 for an abort without a record. */
  reason = 0;
  /** Address whose fetch failed: F_STE_FETCH, F_CD_FETCH. */
  address = 0;
  readonly words = new Uint32Array(WORDS);

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.config = smmu.config;
  }

  /** Offset of the request's context in {@link ConfigCache.contexts}; -1: it failed. */
  context(stream: number, ssid: number): number {
    if (!(ssid >= -1 && ssid < MAX_SSID)) return this.uncacheable(stream);
    const cached = this.config.findContext(stream, ssid);
    if (cached >= 0) return cached;
    const ste = this.ste(stream, ssid);
    return ste < 0 ? -1 : this.throughSte(ste, stream, ssid);
  }

  /** An SSID that no table can hold. */
  uncacheable(stream: number): number {
    const ste = this.ste(stream, -1);
    if (ste < 0 || this.refused(ste)) return -1;
    return this.fail(EVENT.C_BAD_SUBSTREAMID);
  }

  // ── STE ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Steps 2 and 3: index of the STE's words in {@link ConfigCache.stes}; -1: C_BAD_STREAMID or F_STE_FETCH. */
  ste(stream: number, ssid: number): number {
    const cached = this.config.findSte(stream);
    if (cached >= 0) return cached;
    const address = this.steAddress(stream, ssid);
    if (address < 0) return -1;
    if (!this.entry(address, 'stream table', stream, ssid)) return this.fail(EVENT.F_STE_FETCH);
    this.config.keepSte(stream, this.words);
    return this.config.findSte(stream);
  }

  /** Step 2 (and 2.1): where the STE lies; -1 when it has no place, or the level-1 descriptor cannot be fetched. */
  steAddress(stream: number, ssid: number): number {
    const { registers, capabilities } = this.smmu;
    const shape = registers.get(STRTAB_BASE_CFG.offset);
    const bits = STRTAB_BASE_CFG.f.log2size.of(shape);
    const base = registers.address(STRTAB_BASE);
    if (!(stream >= 0 && stream < 2 ** Math.min(bits, capabilities.sidBits))) return this.fail(EVENT.C_BAD_STREAMID);
    const twoLevel = capabilities.stream2l && STRTAB_BASE_CFG.f.fmt.of(shape) === STRTAB_FMT.TWO_LEVEL;
    if (!twoLevel) return base - (base % 2 ** (bits + 6)) + stream * ENTRY_BYTES;
    const split = splitOf(STRTAB_BASE_CFG.f.split.of(shape));
    const first = Math.floor(stream / 2 ** split);
    const second = stream % 2 ** split;
    const address = base - (base % Math.max(ENTRY_BYTES, 2 ** (bits - split + 3))) + first * L1_BYTES;
    if (!this.fetch(address, L1_BYTES, 'stream table', stream, ssid)) return this.fail(EVENT.F_STE_FETCH);
    const span = L1STD.f.span.get(this.words);
    if (span === 0 || span >= L1STD_RESERVED_SPAN || span > split + 1 || second >= 2 ** (span - 1)) {
      return this.fail(EVENT.C_BAD_STREAMID);
    }
    const leaf = L1STD.f.l2Ptr.get(this.words);
    return leaf - (leaf % (ENTRY_BYTES * 2 ** (span - 1))) + second * ENTRY_BYTES;
  }

  /** Step 4: the STE is illegal, or its stream is aborted. */
  refused(ste: number): boolean {
    const { stes } = this.config;
    if (this.illegal(ste)) this.fail(EVENT.C_BAD_STE);
    else if (STE.f.config.get(stes, ste) < STE_CONFIG.BYPASS) this.fail(0);
    else return false;
    return true;
  }

  /** The STE is ILLEGAL (2.2). */
  illegal(ste: number): boolean {
    return illegalSte(this.config.stes, ste, this.smmu.capabilities);
  }

  /** STE.EATS of a stream as ATS sees it (-1: configuration abort, and {@link reason} says which; no events follow from it). */
  eats(stream: number): number {
    const ste = this.ste(stream, -1);
    if (ste < 0 || this.refused(ste)) return -1;
    return effectiveEats(this.config.stes, ste, this.smmu.capabilities);
  }

  // ── CD ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Steps 4 to 10 for a request whose STE is at hand. */
  throughSte(ste: number, stream: number, ssid: number): number {
    if (this.refused(ste)) return -1;
    const { stes } = this.config;
    const bypass = STE.f.config.get(stes, ste) === STE_CONFIG.BYPASS;
    const cdBits = this.smmu.capabilities.ssidBits === 0 ? 0 : STE.f.s1cdMax.get(stes, ste);
    // step 6
    if (ssid >= 0 && (bypass || cdBits === 0 || ssid >= 2 ** cdBits)) return this.fail(EVENT.C_BAD_SUBSTREAMID);
    if (bypass) return this.bypass(stream, ssid);
    // step 7
    const s1dss = STE.f.s1dss.get(stes, ste);
    if (cdBits !== 0 && ssid === -1 && s1dss === S1DSS.BYPASS) return this.bypass(stream, ssid);
    if (cdBits !== 0 && ssid === -1 && s1dss !== S1DSS.SSID0) return this.fail(EVENT.F_STREAM_DISABLED);
    if (s1dss === S1DSS.SSID0 && ssid === 0) return this.fail(EVENT.F_STREAM_DISABLED);
    // steps 9 and 10
    const address = this.cdAddress(ste, Math.max(ssid, 0), cdBits, stream, ssid);
    if (address < 0) return -1;
    if (!this.entry(address, 'CD table', stream, ssid)) return this.fail(EVENT.F_CD_FETCH);
    return this.decode(ste, stream, ssid);
  }

  /** Steps 6 (level 1) and 9: where the CD lies (2.3). */
  cdAddress(ste: number, index: number, cdBits: number, stream: number, ssid: number): number {
    const { stes } = this.config;
    const { capabilities } = this.smmu;
    const base = STE.f.s1ContextPtr.get(stes, ste);
    const format = cdBits === 0 ? S1FMT.LINEAR : STE.f.s1Fmt.get(stes, ste);
    if (format !== S1FMT.TWO_LEVEL_4K && format !== S1FMT.TWO_LEVEL_64K) {
      return base - (base % (ENTRY_BYTES * 2 ** cdBits)) + index * ENTRY_BYTES;
    }
    const leafBits = CD_LEAF_BITS[format];
    const first = Math.floor(index / 2 ** leafBits);
    const align = Math.max(ENTRY_BYTES, L1_BYTES * 2 ** (cdBits - leafBits));
    if (!this.fetch(base - (base % align) + first * L1_BYTES, L1_BYTES, 'CD table', stream, ssid)) {
      return this.fail(EVENT.F_CD_FETCH);
    }
    if (L1CD.f.v.get(this.words) === 0) return this.fail(EVENT.C_BAD_SUBSTREAMID);
    const leaf = L1CD.f.l2Ptr.get(this.words) % 2 ** capabilities.oas;
    return leaf - (leaf % (ENTRY_BYTES * 2 ** leafBits)) + (index % 2 ** leafBits) * ENTRY_BYTES;
  }

  /** Step 10: keeps the CD, decoded; an illegal one too. */
  decode(ste: number, stream: number, ssid: number): number {
    const { smmu, words, config } = this;
    const at = config.keepContext(stream, ssid);
    config.contexts[at + CONTEXT.BASE] = Number.NaN;
    if (illegalCd(words, config.stes, ste, smmu.capabilities)) config.numbers[at + NUMBER.KIND] = KIND.BAD_CD;
    else this.fill(at, ste);
    return config.findContext(stream, ssid);
  }

  /** Decodes a legal CD. When the numbers of spaces run out, everything cached is dropped and they start again. */
  fill(at: number, ste: number): void {
    const { smmu, words, config } = this;
    const vmid = STE.f.s2vmid.get(config.stes, ste);
    if (fillContext(smmu, at, words, vmid)) return;
    const tag = config.contexts[at + CONTEXT.TAG];
    smmu.dropEverything();
    config.contexts[at + CONTEXT.TAG] = tag;
    fillContext(smmu, at, words, vmid);
  }

  bypass(stream: number, ssid: number): number {
    const { config } = this;
    const at = config.keepContext(stream, ssid);
    config.contexts[at + CONTEXT.BASE] = Number.NaN;
    config.contexts[at + CONTEXT.OUTPUT] = 2 ** (this.smmu.capabilities.oas - 12);
    config.numbers[at + NUMBER.KIND] = KIND.BYPASS;
    return config.findContext(stream, ssid);
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Fetches a whole STE or CD into {@link words}. */
  entry(address: number, what: string, stream: number, ssid: number): boolean {
    return this.fetch(address, ENTRY_BYTES, what, stream, ssid);
  }

  /** Fetches 64-bit pieces into {@link words}; false: the first one aborted, at {@link address}. */
  fetch(address: number, bytes: number, what: string, stream: number, ssid: number): boolean {
    const { kernel, memory, name } = this.smmu;
    const frame = Math.floor(address / 4096);
    this.address = address;
    const index = memory.indexOf(frame);
    kernel.observer.fetched(name, frame, what, stream, ssid);
    if (index < 0) return false;
    const chunk = memory.chunkOf(index);
    const from = ((index & 511) << 10) + ((address - frame * 4096) >>> 2);
    for (let i = 0; i < bytes / 4; i++) this.words[i] = chunk === null ? 0 : chunk[from + i];
    return true;
  }

  fail(reason: number): number {
    this.reason = reason;
    return -1;
  }
}

/** Values of SPLIT other than the three defined ones act as 6 (smmuv3.md 1.7). */
function splitOf(value: number): number {
  return value === STRTAB_SPLIT.LEAF_16K || value === STRTAB_SPLIT.LEAF_64K ? value : STRTAB_SPLIT.LEAF_4K;
}
