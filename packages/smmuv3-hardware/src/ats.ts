import { type Coroutine, LINE, PREEMPT, powerOfTwo, type Step } from '@iommukit/kernel';
import {
  type CompletionStatus,
  encodeTranslation,
  inModeOf,
  type Link,
  type Upstream,
  WANT_PRIVILEGED,
  WANT_TRANSLATION,
  WANT_WRITE_TOO,
} from '@iommukit/pci-ats';
import { EATS, EVENT } from '@iommukit/smmuv3-spec';
import { smallestOrder } from './capabilities.js';
import { ConfigFetch } from './config-fetch.js';
import { KIND, NUMBER } from './context-fields.js';
import type { SmmuV3 } from './device.js';
import type { Access } from './faults.js';
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

/** What is known about one page of a request: what a line has, or why there is none. */
interface Found {
  /** {@link FOUND}. */
  found: number;
  /** Stage 2 refused it. */
  stage2: boolean;
  reason: number;
  /** Address whose fetch failed. */
  address: number;
  /** First frame, log2 of the pages and flags of the leaf. */
  frame: number;
  order: number;
  flags: number;
  /** What was asked, after STE.PRIVCFG. */
  want: number;
}

/**
 * ATS translation requests (the second table of smmuv3.md 5.3). Atomic: translated in one step. Stepwise: page after page, as every
 * walk. The answer is a message of its own, which may cross others.
 */
export class TranslationRequests {
  readonly smmu: SmmuV3;
  readonly stepwise: boolean;
  /** log2 of the pages of an STU: no translation is smaller. */
  readonly stuOrder: number;
  /** The page of the atomic gait. */
  readonly page: Found = {
    found: FOUND.REFUSED,
    stage2: false,
    reason: 0,
    address: 0,
    frame: 0,
    order: 0,
    flags: 0,
    want: 0,
  };

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.stepwise = smmu.capabilities.gait === 'stepwise';
    this.stuOrder = smallestOrder(smmu.capabilities);
  }

  receive(link: Link, request: TranslationRequest): Step<void> {
    const { kernel, footprint } = this.smmu;
    if (this.stepwise) return this.answerSteps(link, request);
    return kernel.at(footprint, false) ? this.answerLater(link, request) : this.answer(link, request);
  }

  // ── the atomic gait ────────────────────────────────────────────────────────────────────────────────────────────

  *answerLater(link: Link, request: TranslationRequest): Coroutine<void> {
    yield PREEMPT;
    yield* this.answer(link, request);
  }

  answer(link: Link, request: TranslationRequest): Step<void> {
    const born = this.smmu.kernel.steps;
    const status = this.allowed(link, request);
    const entries = status === 'ok' ? this.translate(link, request) : null;
    return this.complete(link, request, status, entries, born);
  }

  /** The stream may use ATS. */
  allowed(link: Link, request: TranslationRequest): CompletionStatus {
    const { registers, fetcher } = this.smmu;
    const eats = registers.enabled ? fetcher.eats(link.stream) : EATS.ABORT;
    return this.judge(link, request, eats, fetcher.reason, fetcher.address);
  }

  /** The entries of the completion, as pairs [lo, hi]; null: a configuration or fetch error. */
  translate(link: Link, request: TranslationRequest): Uint32Array | null {
    const count = countOf(request);
    const entries = new Uint32Array(count * 2);
    for (let n = 0; n < count; n++) {
      const page = this.pageOf(request, n);
      this.find(link.stream, request, page);
      if (!this.entry(link, request, page, this.page, entries, n)) return null;
    }
    return entries;
  }

  /** Translates one page into {@link page}. */
  find(stream: number, request: TranslationRequest, page: number): void {
    const { translator, iotlb } = this.smmu;
    const result = this.page;
    const i = translator.obtain(stream, request.pasid, page, wantOf(request));
    result.want = translator.asSeen(wantOf(request));
    result.found = i >= 0 ? FOUND.LEAF : i === NO_LINE.BYPASS ? FOUND.BYPASS : FOUND.REFUSED;
    result.stage2 = translator.atStage2;
    result.reason = translator.reason;
    result.address = translator.fetchAddress;
    if (i < 0) return;
    result.frame = iotlb.lines.frame[i];
    result.order = iotlb.lines.order[i];
    result.flags = iotlb.lines.flags[i];
  }

  // ── the stepwise gait ──────────────────────────────────────────────────────────────────────────────────────────

  *answerSteps(link: Link, request: TranslationRequest): Coroutine<void> {
    const { kernel, footprint, inFlight } = this.smmu;
    if (kernel.at(footprint, false)) yield PREEMPT;
    const born = kernel.steps;
    const ticket = inFlight.begin();
    const status = yield* this.allowedSteps(link, request, ticket);
    const entries = status === 'ok' ? yield* this.translateSteps(link, request, ticket) : null;
    yield* this.complete(link, request, status, entries, born);
    inFlight.end(ticket);
  }

  *allowedSteps(link: Link, request: TranslationRequest, ticket: number): Coroutine<CompletionStatus> {
    const { registers, fetcher } = this.smmu;
    const fetch = new ConfigFetch();
    fetch.stream = link.stream;
    fetch.ticket = ticket;
    const eats = registers.enabled ? yield* fetcher.eatsSteps(fetch) : EATS.ABORT;
    return this.judge(link, request, eats, fetch.reason, fetch.address);
  }

  *translateSteps(link: Link, request: TranslationRequest, ticket: number): Coroutine<Uint32Array | null> {
    const count = countOf(request);
    const entries = new Uint32Array(count * 2);
    for (let n = 0; n < count; n++) {
      const page = this.pageOf(request, n);
      const one = new StepwiseRequest(this.smmu, link.stream, request.pasid, page, wantOf(request), ticket);
      const found = yield* this.smmu.stepwise.lookup(one);
      const { reason, frame, order, flags, want } = one.walk;
      const stage2 = one.configured && one.fetch.numbers[NUMBER.KIND] === KIND.STAGE2 && !one.beyond;
      const result = { found, stage2, reason, address: one.fetchAddress, frame, order, flags, want };
      if (!this.entry(link, request, page, result, entries, n)) return null;
    }
    return entries;
  }

  // ── both ───────────────────────────────────────────────────────────────────────────────────────────────────────

  complete(
    link: Link,
    request: TranslationRequest,
    status: CompletionStatus,
    entries: Uint32Array | null,
    born: number,
  ): Step<void> {
    return link.down({
      kind: 'translation-completion',
      tag: request.tag,
      status: status === 'ok' && entries === null ? 'ca' : status,
      entries: entries ?? NOTHING,
      born,
    });
  }

  /** ok; UR and F_BAD_ATS_TREQ where ATS is off, UR alone for aborted streams, CA where the configuration is broken. */
  judge(link: Link, request: TranslationRequest, eats: number, reason: number, address: number): CompletionStatus {
    if (eats === EATS.ABORT) {
      this.smmu.events.report(EVENT.F_BAD_ATS_TREQ, accessOf(link, request));
      return 'ur';
    }
    if (eats >= 0) return 'ok';
    if (reason === 0) return 'ur';
    this.smmu.events.reportAts(reason, accessOf(link, request), address);
    return 'ca';
  }

  pageOf(request: TranslationRequest, n: number): number {
    return request.page + n * powerOfTwo(this.stuOrder);
  }

  /** One entry. A page that is not mapped gives R=W=0, which is no error; false: the walk or the configuration is broken. */
  entry(
    link: Link,
    request: TranslationRequest,
    page: number,
    { found, stage2, reason, address, frame, order, flags, want }: Found,
    out: Uint32Array,
    n: number,
  ): boolean {
    const echo = request.priv ? WANT_PRIVILEGED : 0;
    if (found === FOUND.REFUSED && !isDenial(reason)) {
      this.smmu.events.reportAts(reason, { ...accessOf(link, request), stage2 }, address);
      return false;
    }
    const allowed = found === FOUND.BYPASS ? ALL : found === FOUND.REFUSED ? DENIED : inModeOf(want, flags);
    const rights = this.rights(allowed, request);
    const stu = this.stuOrder;
    if (rights === DENIED) encodeTranslation(out, n * 2, 0, stu, DENIED | echo);
    else if (found === FOUND.BYPASS) encodeTranslation(out, n * 2, page, stu, rights | echo);
    else {
      // Several translations in one answer are one STU each.
      const size = request.count === 1 ? order : Math.min(order, stu);
      encodeTranslation(out, n * 2, frame + (page % powerOfTwo(order)), size, rights | echo);
    }
    return true;
  }

  /** What is granted: never more than the tables allow, and nothing without R. */
  rights(allowed: number, request: TranslationRequest): number {
    if ((allowed & READ) === 0) return DENIED;
    return allowed & (READ | WRITE | (request.exec ? EXEC : 0));
  }
}

const countOf = (request: TranslationRequest): number =>
  Math.min(Math.max(Math.floor(request.count), 1), MAX_TRANSLATIONS);

/** Reading is always wanted, writing unless NW: then a clean page becomes dirty when it is granted (3.5). */
const wantOf = ({ noWrite, priv }: TranslationRequest): number =>
  READ | WANT_TRANSLATION | (noWrite ? 0 : WANT_WRITE_TOO) | (priv ? WANT_PRIVILEGED : 0);

/** What an event record says about a request. */
function accessOf(link: Link, { page, pasid, priv, exec }: TranslationRequest): Access {
  return { stream: link.stream, ssid: pasid, page, offset: 0, write: false, privileged: priv, exec };
}

/** The classes that ATS answers with R=W=0. */
function isDenial(reason: number): boolean {
  const { F_TRANSLATION, F_ACCESS, F_ADDR_SIZE, F_PERMISSION } = EVENT;
  return reason === F_TRANSLATION || reason === F_ACCESS || reason === F_ADDR_SIZE || reason === F_PERMISSION;
}
