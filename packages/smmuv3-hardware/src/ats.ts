import { type Coroutine, LINE, PREEMPT, type Step } from '@iommukit/kernel';
import { type CompletionStatus, encodeTranslation, type Link, type Upstream } from '@iommukit/pci-ats';
import { EATS, EVENT } from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import { PRIVILEGED_SHIFT } from './rights.js';
import { NO_LINE, WANT_PRIVILEGED } from './translate.js';

/** A translation request as it arrives. */
export type TranslationRequest = Extract<Upstream, { kind: 'translation-request' }>;

/** The most translations that one request can ask for: 1024 dwords of completion. */
const MAX_TRANSLATIONS = 512;
const { READ, WRITE, EXEC } = LINE;
const DENIED = 0;
const NOTHING = new Uint32Array(0);

/** ATS translation requests (the second table of smmuv3.md 5.3). */
export class TranslationRequests {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** Translates in one step, and sends the answer: a message of its own, which may cross others. */
  receive(link: Link, request: TranslationRequest): Step<void> {
    const { kernel, footprint } = this.smmu;
    return kernel.at(footprint, false) ? this.answerLater(link, request) : this.answer(link, request);
  }

  *answerLater(link: Link, request: TranslationRequest): Coroutine<void> {
    yield PREEMPT;
    yield* this.answer(link, request);
  }

  answer(link: Link, request: TranslationRequest): Step<void> {
    const born = this.smmu.kernel.steps;
    const status = this.allowed(link, request);
    const entries = status === 'ok' ? this.translate(link.stream, request) : null;
    const answer = status === 'ok' && entries === null ? 'ca' : status;
    return link.down({
      kind: 'translation-completion',
      tag: request.tag,
      status: answer,
      entries: entries ?? NOTHING,
      born,
    });
  }

  /** The stream may use ATS: ok. UR and F_BAD_ATS_TREQ where it is off, UR alone for aborted streams, CA where it is broken. */
  allowed(link: Link, request: TranslationRequest): CompletionStatus {
    const { registers, fetcher } = this.smmu;
    if (!registers.enabled) return this.forbidden(link, request);
    const eats = fetcher.eats(link.stream);
    if (eats < 0) return fetcher.reason === 0 ? 'ur' : 'ca';
    return eats === EATS.ABORT ? this.forbidden(link, request) : 'ok';
  }

  forbidden(link: Link, request: TranslationRequest): CompletionStatus {
    const { page, pasid } = request;
    const access = { stream: link.stream, ssid: pasid, page, offset: 0, write: false, privileged: false, exec: false };
    this.smmu.events.report(EVENT.F_BAD_ATS_TREQ, access);
    return 'ur';
  }

  /** The entries of the completion, as pairs [lo, hi]; null: a configuration or fetch error. */
  translate(stream: number, request: TranslationRequest): Uint32Array | null {
    const count = Math.min(Math.max(Math.floor(request.count), 1), MAX_TRANSLATIONS);
    const entries = new Uint32Array(count * 2);
    for (let n = 0; n < count; n++) {
      if (!this.entry(stream, request, request.page + n, count === 1, entries, n * 2)) return null;
    }
    return entries;
  }

  /** One entry. A page that is not mapped gives R=W=0, which is no error; false: the walk or the configuration is broken. */
  entry(
    stream: number,
    request: TranslationRequest,
    page: number,
    whole: boolean,
    out: Uint32Array,
    at: number,
  ): boolean {
    const { translator, iotlb } = this.smmu;
    const echo = request.priv ? WANT_PRIVILEGED : 0;
    const i = translator.lookup(stream, request.pasid, page);
    if (i === NO_LINE.REFUSED) {
      encodeTranslation(out, at, 0, 0, DENIED | echo);
      return isAddressFault(translator.reason);
    }
    if (i === NO_LINE.BYPASS) {
      encodeTranslation(out, at, page, 0, this.rights(READ | WRITE | EXEC, request) | echo);
      return true;
    }
    const { lines } = iotlb;
    const rights = this.rights(lines.flags[i] >> (request.priv ? PRIVILEGED_SHIFT : 0), request);
    const frame = rights === DENIED ? 0 : lines.frame[i] + (page - lines.page[i]);
    encodeTranslation(out, at, frame, rights === DENIED || !whole ? 0 : lines.order[i], rights | echo);
    return true;
  }

  /** What is granted: never more than the tables allow, and nothing without R. W is given with NW=1 too: there is no HTTU. */
  rights(allowed: number, request: TranslationRequest): number {
    if ((allowed & READ) === 0) return DENIED;
    return allowed & (READ | WRITE | (request.exec ? EXEC : 0));
  }
}

/** The classes that ATS answers with R=W=0. */
function isAddressFault(reason: number): boolean {
  return reason === EVENT.F_TRANSLATION || reason === EVENT.F_ACCESS || reason === EVENT.F_ADDR_SIZE;
}
