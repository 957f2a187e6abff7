import { type Coroutine, LINE, type Step } from '@iommukit/kernel';
import { AT, type Downstream, PRG_RESPONSE, type TranslationOutcome } from '@iommukit/pci-ats';
import type { DmaEngine } from './endpoint.js';
import { engineDma, engineTranslate } from './tracepoints.js';
import { type Cursor, PAGE } from './work.js';

/** Why an access did not happen. */
export const REFUSED = {
  /** The page is not to be had: no fault of the hardware. */
  CANCELLED: -1,
  /** The IOMMU cannot serve the device. */
  FAILED: -2,
  /** The PASID is being stopped. */
  STOPPED: -3,
} as const;

/** A read that waits for its completion. */
export interface PendingRead {
  readonly tag: number;
  readonly into: Uint8Array;
  /** Null before the completion; then 0, or one of {@link REFUSED}. */
  result: number | null;
}

/** Where to a message goes. */
export interface Target {
  /** Translated or not (`AT` of pci-ats). */
  readonly at: number;
  readonly pasid: number;
  /** The frame of a translated access, else the page. */
  readonly page: number;
  readonly witness: number;
}

/** Tags 0 to 31 are those of translation requests. */
const FIRST_TAG = 32;
const TAGS = 32;

/** The engine's accesses to memory: one is outstanding at a time, and each asks only for the right that it needs. */
export class MemoryPort {
  readonly engine: DmaEngine;
  readonly state: { tag: number; read: PendingRead | null } = { tag: 0, read: null };

  /** The port of one engine, whose cache and page requests it uses. */
  constructor(engine: DmaEngine) {
    this.engine = engine;
    engine.kernel.checkpoints.keep(this.state);
  }

  // ── accesses ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads bytes of one page. @returns 0, or one of {@link REFUSED} */
  *load(pasid: number, from: Cursor, into: Uint8Array): Coroutine<number> {
    const line = yield* this.reach(pasid, from.page, LINE.READ);
    if (line < 0) return line;
    const read = this.beginRead(into);
    const target = this.use(line, pasid, from, into.length, false);
    yield* this.engine.link.up({ kind: 'read', tag: read.tag, bytes: into.length, offset: from.offset, ...target });
    const result = yield* this.awaitRead(read);
    yield* this.letGo(line);
    return result;
  }

  /** Writes bytes of one page: posted, so it is through once sent. @returns 0, or one of {@link REFUSED} */
  *store(pasid: number, to: Cursor, data: Uint8Array): Coroutine<number> {
    const line = yield* this.reach(pasid, to.page, LINE.WRITE);
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
    for (;;) {
      if (this.engine.isStopping(pasid)) return REFUSED.STOPPED;
      if (!this.mayAccess(pasid)) return REFUSED.FAILED;
      const line = atc.lookup(pasid, page);
      if (line >= 0 && (atc.rights(line) & want) === want) return line;
      const outcome = yield* this.translate(pasid, page, want);
      if (outcome === 'ur' || outcome === 'ca') return REFUSED.FAILED;
      if (outcome !== 'denied') continue;
      const answer = yield* this.requestPages(pasid, [page], want);
      if (answer < 0) return answer;
    }
  }

  /** What the driver must have switched on (ATC-1, ATC-15). */
  mayAccess(pasid: number): boolean {
    const { fn } = this.engine;
    return fn.state.ats && fn.mayUse(pasid, false, false);
  }

  *translate(pasid: number, page: number, want: number): Coroutine<TranslationOutcome> {
    const outcome = yield* this.engine.atc.translate(pasid, page, want);
    this.tellTranslation(pasid, page, want, outcome === 'cached');
    return outcome;
  }

  /** One group of page requests. @returns 0 when it was answered Success (retry: PF-6), or one of {@link REFUSED} */
  *requestPages(pasid: number, pages: readonly number[], want: number): Coroutine<number> {
    const { pri } = this.engine;
    const group = yield* pri.request(pasid, pages, want);
    if (group === null) return this.cannotRequest(pasid);
    const code = yield* pri.answerOf(group, () => this.engine.abandonsAnswers && this.engine.isStopping(pasid));
    if (code < 0) return REFUSED.STOPPED;
    return code === PRG_RESPONSE.SUCCESS ? 0 : this.refusalOf(code);
  }

  /** Without page requests, an absent page is out of reach; after a Response Failure everything is (ATC-12). */
  cannotRequest(pasid: number): number {
    return this.engine.pri.state.failed || !this.mayAccess(pasid) ? REFUSED.FAILED : REFUSED.CANCELLED;
  }

  /** Invalid Request is no hardware error: a page that was promised may be gone again (ATC-13, PF-6). */
  refusalOf(code: number): number {
    return code === PRG_RESPONSE.INVALID_REQUEST ? REFUSED.CANCELLED : REFUSED.FAILED;
  }

  // ── completions ────────────────────────────────────────────────────────────────────────────────────────────────

  beginRead(into: Uint8Array): PendingRead {
    this.state.tag = (this.state.tag + 1) % TAGS;
    const read: PendingRead = { tag: FIRST_TAG + this.state.tag, into, result: null };
    this.state.read = read;
    return read;
  }

  *awaitRead(read: PendingRead): Coroutine<number> {
    while (read.result === null) yield* this.engine.kernel.park('a read completion');
    this.state.read = null;
    return read.result;
  }

  /** A read's completion. One for another tag is not ours to use; one with too little data is no answer. */
  completed(tlp: Extract<Downstream, { kind: 'completion' }>): void {
    const { read } = this.state;
    if (read === null || read.tag !== tlp.tag) return;
    const whole = tlp.status === 'ok' && tlp.data.length === read.into.length;
    if (whole) read.into.set(tlp.data);
    read.result = whole ? 0 : REFUSED.FAILED;
    this.engine.kernel.wake(this.engine.task);
  }

  // ── trace ──────────────────────────────────────────────────────────────────────────────────────────────────────

  tellAccess(pasid: number, { page, offset }: Cursor, bytes: number, write: boolean): void {
    const { kernel, name } = this.engine;
    if (!kernel.trace.wants(engineDma)) return;
    kernel.trace.emit(engineDma, { dev: name, pasid, addr: addressOf(page) + BigInt(offset), bytes, write });
  }

  tellTranslation(pasid: number, page: number, want: number, granted: boolean): void {
    const { kernel, name } = this.engine;
    if (!kernel.trace.wants(engineTranslate)) return;
    const write = want === LINE.WRITE;
    kernel.trace.emit(engineTranslate, { dev: name, pasid, addr: addressOf(page), write, granted });
  }
}

function addressOf(page: number): bigint {
  return BigInt(page) * BigInt(PAGE);
}
