import { type Coroutine, PREEMPT, powerOfTwo } from '@iommukit/kernel';
import { NO_TICKET } from '@iommukit/pci-ats';
import { CD_LEAF_BITS, ENTRY_BYTES, EVENT, L1_BYTES, L1CD, S1DSS, S1FMT, STE, STE_CONFIG } from '@iommukit/smmuv3-spec';
import type { ConfigCache } from './config-cache.js';
import { CONFIG_NEXT, ConfigFetch, STAGE } from './config-fetch.js';
import { type ContextFields, fillContext, fillOther, illegalCd, overridesOf, worldOf } from './context.js';
import { KIND, STRIDE } from './context-fields.js';
import type { SmmuV3 } from './device.js';
import { fillStage2 } from './stage2.js';
import { allowsTraffic, effectiveEats, illegalSte } from './stream-entry.js';
import { L1STD_INVALID, leafSteAddress, steAddress } from './stream-table.js';

const MAX_SSID = 2 ** 20;
const PIECE = 8;
const FRAME = 4096;

/**
 * Steps 2 to 10 of smmuv3.md 5.3: finds the STE and the CD of a request, in the cache or in memory. Nothing here records an
 * event, and nothing waits: {@link begin} and {@link advance} say what comes next, and whoever drives the fetch does it, in one step or
 * with a preemption point before every 64 bits.
 */
export class Fetcher {
  readonly smmu: SmmuV3;
  readonly config: ConfigCache;
  /** Event number of what the last atomic fetch failed with; 0 for an abort without a record. */
  reason = 0;
  /** Address whose fetch failed: F_STE_FETCH, F_CD_FETCH. */
  address = 0;
  readonly atomic = new ConfigFetch();
  readonly word = new Uint32Array(2);

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.config = smmu.config;
  }

  // ── the two gaits ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Offset of the request's context in {@link ConfigCache.contexts}; -1: it failed. */
  context(stream: number, ssid: number): number {
    const cached = this.cached(stream, ssid);
    if (cached >= 0) return cached;
    return this.run(stream, ssid, false) === CONFIG_NEXT.READY ? this.atomic.at : -1;
  }

  /** Offset of the cached context, or -1. An SSID that no table can hold is in no cache. */
  cached(stream: number, ssid: number): number {
    return ssid >= -1 && ssid < MAX_SSID ? this.config.findContext(stream, ssid) : -1;
  }

  /** STE.EATS of a stream as ATS sees it (-1: configuration abort, and {@link reason} says which; no events follow from it). */
  eats(stream: number): number {
    const { config } = this;
    const cached = config.findSte(stream);
    const { capabilities } = this.smmu;
    // Every translated access comes here: the cached words are judged where they are.
    if (cached >= 0 && allowsTraffic(config.stes, cached, capabilities)) {
      config.useSte(cached);
      return effectiveEats(config.stes, cached, capabilities);
    }
    if (this.run(stream, -1, true) !== CONFIG_NEXT.READY) return -1;
    return effectiveEats(this.atomic.ste, 0, this.smmu.capabilities);
  }

  /** The words of a stream's STE, also of one that aborts; null: it cannot be had, or is illegal. Reused: read at once. */
  validSte(stream: number): Uint32Array | null {
    const next = this.run(stream, -1, true);
    return next === CONFIG_NEXT.READY || this.reason === 0 ? this.atomic.ste : null;
  }

  run(stream: number, ssid: number, steOnly: boolean): number {
    const { atomic: fetch } = this;
    fetch.stream = stream;
    fetch.ssid = ssid;
    fetch.steOnly = steOnly;
    let next = this.begin(fetch);
    while (next === CONFIG_NEXT.FETCH)
      next = this.load(fetch, 0, fetch.bytes) ? this.advance(fetch) : this.abort(fetch);
    this.reason = fetch.reason;
    this.address = fetch.address;
    return next;
  }

  /** {@link context} stepwise, into `fetch`: its own copy, and its `at` where it is cached too. True: it is there. */
  *contextSteps(fetch: ConfigFetch): Coroutine<boolean> {
    const cached = fetch.steOnly ? -1 : this.cached(fetch.stream, fetch.ssid);
    if (cached >= 0) {
      const { contexts, numbers } = this.config;
      fetch.contexts.set(contexts.subarray(cached, cached + STRIDE));
      fetch.numbers.set(numbers.subarray(cached, cached + STRIDE));
      fetch.at = cached;
      return true;
    }
    const { kernel } = this.smmu;
    let next = this.begin(fetch);
    while (next === CONFIG_NEXT.FETCH) {
      for (let from = 0; from < fetch.bytes && next === CONFIG_NEXT.FETCH; from += PIECE) {
        if (kernel.at(Math.floor((fetch.address + from) / PIECE), false)) yield PREEMPT;
        if (!this.load(fetch, from, PIECE)) next = this.abort(fetch);
      }
      if (next === CONFIG_NEXT.FETCH) next = this.advance(fetch);
    }
    return next === CONFIG_NEXT.READY;
  }

  /** {@link eats} stepwise; -1: `fetch.reason` says why. */
  *eatsSteps(fetch: ConfigFetch): Coroutine<number> {
    fetch.steOnly = true;
    if (!(yield* this.contextSteps(fetch))) return -1;
    return effectiveEats(fetch.ste, 0, this.smmu.capabilities);
  }

  /** Fetches `bytes` of the entry, from its byte `from` on, into `words`; false: the fetch aborted. */
  load(fetch: ConfigFetch, from: number, bytes: number): boolean {
    const { kernel, memory, name } = this.smmu;
    const what = fetch.stage < STAGE.L1CD ? 'stream table' : 'CD table';
    if (from === 0) kernel.observer.fetched(name, Math.floor(fetch.address / FRAME), what, fetch.stream, fetch.ssid);
    for (let at = from; at < from + bytes; at += PIECE) {
      if (!memory.load64(fetch.address + at, this.word)) return false;
      fetch.words[at / 4] = this.word[0];
      fetch.words[at / 4 + 1] = this.word[1];
    }
    return true;
  }

  // ── what comes next ────────────────────────────────────────────────────────────────────────────────────────────

  /** Step 2: a cached STE, or where it lies. */
  begin(fetch: ConfigFetch): number {
    fetch.born = this.smmu.kernel.steps;
    fetch.at = -1;
    const cached = this.config.findSte(fetch.stream);
    if (cached >= 0) {
      fetch.ste.set(this.config.stes.subarray(cached, cached + fetch.ste.length));
      this.config.useSte(cached);
      return this.throughSte(fetch);
    }
    const address = steAddress(this.smmu, fetch.stream);
    if (address.at < 0) return this.fail(fetch, EVENT.C_BAD_STREAMID);
    return address.twoLevel
      ? this.fetch(fetch, STAGE.L1STD, address.at, L1_BYTES)
      : this.fetch(fetch, STAGE.STE, address.at, ENTRY_BYTES);
  }

  /** What was asked for has been fetched whole. */
  advance(fetch: ConfigFetch): number {
    switch (fetch.stage) {
      case STAGE.L1STD: {
        const address = leafSteAddress(this.smmu, fetch.stream, fetch.words);
        if (address === L1STD_INVALID) return this.fail(fetch, EVENT.C_BAD_STREAMID);
        return this.fetch(fetch, STAGE.STE, address, ENTRY_BYTES);
      }
      case STAGE.STE:
        this.seen(fetch, 'STE');
        fetch.ste.set(fetch.words);
        if (this.fresh(fetch)) this.config.keepSte(fetch.stream, fetch.words, fetch.born);
        return this.throughSte(fetch);
      case STAGE.L1CD:
        return this.throughL1Cd(fetch);
      default:
        this.seen(fetch, 'CD');
        return this.decode(fetch);
    }
  }

  /** Steps 4, 6 and 7. */
  throughSte(fetch: ConfigFetch): number {
    const { ste, ssid } = fetch;
    if (this.illegal(fetch)) return this.fail(fetch, EVENT.C_BAD_STE);
    const mode = STE.f.config.get(ste);
    if (mode < STE_CONFIG.BYPASS) return this.fail(fetch, 0);
    if (fetch.steOnly) return CONFIG_NEXT.READY;
    const bypass = mode === STE_CONFIG.BYPASS;
    const second = mode === STE_CONFIG.S2;
    const cdBits = this.cdBits(fetch);
    // step 6: an SSID where there are none, or beyond their number
    if (
      !(ssid >= -1 && ssid < MAX_SSID) ||
      (ssid >= 0 && (bypass || second || cdBits === 0 || ssid >= powerOfTwo(cdBits)))
    ) {
      return this.fail(fetch, EVENT.C_BAD_SUBSTREAMID);
    }
    if (bypass) return this.bypass(fetch);
    if (second) return this.decoded(fetch, (into) => fillStage2(into, this.smmu, fetch.ste, 0));
    // step 7; S1DSS is about streams with substreams
    const s1dss = STE.f.s1dss.get(ste);
    if (cdBits !== 0 && ssid === -1 && s1dss === S1DSS.BYPASS) return this.bypass(fetch);
    if (cdBits !== 0 && ssid === -1 && s1dss !== S1DSS.SSID0) return this.fail(fetch, EVENT.F_STREAM_DISABLED);
    if (s1dss === S1DSS.SSID0 && ssid === 0) return this.fail(fetch, EVENT.F_STREAM_DISABLED);
    return this.toCd(fetch, cdBits);
  }

  /** The STE is ILLEGAL (2.2). */
  illegal(fetch: ConfigFetch): boolean {
    return illegalSte(fetch.ste, 0, this.smmu.capabilities);
  }

  /** log2 of the CDs; 0: there is one, for requests without an SSID. */
  cdBits(fetch: ConfigFetch): number {
    return this.smmu.capabilities.ssidBits === 0 ? 0 : STE.f.s1cdMax.get(fetch.ste);
  }

  /** Where the CD lies, or the level-1 descriptor in front of it (2.3). */
  toCd(fetch: ConfigFetch, cdBits: number): number {
    const index = Math.max(fetch.ssid, 0);
    const base = STE.f.s1ContextPtr.get(fetch.ste);
    const leafBits = this.leafBits(fetch, cdBits);
    if (leafBits === 0) {
      return this.fetch(
        fetch,
        STAGE.CD,
        base - (base % (ENTRY_BYTES * powerOfTwo(cdBits))) + index * ENTRY_BYTES,
        ENTRY_BYTES,
      );
    }
    const align = Math.max(ENTRY_BYTES, L1_BYTES * powerOfTwo(cdBits - leafBits));
    const first = Math.floor(index / powerOfTwo(leafBits));
    return this.fetch(fetch, STAGE.L1CD, base - (base % align) + first * L1_BYTES, L1_BYTES);
  }

  /** log2 of the CDs in a leaf of a 2-level table; 0: the table is linear. */
  leafBits(fetch: ConfigFetch, cdBits: number): number {
    const format = STE.f.s1Fmt.get(fetch.ste);
    if (cdBits === 0 || (format !== S1FMT.TWO_LEVEL_4K && format !== S1FMT.TWO_LEVEL_64K)) return 0;
    return CD_LEAF_BITS[format];
  }

  throughL1Cd(fetch: ConfigFetch): number {
    if (L1CD.f.v.get(fetch.words) === 0) return this.fail(fetch, EVENT.C_BAD_SUBSTREAMID);
    const leafBits = this.leafBits(fetch, this.cdBits(fetch));
    const leaf = L1CD.f.l2Ptr.get(fetch.words) % powerOfTwo(this.smmu.capabilities.oas);
    const index = Math.max(fetch.ssid, 0) % powerOfTwo(leafBits);
    return this.fetch(
      fetch,
      STAGE.CD,
      leaf - (leaf % (ENTRY_BYTES * powerOfTwo(leafBits))) + index * ENTRY_BYTES,
      ENTRY_BYTES,
    );
  }

  /** Step 10: decodes the CD. An illegal one is kept too (2.4). */
  decode(fetch: ConfigFetch): number {
    const { smmu } = this;
    const world = worldOf(fetch.ste, 0, smmu.capabilities, smmu.registers.e2h);
    if (illegalCd(fetch.words, fetch.ste, 0, smmu.capabilities, world)) return this.other(fetch, KIND.BAD_CD);
    return this.decoded(fetch, (into) => fillContext(into, smmu, fetch.words, fetch.ste, 0, world));
  }

  /** The context is decoded by `fill`, which is false where the numbers of spaces have run out: they start again, with nothing cached. */
  decoded(fetch: ConfigFetch, fill: (into: ContextFields) => boolean): number {
    if (!fill(fetch)) {
      this.smmu.dropEverything();
      fill(fetch);
    }
    return this.ready(fetch);
  }

  bypass(fetch: ConfigFetch): number {
    return this.other(fetch, KIND.BYPASS);
  }

  other(fetch: ConfigFetch, kind: number): number {
    fillOther(fetch, this.smmu, kind, overridesOf(fetch.ste, 0, this.smmu.capabilities));
    return this.ready(fetch);
  }

  ready(fetch: ConfigFetch): number {
    if (this.fresh(fetch)) {
      fetch.at = this.config.keepContext(fetch.stream, fetch.ssid, fetch.contexts, fetch.numbers, fetch.born);
    }
    return CONFIG_NEXT.READY;
  }

  /** A whole entry is about to be acted upon: its 64-bit pieces may be of different times (INV-14). */
  seen(fetch: ConfigFetch, what: string): void {
    const { kernel, name } = this.smmu;
    kernel.observer.entry(name, what, fetch.address, fetch.words, fetch.stream, fetch.ssid);
  }

  /** No invalidation came since the fetch began: what it read may be kept (MN-18). */
  fresh(fetch: ConfigFetch): boolean {
    return fetch.ticket === NO_TICKET || !this.smmu.inFlight.stale(fetch.ticket);
  }

  fetch(fetch: ConfigFetch, stage: number, address: number, bytes: number): number {
    fetch.stage = stage;
    fetch.address = address;
    fetch.bytes = bytes;
    return CONFIG_NEXT.FETCH;
  }

  abort(fetch: ConfigFetch): number {
    return this.fail(fetch, fetch.stage < STAGE.L1CD ? EVENT.F_STE_FETCH : EVENT.F_CD_FETCH);
  }

  fail(fetch: ConfigFetch, reason: number): number {
    fetch.reason = reason;
    return CONFIG_NEXT.FAILED;
  }
}
