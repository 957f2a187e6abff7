import { type Coroutine, PREEMPT } from '@iommukit/kernel';
import { NO_TICKET } from '@iommukit/pci-ats';
import {
  CONTEXT_BYTES,
  CONTEXT_TT,
  ContextEntry,
  EcsContextEntry,
  FAULT,
  LEGACY_CONTEXT_BYTES,
  LegacyContextEntry,
  LegacyRootEntry,
  ROOT_BYTES,
  RootEntry,
  TTM,
} from '@iommukit/vtd-spec';
import { ADMIT, CONFIG_NEXT, ConfigFetch, STAGE } from './config-fetch.js';
import { fillLegacy, fillRefused, offersWidth } from './decode.js';
import type { Vtd } from './device.js';
import { type EntryMasks, entryMasks } from './entry-masks.js';
import { FLAG, KIND, NUMBER } from './regime.js';
import { OWN_REGIME } from './regimes.js';
import { violates } from './reserved.js';

const PIECE = 8;
const FRAME = 4096;
/** Requester ids have 16 bits, of which a half root entry covers 7. */
const STREAMS = 2 ** 16;
const HALF = 0x80;

/** Fault reasons of root and context entries: the legacy ones, and those of scalable mode. */
const LEGACY_REASONS = {
  rootAccess: FAULT.ROOT_ACCESS,
  rootAbsent: FAULT.ROOT_NOT_PRESENT,
  rootReserved: FAULT.ROOT_RESERVED,
  contextAccess: FAULT.CONTEXT_ACCESS,
  contextAbsent: FAULT.CONTEXT_NOT_PRESENT,
  contextReserved: FAULT.CONTEXT_RESERVED,
} as const;
const SCALABLE_REASONS = {
  rootAccess: FAULT.SM_ROOT_ACCESS,
  rootAbsent: FAULT.SM_ROOT_NOT_PRESENT,
  rootReserved: FAULT.SM_ROOT_RESERVED,
  contextAccess: FAULT.SM_CONTEXT_ACCESS,
  contextAbsent: FAULT.SM_CONTEXT_NOT_PRESENT,
  contextReserved: FAULT.SM_CONTEXT_RESERVED,
} as const;

/** The kind of table of each {@link STAGE}, as its frames' owners say it. */
const TABLES = [
  'root table',
  'context table',
  'PASID directory',
  'PASID table',
  'ECS PASID table',
  'ECS PASID-state table',
] as const;

/**
 * The entries on the way of a request: root, context, PASID directory, PASID entry (vtd.md 2.1 to 2.10), from the caches or from
 * memory, judged in the order of vtd.md 2.10: access, present, reserved, values. Nothing here records a fault, and nothing waits:
 * {@link begin} and {@link advance} say what comes next, and whoever drives the fetch does it, in one step or with a preemption point
 * before every 64 bits.
 */
export class Fetcher {
  readonly vtd: Vtd;
  readonly masks: EntryMasks;
  /** The fetch of the atomic gait: what became of the last one. */
  readonly atomic = new ConfigFetch();
  readonly word = new Uint32Array(2);

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.masks = entryMasks(vtd.capabilities);
  }

  // ── the two gaits ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Offset in Regimes of what translates a request; -1: {@link atomic}.reason says why there is none. */
  regime(stream: number, pasid: number): number {
    return this.run(stream, pasid, ADMIT.ACCESS) === CONFIG_NEXT.READY ? this.atomic.at : -1;
  }

  /** A request of kind `what` may be made at all. False: {@link atomic}.reason says why not. */
  admits(stream: number, pasid: number, what: number): boolean {
    return this.run(stream, pasid, what) === CONFIG_NEXT.READY;
  }

  /** Offset in Regimes of what the caches know about a request of a PASID's tables; -1: nothing. */
  cachedRegime(stream: number, pasid: number): number {
    const { contexts, pasids, registers } = this.vtd;
    const line = contexts.find(stream);
    if (line < 0 || registers.ttm === TTM.LEGACY) return -1;
    if (pasid === -1 && registers.ttm !== TTM.SCALABLE) return -1;
    const effective = pasid === -1 ? ContextEntry.f.ridPasid.get(contexts.words, line * contexts.stride) : pasid;
    const found = pasids.find(stream, effective);
    return found < 0 ? -1 : pasids.regimeOf(found);
  }

  run(stream: number, pasid: number, what: number): number {
    const { atomic: fetch } = this;
    fetch.stream = stream;
    fetch.pasid = pasid;
    fetch.what = what;
    let next = this.begin(fetch);
    while (next === CONFIG_NEXT.FETCH || next === CONFIG_NEXT.CLEAR) {
      if (next === CONFIG_NEXT.CLEAR) next = this.vtd.extendedEntries.clear(fetch);
      else next = this.load(fetch, 0, fetch.bytes) ? this.advance(fetch) : this.abort(fetch);
    }
    return next;
  }

  /** {@link run} stepwise, for a fetch of its own. True: READY. */
  *steps(fetch: ConfigFetch): Coroutine<boolean> {
    const { kernel } = this.vtd;
    let next = this.begin(fetch);
    while (next === CONFIG_NEXT.FETCH || next === CONFIG_NEXT.CLEAR) {
      if (next === CONFIG_NEXT.CLEAR) {
        if (kernel.at(Math.floor(fetch.address / PIECE), true)) yield PREEMPT;
        next = this.vtd.extendedEntries.clear(fetch);
        continue;
      }
      for (let from = 0; from < fetch.bytes && next === CONFIG_NEXT.FETCH; from += PIECE) {
        if (kernel.at(Math.floor((fetch.address + from) / PIECE), false)) yield PREEMPT;
        if (!this.load(fetch, from, PIECE)) next = this.abort(fetch);
      }
      if (next === CONFIG_NEXT.FETCH) next = this.advance(fetch);
    }
    return next === CONFIG_NEXT.READY;
  }

  /** Fetches `bytes` of the entry, from its byte `from` on, into `words`; false: there is no memory. */
  load(fetch: ConfigFetch, from: number, bytes: number): boolean {
    const { kernel, memory, name } = this.vtd;
    if (from === 0) {
      const frame = Math.floor(fetch.address / FRAME);
      kernel.observer.fetched(name, frame, TABLES[fetch.stage], fetch.stream, fetch.pasid);
    }
    for (let at = from; at < from + bytes; at += PIECE) {
      if (!memory.load64(fetch.address + at, this.word)) return false;
      fetch.words[at / 4] = this.word[0];
      fetch.words[at / 4 + 1] = this.word[1];
    }
    return true;
  }

  // ── root ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The mode of the root table, then a cached context entry, or where the root entry lies. */
  begin(fetch: ConfigFetch): number {
    const { vtd, mode } = { vtd: this.vtd, mode: this.vtd.registers.ttm };
    fetch.born = vtd.kernel.steps;
    fetch.at = -1;
    fetch.line = -1;
    fetch.fpd = false;
    fetch.mode = mode;
    const refusal = this.judgeMode(fetch);
    if (refusal !== 0) return this.fail(fetch, refusal);
    const { stream } = fetch;
    if (!(stream >= 0 && stream < STREAMS)) return this.fail(fetch, this.reasons(fetch).rootAbsent);
    const line = vtd.contexts.find(stream);
    if (line >= 0) {
      const { words, stride } = vtd.contexts;
      for (let i = 0; i < stride; i++) fetch.context[i] = words[line * stride + i];
      fetch.line = line;
      vtd.contexts.use(line);
      return this.throughContext(fetch);
    }
    const entry = vtd.registers.root + (stream >>> 8) * ROOT_BYTES;
    if (mode === TTM.LEGACY) return this.fetch(fetch, STAGE.ROOT, entry, ROOT_BYTES);
    return this.fetch(fetch, STAGE.ROOT, entry + ((stream & HALF) !== 0 ? PIECE : 0), PIECE);
  }

  /** RTADDR's type is one that the unit has, and the request is one that it knows (5.2: RTA). */
  judgeMode({ mode, what, pasid }: ConfigFetch): number {
    const { smts, ecs, adms } = this.vtd.capabilities;
    if (mode === TTM.ABORT) return adms ? FAULT.TTM_ABORT : FAULT.TTM;
    if (mode === TTM.SCALABLE) return smts ? 0 : FAULT.TTM;
    if (mode === TTM.EXTENDED) return ecs ? 0 : FAULT.TTM;
    if (what === ADMIT.PAGE_REQUEST) return FAULT.TTM_PAGE_REQUEST;
    return pasid === -1 ? 0 : FAULT.TTM_PASID;
  }

  reasons({ mode }: ConfigFetch): typeof LEGACY_REASONS | typeof SCALABLE_REASONS {
    return mode === TTM.SCALABLE ? SCALABLE_REASONS : LEGACY_REASONS;
  }

  /** What was asked for has been fetched whole. */
  advance(fetch: ConfigFetch): number {
    switch (fetch.stage) {
      case STAGE.ROOT:
        return this.throughRoot(fetch);
      case STAGE.CONTEXT:
        this.seen(fetch, 'context entry');
        return this.contextFetched(fetch);
      case STAGE.DIRECTORY:
        return this.vtd.scalableEntries.throughDirectory(fetch);
      case STAGE.PASID:
        this.seen(fetch, 'PASID entry');
        return this.vtd.scalableEntries.throughPasid(fetch);
      case STAGE.ECS_PASID:
        return this.vtd.extendedEntries.throughPasid(fetch);
      default:
        return this.vtd.extendedEntries.throughState(fetch);
    }
  }

  /** The root entry, or the half of it that covers the device (2.1, 2.3, 2.7). */
  throughRoot(fetch: ConfigFetch): number {
    const { words, stream, mode } = fetch;
    const legacy = mode === TTM.LEGACY;
    const reasons = this.reasons(fetch);
    const mask = legacy ? this.masks.legacyRoot : mode === TTM.SCALABLE ? this.masks.rootHalf : this.masks.ecsRootHalf;
    // The halves are alike: the lower one's fields fit.
    if ((legacy ? LegacyRootEntry.f.p.get(words) : RootEntry.f.lp.get(words)) === 0) {
      return this.fail(fetch, reasons.rootAbsent);
    }
    if (violates(words, mask)) return this.fail(fetch, reasons.rootReserved);
    if (legacy) {
      const at = LegacyRootEntry.f.ctp.get(words) + (stream & 0xff) * LEGACY_CONTEXT_BYTES;
      return this.fetch(fetch, STAGE.CONTEXT, at, LEGACY_CONTEXT_BYTES);
    }
    const at = RootEntry.f.lctp.get(words) + (stream & (HALF - 1)) * CONTEXT_BYTES;
    return this.fetch(fetch, STAGE.CONTEXT, at, CONTEXT_BYTES);
  }

  // ── context ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A context entry that is good is kept; in caching mode every one is. */
  contextFetched(fetch: ConfigFetch): number {
    fetch.context.fill(0);
    fetch.context.set(fetch.words.subarray(0, fetch.bytes / 4));
    const good = this.judgeContext(fetch) === 0;
    if ((good || this.vtd.capabilities.cm) && this.fresh(fetch)) {
      fetch.line = this.vtd.contexts.keep(fetch.stream, good ? this.didOf(fetch) : 0, fetch.context, fetch.born);
    }
    return this.throughContext(fetch);
  }

  /** The domain that a context entry names; in scalable mode none does. */
  didOf({ mode, context }: ConfigFetch): number {
    if (mode === TTM.SCALABLE) return 0;
    return mode === TTM.LEGACY ? LegacyContextEntry.f.did.get(context) : EcsContextEntry.f.did.get(context);
  }

  throughContext(fetch: ConfigFetch): number {
    const { context, mode } = fetch;
    // FPD is where it is in every kind of context entry, and counts with P=0 too (5.2).
    fetch.fpd = ContextEntry.f.fpd.get(context) === 1;
    const reason = this.judgeContext(fetch);
    if (reason !== 0) return this.fail(fetch, reason);
    if (mode === TTM.SCALABLE) return this.vtd.scalableEntries.through(fetch);
    return mode === TTM.LEGACY ? this.legacy(fetch) : this.vtd.extendedEntries.through(fetch);
  }

  /** Present, reserved bits, values: 0, or why the context entry is no good. */
  judgeContext(fetch: ConfigFetch): number {
    const { context, mode } = fetch;
    const reasons = this.reasons(fetch);
    if (ContextEntry.f.p.get(context) === 0) return reasons.contextAbsent;
    const { masks, vtd } = this;
    const mask = mode === TTM.SCALABLE ? masks.context : mode === TTM.LEGACY ? masks.legacyContext : masks.ecsContext;
    if (violates(context, mask)) return reasons.contextReserved;
    if (mode === TTM.SCALABLE) return vtd.scalableEntries.judgeRidPasid(context);
    const good = mode === TTM.LEGACY ? this.legacyValues(context) : vtd.extendedEntries.values(context);
    return good ? 0 : FAULT.CONTEXT_INVALID;
  }

  /** TT and AW of a legacy context entry are what the unit has (2.2). */
  legacyValues(context: Uint32Array): boolean {
    const { dt, pt } = this.vtd.capabilities;
    const tt = LegacyContextEntry.f.tt.get(context);
    if (tt === CONTEXT_TT.DEVICE_TLB ? !dt : tt === CONTEXT_TT.PASS_THROUGH ? !pt : tt !== CONTEXT_TT.UNTRANSLATED) {
      return false;
    }
    return offersWidth(this.vtd.capabilities, LegacyContextEntry.f.aw.get(context));
  }

  /** A legacy context entry says all there is to say. */
  legacy(fetch: ConfigFetch): number {
    const { what, context } = fetch;
    const tt = LegacyContextEntry.f.tt.get(context);
    if (what !== ADMIT.ACCESS)
      return tt === CONTEXT_TT.DEVICE_TLB ? CONFIG_NEXT.READY : this.fail(fetch, FAULT.BLOCKED);
    return this.fromContext(fetch, () => fillLegacy(fetch, this.vtd));
  }

  /** The regime of a context entry: that of its line in the cache, if it has one and is decoded. */
  fromContext(fetch: ConfigFetch, fill: () => boolean): number {
    const { contexts, regimes } = this.vtd;
    if (!fill()) {
      // The numbers of spaces have run out: they start again, with nothing cached.
      this.vtd.dropEverything();
      fetch.line = -1;
      fill();
    }
    if (fetch.line < 0 || contexts.find(fetch.stream) !== fetch.line) return this.own(fetch);
    fetch.at = contexts.regimeOf(fetch.line);
    regimes.put(fetch.at, fetch.doubles, fetch.numbers);
    return CONFIG_NEXT.READY;
  }

  /** A regime that no cache keeps. */
  own(fetch: ConfigFetch): number {
    fetch.at = OWN_REGIME;
    this.vtd.regimes.forget();
    this.vtd.regimes.put(OWN_REGIME, fetch.doubles, fetch.numbers);
    return CONFIG_NEXT.READY;
  }

  // ── PASID entries, of either mode ──────────────────────────────────────────────────────────────────────────────

  /** The PASID cache has the regime. */
  known(fetch: ConfigFetch, line: number): number {
    const { pasids, regimes } = this.vtd;
    fetch.at = pasids.regimeOf(line);
    fetch.doubles.set(regimes.doubles.subarray(fetch.at, fetch.at + fetch.doubles.length));
    fetch.numbers.set(regimes.numbers.subarray(fetch.at, fetch.at + fetch.numbers.length));
    if ((fetch.numbers[NUMBER.FLAGS] & FLAG.FPD) !== 0) fetch.fpd = true;
    if (fetch.numbers[NUMBER.KIND] !== KIND.REFUSED) return CONFIG_NEXT.READY;
    pasids.use(line);
    return this.fail(fetch, fetch.numbers[NUMBER.REASON]);
  }

  keepPasid(fetch: ConfigFetch, fill: () => boolean): number {
    if (!fill()) {
      this.vtd.dropEverything();
      fill();
    }
    if (!this.fresh(fetch)) return this.own(fetch);
    this.keepRegime(fetch, fetch.numbers[NUMBER.DID]);
    return CONFIG_NEXT.READY;
  }

  keepRegime(fetch: ConfigFetch, did: number): void {
    const { pasids } = this.vtd;
    const { stream, effective, pasid, doubles, numbers, born } = fetch;
    fetch.at = pasids.regimeOf(pasids.keep(stream, effective, pasid, did, doubles, numbers, born));
  }

  /** An entry that is not present or wrong: in caching mode that is remembered too. */
  refuse(fetch: ConfigFetch, reason: number): number {
    if (this.vtd.capabilities.cm && this.fresh(fetch)) {
      fillRefused(fetch, reason);
      this.keepRegime(fetch, 0);
    }
    return this.fail(fetch, reason);
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A whole entry is about to be acted upon: its 64-bit pieces may be of different times (INV-14). */
  seen(fetch: ConfigFetch, what: string): void {
    const { kernel, name } = this.vtd;
    kernel.observer.entry(name, what, fetch.address, fetch.words, fetch.stream, fetch.pasid);
  }

  /** No invalidation came since the fetch began: what it read may be kept (MN-18). */
  fresh({ ticket }: ConfigFetch): boolean {
    return ticket === NO_TICKET || !this.vtd.inFlight.stale(ticket);
  }

  fetch(fetch: ConfigFetch, stage: number, address: number, bytes: number): number {
    fetch.stage = stage;
    fetch.address = address;
    fetch.bytes = bytes;
    return CONFIG_NEXT.FETCH;
  }

  /** There is no memory where the entry should be. */
  abort(fetch: ConfigFetch): number {
    const reasons = this.reasons(fetch);
    const { ROOT, CONTEXT, DIRECTORY } = STAGE;
    if (fetch.stage === ROOT) return this.fail(fetch, reasons.rootAccess);
    if (fetch.stage === CONTEXT) return this.fail(fetch, reasons.contextAccess);
    return this.fail(fetch, fetch.stage === DIRECTORY ? FAULT.PASID_DIR_ACCESS : FAULT.PASID_ACCESS);
  }

  fail(fetch: ConfigFetch, reason: number): number {
    fetch.reason = reason;
    return CONFIG_NEXT.FAILED;
  }
}
