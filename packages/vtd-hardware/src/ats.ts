import { type Coroutine, LINE, PREEMPT, powerOfTwo, type Step } from '@iommukit/kernel';
import {
  AT,
  type CompletionStatus,
  encodeTranslation,
  inModeOf,
  type Link,
  type Upstream,
  WANT_PRIVILEGED,
  WANT_TRANSLATION,
  WANT_WRITE_TOO,
} from '@iommukit/pci-ats';
import { FAULT, FAULT_REASONS } from '@iommukit/vtd-spec';
import { ADMIT } from './config-fetch.js';
import type { Vtd } from './device.js';
import type { Access } from './faults.js';
import { FLIGHT } from './in-flight.js';
import { NO_LINE } from './last-request.js';
import { FOUND } from './stepwise.js';
import { StepwiseRequest } from './stepwise-request.js';

/** A translation request as it arrives. */
export type TranslationRequest = Extract<Upstream, { kind: 'translation-request' }>;

/** The most translations that one request can ask for: 1024 dwords of completion. */
const MAX_TRANSLATIONS = 512;
const { READ, WRITE, EXEC } = LINE;
const ALL = READ | WRITE | EXEC;
const DENIED = 0;
const NOTHING = new Uint32Array(0);
const PAGES = 2 ** 52;

/** What is known about one page of a request: what a line has, or why there is none. */
interface Found {
  /** {@link FOUND}. */
  found: number;
  /** First frame, log2 of the pages and flags of the leaf. */
  frame: number;
  order: number;
  flags: number;
  /** What was asked, after RID_PRIV. */
  want: number;
}

/**
 * ATS translation requests (vtd.md 5.3). Atomic: translated in one step. Stepwise: page after page, as every walk. The answer is a
 * message of its own, which may cross others. Conditions that a device can recover from are answered with R=W=0 and not recorded;
 * the others are recorded and answered with an error.
 *
 * Which error is left open, and chosen as other architectures do (P-11): UR, which tells a device to do without ATS, where the unit,
 * its root table or the device's context entry refuses; CA where the PASID's entries or the page tables do.
 */
export class TranslationRequests {
  readonly vtd: Vtd;
  readonly stepwise: boolean;
  /** The page of the atomic gait. */
  readonly page: Found = { found: FOUND.REFUSED, frame: 0, order: 0, flags: 0, want: 0 };

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.stepwise = vtd.capabilities.gait === 'stepwise';
  }

  receive(link: Link, request: TranslationRequest): Step<void> {
    const { kernel, footprint } = this.vtd;
    if (this.stepwise) return this.answerSteps(link, request);
    return kernel.at(footprint, false) ? this.answerLater(link, request) : this.answer(link, request);
  }

  // ── the atomic gait ────────────────────────────────────────────────────────────────────────────────────────────

  *answerLater(link: Link, request: TranslationRequest): Coroutine<void> {
    yield PREEMPT;
    yield* this.answer(link, request);
  }

  answer(link: Link, request: TranslationRequest): Step<void> {
    const born = this.vtd.kernel.steps;
    if (!this.possible(request)) return this.complete(link, request, 'ur', NOTHING, born);
    const reason = this.vtd.translator.admit(link.stream, request.pasid, ADMIT.TRANSLATION);
    if (reason !== 0) return this.complete(link, request, this.refuse(link, request, reason), NOTHING, born);
    const entries = new Uint32Array(countOf(request) * 2);
    const status = this.translate(link, request, entries);
    return this.complete(link, request, status, entries, born);
  }

  /** Fills the entries of the completion, as pairs [lo, hi]. */
  translate(link: Link, request: TranslationRequest, entries: Uint32Array): CompletionStatus {
    for (let n = 0; n < entries.length / 2; n++) {
      const page = request.page + n;
      this.find(link.stream, request, page);
      const status = this.entry(link, request, page, this.page, entries, n);
      if (status !== 'ok') return status;
    }
    return 'ok';
  }

  /** Translates one page into {@link page}. */
  find(stream: number, request: TranslationRequest, page: number): void {
    const { translator, iotlb } = this.vtd;
    const result = this.page;
    const want = this.wantOf(request);
    const i = translator.obtain(stream, request.pasid, page, want);
    result.want = translator.asSeen(want);
    result.found = i >= 0 ? FOUND.LEAF : i === NO_LINE.BYPASS ? FOUND.BYPASS : FOUND.REFUSED;
    if (i < 0) return;
    result.frame = iotlb.lines.frame[i];
    result.order = iotlb.lines.order[i];
    result.flags = iotlb.lines.flags[i];
  }

  // ── the stepwise gait ──────────────────────────────────────────────────────────────────────────────────────────

  *answerSteps(link: Link, request: TranslationRequest): Coroutine<void> {
    const { kernel, footprint, inFlight, translator } = this.vtd;
    if (kernel.at(footprint, false)) yield PREEMPT;
    const born = kernel.steps;
    if (!this.possible(request)) return yield* this.complete(link, request, 'ur', NOTHING, born);
    const ticket = inFlight.begin(FLIGHT.WALK);
    const reason = yield* translator.admitSteps(link.stream, request.pasid, ADMIT.TRANSLATION, ticket);
    const entries = new Uint32Array(countOf(request) * 2);
    const status =
      reason === 0 ? yield* this.translateSteps(link, request, entries, ticket) : this.refuse(link, request, reason);
    yield* this.complete(link, request, status, entries, born);
    inFlight.end(ticket);
  }

  *translateSteps(
    link: Link,
    request: TranslationRequest,
    entries: Uint32Array,
    ticket: number,
  ): Coroutine<CompletionStatus> {
    const { stepwise } = this.vtd;
    for (let n = 0; n < entries.length / 2; n++) {
      const page = request.page + n;
      const want = this.wantOf(request);
      const one = new StepwiseRequest(this.vtd, link.stream, request.pasid, page, want, ticket);
      const found = yield* stepwise.lookup(one);
      stepwise.publish(one, found);
      const { frame, order, flags } = one.walk;
      const result = { found, frame, order, flags, want: one.walk.want };
      const status = this.entry(link, request, page, result, entries, n);
      if (status !== 'ok') return status;
    }
    return 'ok';
  }

  // ── both ───────────────────────────────────────────────────────────────────────────────────────────────────────

  complete(
    link: Link,
    request: TranslationRequest,
    status: CompletionStatus,
    entries: Uint32Array,
    born: number,
  ): Step<void> {
    return link.down({
      kind: 'translation-completion',
      tag: request.tag,
      status,
      entries: status === 'ok' ? entries : NOTHING,
      born,
    });
  }

  /** The unit translates and has device-TLBs, and what the device sent can be a request at all; otherwise UR, without a record. */
  possible({ page, pasid }: TranslationRequest): boolean {
    const { registers, capabilities } = this.vtd;
    if (!registers.translating || !capabilities.dt) return false;
    return page >= 0 && page < PAGES && Math.floor(page) === page && (pasid | 0) === pasid;
  }

  /** One entry. A page that the device may not use gives R=W=0, which is no error. */
  entry(
    link: Link,
    request: TranslationRequest,
    page: number,
    { found, frame, order, flags, want }: Found,
    out: Uint32Array,
    n: number,
  ): CompletionStatus {
    const { reason } = this.vtd.translator;
    const echo = request.priv ? WANT_PRIVILEGED : 0;
    if (found === FOUND.REFUSED && !isRecoverable(reason)) return this.refuse(link, request, reason, page);
    const allowed = found === FOUND.BYPASS ? ALL : found === FOUND.REFUSED ? DENIED : inModeOf(want, flags);
    const rights = this.rights(allowed, request);
    if (rights === DENIED) encodeTranslation(out, n * 2, 0, 0, DENIED | echo);
    else if (found === FOUND.BYPASS) encodeTranslation(out, n * 2, page, 0, rights | echo);
    else {
      // Several translations in one answer are a page each.
      const size = request.count === 1 ? order : 0;
      encodeTranslation(out, n * 2, frame + (page % powerOfTwo(order)), size, rights | echo);
    }
    return 'ok';
  }

  /** Records a condition that a device cannot recover from, and says how it is answered: {@link TranslationRequests}. */
  refuse(link: Link, request: TranslationRequest, reason: number, page = request.page): CompletionStatus {
    const { faults, translator } = this.vtd;
    if (reason === 0) return 'ur';
    faults.record(reason, accessOf(link, request, page), translator.suppressed);
    return FUNCTION_LEVEL.has(reason) ? 'ur' : 'ca';
  }

  /** What is granted: never more than the tables allow; executing only with reading or writing. */
  rights(allowed: number, request: TranslationRequest): number {
    const granted = allowed & (READ | WRITE | (request.exec ? EXEC : 0));
    return (granted & (READ | WRITE)) === 0 ? DENIED : granted;
  }

  /** Reading is always wanted, writing unless the unit honours NW: then a clean page becomes dirty when it is granted. */
  wantOf({ noWrite, priv }: TranslationRequest): number {
    const { nwfs } = this.vtd.capabilities;
    return READ | WANT_TRANSLATION | (noWrite && nwfs ? 0 : WANT_WRITE_TOO) | (priv ? WANT_PRIVILEGED : 0);
  }
}

const countOf = (request: TranslationRequest): number =>
  Math.min(Math.max(Math.floor(request.count), 1), MAX_TRANSLATIONS);

/** Class R of vtd.md 5.3: answered with R=W=0. */
const isRecoverable = (reason: number): boolean => FAULT_REASONS.get(reason)?.class === 'recoverable';

/** What is wrong is about the function, whatever the PASID and the address: 5.1, 5.2 up to the context entry. */
const FUNCTION_LEVEL: ReadonlySet<number> = new Set([
  FAULT.ROOT_NOT_PRESENT,
  FAULT.CONTEXT_NOT_PRESENT,
  FAULT.CONTEXT_INVALID,
  FAULT.ROOT_ACCESS,
  FAULT.CONTEXT_ACCESS,
  FAULT.ROOT_RESERVED,
  FAULT.CONTEXT_RESERVED,
  FAULT.BLOCKED,
  FAULT.TTM,
  FAULT.TTM_PASID,
  FAULT.TTM_ABORT,
  FAULT.SM_ROOT_ACCESS,
  FAULT.SM_ROOT_NOT_PRESENT,
  FAULT.SM_ROOT_RESERVED,
  FAULT.SM_CONTEXT_ACCESS,
  FAULT.SM_CONTEXT_NOT_PRESENT,
  FAULT.SM_CONTEXT_RESERVED,
  FAULT.SM_CONTEXT_INVALID,
  FAULT.SM_DTE,
  FAULT.SM_PASIDE,
  FAULT.SM_RID_PASID,
]);

/** What a fault record says about a request. */
function accessOf(link: Link, { pasid, priv, exec }: TranslationRequest, page: number): Access {
  return { stream: link.stream, pasid, page, kind: 'read', priv, exec, at: AT.TRANSLATION_REQUEST };
}
