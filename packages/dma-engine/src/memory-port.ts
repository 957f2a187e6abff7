import { type Coroutine, LINE, type Step } from '@iommukit/kernel';
import { AT, PRG_RESPONSE, type TranslationOutcome } from '@iommukit/pci-ats';
import type { DmaEngine } from './endpoint.js';
import { engineTranslate, pasidOrNull } from './tracepoints.js';
import { REFUSED, UntranslatedPort } from './untranslated-port.js';
import { addressOf, type Cursor } from './work.js';

/** The bit of a page request's rights that asks for privileged mode. */
const PRIVILEGED = 8;

/** In place of a line: the IOMMU does no ATS for the device, which falls back to untranslated accesses. */
const UNTRANSLATED = -4;

/** Where to a message goes. */
export interface Target {
  /** Translated or not (`AT` of pci-ats). */
  readonly at: number;
  readonly pasid: number;
  /** The frame of a translated access, else the page. */
  readonly page: number;
  readonly witness: number;
}

/**
 * The accesses of an engine that is a PCI function: translated by itself while ATS is on, and then each asks only for the
 * right that it needs; otherwise untranslated.
 */
export class MemoryPort extends UntranslatedPort {
  declare readonly engine: DmaEngine;

  // ── accesses ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads bytes of one page. @returns 0, or one of {@link REFUSED} */
  override *load(pasid: number, from: Cursor, into: Uint8Array): Coroutine<number> {
    if (!this.translates()) return yield* super.load(pasid, from, into);
    const line = yield* this.reach(pasid, from.page, LINE.READ);
    if (line === UNTRANSLATED) return yield* super.load(pasid, from, into);
    if (line < 0) return line;
    const { tag } = this.begin(into, this.abortedBy(line));
    const target = this.use(line, pasid, from, into.length, false);
    yield* this.engine.link.up({ kind: 'read', tag, bytes: into.length, offset: from.offset, ...target });
    const result = yield* this.completion();
    yield* this.letGo(line);
    return result;
  }

  /** Writes bytes of one page: posted, so it is through once sent. @returns 0, or one of {@link REFUSED} */
  override *store(pasid: number, to: Cursor, data: Uint8Array): Coroutine<number> {
    if (!this.translates()) return yield* super.store(pasid, to, data);
    const line = yield* this.reach(pasid, to.page, LINE.WRITE);
    if (line === UNTRANSLATED) return yield* super.store(pasid, to, data);
    if (line < 0) return line;
    const target = this.use(line, pasid, to, data.length, true);
    yield* this.engine.link.up({ kind: 'write', offset: to.offset, data, ...target });
    yield* this.letGo(line);
    return 0;
  }

  /** From here to {@link letGo} an invalidation of the line does not complete (ATC-8). */
  use(line: number, pasid: number, place: Cursor, bytes: number, write: boolean): Target {
    const target = this.target(pasid, line, place.page);
    this.engine.atc.pin(line);
    this.tellAccess(pasid, place, bytes, write);
    return target;
  }

  /** How a message addresses a page: translated, or untranslated where the line says so (ATC-4). */
  target(pasid: number, line: number, page: number): Target {
    const { atc } = this.engine;
    if (atc.untranslatedOnly(line)) return { at: AT.UNTRANSLATED, pasid, page, witness: 0 };
    return { at: AT.TRANSLATED, pasid, page: atc.frameOf(line, page), witness: atc.witnessOf(line, page) };
  }

  /** Completer Abort of what was translated here is an error; what the IOMMU translates may have gone meanwhile. */
  abortedBy(line: number): number {
    return this.engine.atc.untranslatedOnly(line) ? REFUSED.CANCELLED : REFUSED.FAILED;
  }

  /** The access is done with its line: invalidations that waited for it complete now (ATC-8). */
  letGo(line: number): Step<void> {
    const { atc, kernel } = this.engine;
    return atc.unpin(line) ? atc.settle() : kernel.done(undefined);
  }

  // ── rights ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Gets the right to a page: from the cache, else by asking for its translation, else by asking for the page.
   * @returns the line, to be used at once, or one of {@link REFUSED}
   */
  *reach(pasid: number, page: number, want: number): Coroutine<number> {
    const { atc } = this.engine;
    let promised = false;
    let aborted = false;
    for (let failures = 0; ; ) {
      const refusal = this.refusal(pasid);
      if (refusal < 0) return refusal;
      if (!this.translates()) return REFUSED.FAILED;
      const line = atc.lookup(pasid, page, this.engine.privileged);
      if (line >= 0 && (atc.rights(line) & want) === want) return line;
      const outcome = line >= 0 ? yield* this.upgrade(pasid, page, want) : yield* this.translate(pasid, page, want);
      if (outcome === 'refused') return REFUSED.CANCELLED;
      if (outcome === 'ur') return this.unsupported();
      if (outcome === 'ca') {
        if (yield* this.engine.jobs.triesAgain(failures++)) continue;
        if (aborted || !this.asksAfterAbort(pasid)) return REFUSED.FAILED;
        aborted = true;
      } else if (outcome !== 'denied') continue;
      if (promised && this.givesUpAfterSuccess()) return REFUSED.FAILED;
      const answer = yield* this.requestPages(pasid, [page], want);
      if (answer < 0) return answer;
      promised = true;
    }
  }

  /** ATC-1: no translation is asked for or used while ATS is off. */
  translates(): boolean {
    return this.engine.fn.state.ats;
  }

  /** Completer Abort to a translation request: the page is asked for, once, where that is possible. */
  asksAfterAbort(pasid: number): boolean {
    return this.engine.capabilities.afterAbort === 'page-request' && this.groupLimit(pasid) > 0;
  }

  /** What Unsupported Request to a translation request comes to: ATS is not allowed for the function (pcie-ats.md 2.4). */
  unsupported(): number {
    return this.engine.capabilities.urFallback ? UNTRANSLATED : REFUSED.FAILED;
  }

  /** A line has less than the access needs (ATC-3): a new request may bring more; some devices do not make one. */
  *upgrade(pasid: number, page: number, want: number): Coroutine<TranslationOutcome | 'refused'> {
    const { readOnlyHit } = this.engine.capabilities;
    if (want !== LINE.WRITE || readOnlyHit === 'request') return yield* this.translate(pasid, page, want);
    return readOnlyHit === 'deny' ? 'refused' : 'denied';
  }

  /** PF-6: Success promised nothing, so that a page that is gone again is asked for again; it is no hardware error. */
  givesUpAfterSuccess(): boolean {
    return false;
  }

  *translate(pasid: number, page: number, want: number): Coroutine<TranslationOutcome> {
    const outcome = yield* this.engine.atc.translate(pasid, page, want, this.engine.privileged);
    this.tellTranslation(pasid, page, want, outcome === 'cached');
    return outcome;
  }

  /** Requests without a PASID are to what a driver mapped: nobody brings in what is not there. */
  override groupLimit(pasid: number): number {
    const { pri } = this.engine;
    return pasid >= 0 && pri.usable() ? pri.limit : 0;
  }

  /** One group of page requests. @returns 0 when it was answered Success (retry: PF-6), or one of {@link REFUSED} */
  override *requestPages(pasid: number, pages: readonly number[], want: number): Coroutine<number> {
    const { pri } = this.engine;
    if (pasid < 0) return REFUSED.CANCELLED;
    const group = yield* pri.request(pasid, pages, this.engine.privileged ? want | PRIVILEGED : want);
    if (group === null) return this.cannotRequest(pasid);
    const code = yield* pri.answerOf(group, () => this.engine.abandonsAnswers && this.engine.isStopping(pasid));
    if (code < 0) return REFUSED.STOPPED;
    return code === PRG_RESPONSE.SUCCESS ? 0 : this.refusalOf(code);
  }

  /** Without page requests, an absent page is out of reach; after a Response Failure everything is (ATC-12). */
  cannotRequest(pasid: number): number {
    return this.engine.pri.state.failed || !this.translates() || !this.mayAccess(pasid)
      ? REFUSED.FAILED
      : REFUSED.CANCELLED;
  }

  /** Invalid Request is no hardware error: a page that was promised may be gone again (ATC-13, PF-6). */
  refusalOf(code: number): number {
    return code === PRG_RESPONSE.INVALID_REQUEST ? REFUSED.CANCELLED : REFUSED.FAILED;
  }

  // ── trace ──────────────────────────────────────────────────────────────────────────────────────────────────────

  tellTranslation(pasid: number, page: number, want: number, granted: boolean): void {
    const { kernel, name } = this.engine;
    if (!kernel.trace.wants(engineTranslate)) return;
    const write = want === LINE.WRITE;
    kernel.trace.emit(engineTranslate, { dev: name, pasid: pasidOrNull(pasid), addr: addressOf(page), write, granted });
  }
}
