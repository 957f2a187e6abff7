import { type Coroutine, LINE, PREEMPT } from '@iommukit/kernel';
import type { CompletionStatus, Link, Upstream } from '@iommukit/pci-ats';
import { EATS, EVENT } from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import { NO_LINE, PRIVILEGED_SHIFT } from './translate.js';

/** A translation request as it arrives. */
export type TranslationRequest = Extract<Upstream, { kind: 'translation-request' }>;

/** The most translations that one request can ask for: 1024 dwords of completion. */
const MAX_TRANSLATIONS = 512;
/** Bits of a translation completion entry (pcie-ats.md 2.4). */
const ENTRY = { READ: 1, WRITE: 2, EXEC: 8, PRIVILEGED: 16, SIZE: 0x800 } as const;
const { READ, WRITE, EXEC } = LINE;
const NOTHING = new Uint32Array(0);

/** ATS translation requests (the second table of smmuv3.md 5.3). */
export class TranslationRequests {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** Translates in one step, and sends the answer: a message of its own, which may cross others. */
  *receive(link: Link, request: TranslationRequest): Coroutine<void> {
    const { kernel } = this.smmu;
    if (kernel.at(this.smmu.footprint, false)) yield PREEMPT;
    const born = kernel.steps;
    const status = this.allowed(link, request);
    const entries = status === 'ok' ? this.translate(link.stream, request) : null;
    const answer = status === 'ok' && entries === null ? 'ca' : status;
    yield* link.down({
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
  entry(stream: number, request: TranslationRequest, page: number, whole: boolean, out: Uint32Array, at: number): boolean {
    const { translator, iotlb } = this.smmu;
    const privileged = request.priv ? ENTRY.PRIVILEGED : 0;
    const i = translator.lookup(stream, request.pasid, page);
    if (i === NO_LINE.REFUSED) {
      out[at] = privileged;
      return isAddressFault(translator.reason);
    }
    if (i === NO_LINE.BYPASS) {
      put(out, at, page, 0, ENTRY.READ | ENTRY.WRITE | (request.exec ? ENTRY.EXEC : 0) | privileged);
      return true;
    }
    const { lines } = iotlb;
    const flags = lines.flags[i] >> (request.priv ? PRIVILEGED_SHIFT : 0);
    const rights = this.rights(flags, request);
    const frame = lines.frame[i];
    if (rights === 0) out[at] = privileged;
    else if (whole) put(out, at, frame, lines.order[i], rights | privileged);
    else put(out, at, frame + (page - lines.page[i]), 0, rights | privileged);
    return true;
  }

  /** What is granted: never more than the tables allow, and nothing without R. W is given with NW=1 too: there is no HTTU. */
  rights(flags: number, request: TranslationRequest): number {
    if ((flags & READ) === 0) return 0;
    return ENTRY.READ | ((flags & WRITE) !== 0 ? ENTRY.WRITE : 0) | (request.exec && (flags & EXEC) !== 0 ? ENTRY.EXEC : 0);
  }
}

/** The classes that ATS answers with R=W=0. */
function isAddressFault(reason: number): boolean {
  return reason === EVENT.F_TRANSLATION || reason === EVENT.F_ACCESS || reason === EVENT.F_ADDR_SIZE;
}

/** Writes an entry with the size encoding of pcie-ats.md 2.4. */
function put(out: Uint32Array, at: number, frame: number, order: number, flags: number): void {
  const encoded = order === 0 ? frame : frame - (frame % 2 ** order) + 2 ** (order - 1) - 1;
  out[at] = (encoded % 2 ** 20) * 4096 + (order === 0 ? 0 : ENTRY.SIZE) + flags;
  out[at + 1] = Math.floor(encoded / 2 ** 20);
}
