import { type Coroutine, IommuError, LINE, powerOfTwo, type Step, type Task, WaitQueue } from '@iommukit/kernel';
import type { Link } from '../agent.js';
import { decodeTranslation, type TranslationResult } from '../encode.js';
import { decodeRange, type PageRange } from '../range.js';
import type { CompletionStatus, Downstream } from '../tlp.js';
import { AtcLines, type AtcLinesOptions } from './atc-lines.js';

/** What an {@link Atc} is made of. */
export interface AtcOptions extends Omit<AtcLinesOptions, 'stream'> {
  readonly link: Link;
  /** Traffic classes that the function uses, 1 (the default) to 8: it sends so many completions for each invalidation. */
  readonly classes?: number;
  /**
   * True: invalidations beyond the queue's depth wait on their lane for room, with everything behind them. By default the
   * function takes more than it promises, so that no host can lock it up.
   */
  readonly pushesBack?: boolean;
}

/**
 * What came of a translation request: `cached` the wanted right is in the cache now; `denied` the tables do not give it (ask
 * with a page request); `again` an invalidation crossed the answer, which must not be used (ATC-7); `ur`, `ca` refused.
 */
export type TranslationOutcome = 'cached' | 'denied' | 'again' | 'ur' | 'ca';

/** A translation request under way. */
export interface PendingTranslation {
  readonly tag: number;
  readonly pasid: number;
  readonly page: number;
  /** First and last page that the answer may cover at least. */
  readonly first: number;
  readonly last: number;
  /** Translations asked for: consecutive translation units. */
  readonly count: number;
  readonly want: number;
  readonly priv: boolean;
  /** An invalidation that overlaps it came since (ATC-7). */
  invalidated: boolean;
  outcome: TranslationOutcome | null;
  readonly task: Task;
}

/** An invalidation that waits for accesses which used the lines it took out (ATC-8). */
export interface OpenInvalidation {
  readonly itag: number;
  /** Lines with accesses under way. */
  readonly lines: number[];
}

/** The most translations that one request can ask for: 1024 dwords of completion (pcie-ats.md 2.3). */
const MAX_TRANSLATIONS = 512;
/** What a completion's entry granted that cannot be used. */
const MALFORMED = -1;

/**
 * The address translation cache of a function (pcie-ats.md 5): its lines, its translation requests, and the invalidations that
 * it is sent. An access first {@link pin}s its line and {@link unpin}s it when its message was posted or its completion came.
 */
export class Atc extends AtcLines {
  readonly link: Link;
  readonly pending: PendingTranslation[] = [];
  readonly open: OpenInvalidation[] = [];
  readonly classes: number;
  readonly pushesBack: boolean;
  /** Where invalidations wait for room in the queue. */
  readonly room: WaitQueue;
  readonly tags = { last: 0 };
  readonly range: PageRange = { page: 0, order: 0 };
  readonly result: TranslationResult = { page: 0, order: 0, perm: 0, attributes: 0 };

  /** @throws IommuError EINVAL for fewer than four entries, or traffic classes that are not 1 to 8 */
  constructor(options: AtcOptions) {
    const { kernel, name, link, fn, memory, entries, classes = 1 } = options;
    super({ kernel, name, stream: link.stream, fn, memory, entries });
    if (!Number.isInteger(classes) || classes < 1 || classes > 8)
      throw new IommuError('EINVAL', `a function cannot use ${classes} traffic classes`, { remedy: 'give 1 to 8' });
    this.link = link;
    this.classes = classes;
    this.pushesBack = options.pushesBack ?? false;
    this.room = new WaitQueue(kernel, `room in the invalidate queue of the ${name}`);
    kernel.checkpoints.keep(this.tags);
    kernel.checkpoints.keepList(this.pending);
    kernel.checkpoints.keepList(this.open);
  }

  // ── translation requests ───────────────────────────────────────────────────────────────────────────────────────

  /**
   * Asks for translations and waits for the answer. `want`: 1 read, 2 write, 4 execute; without write the request says
   * "no write" (pcie-ats.md 2.3), so that nothing gets dirty. With `count` it asks for so many consecutive translation units
   * (at most 512). The page's translation is in the cache when this returns `cached`.
   */
  *translate(pasid: number, page: number, want: number, priv = false, count = 1): Coroutine<TranslationOutcome> {
    if (!this.mayAsk(pasid, want, priv)) return 'ur';
    const request = this.ask(pasid, page, want, priv, Math.min(Math.max(count, 1), MAX_TRANSLATIONS));
    yield* this.link.up({
      kind: 'translation-request',
      tag: request.tag,
      pasid,
      page,
      count: request.count,
      noWrite: this.saysNoWrite(want),
      exec: (want & LINE.EXEC) !== 0,
      priv,
    });
    while (request.outcome === null) yield* this.kernel.park('a translation completion');
    return request.outcome;
  }

  /** NW: without write among its wishes a request must not get anything dirty; a write asks with NW=0 (ATC-3). */
  saysNoWrite(want: number): boolean {
    return (want & LINE.WRITE) === 0;
  }

  /** ATC-1 and ATC-15. */
  mayAsk(pasid: number, want: number, priv: boolean): boolean {
    return this.fn.state.ats && this.fn.mayUse(pasid, (want & LINE.EXEC) !== 0, priv);
  }

  ask(pasid: number, page: number, want: number, priv: boolean, count = 1): PendingTranslation {
    const stu = powerOfTwo(this.fn.stu);
    const first = page - (page % stu);
    const request: PendingTranslation = {
      tag: this.nextTag(),
      pasid,
      page,
      first,
      last: first + stu * count - 1,
      count,
      want,
      priv,
      invalidated: false,
      outcome: null,
      task: this.kernel.current!,
    };
    this.pending.push(request);
    return request;
  }

  nextTag(): number {
    const { tags } = this;
    do tags.last = (tags.last + 1) & 31;
    while (this.pending.some((request) => request.tag === tags.last));
    return tags.last;
  }

  /** Takes a translation completion. One for nothing that is pending is dropped. */
  answer(tlp: Extract<Downstream, { kind: 'translation-completion' }>): void {
    const at = this.pending.findIndex((request) => request.tag === tlp.tag);
    if (at < 0) return;
    const [request] = this.pending.splice(at, 1);
    request.outcome = this.judge(request, tlp.status, tlp.entries, tlp.born);
    this.kernel.wake(request.task);
  }

  judge(request: PendingTranslation, status: CompletionStatus, entries: Uint32Array, born: number): TranslationOutcome {
    if (status !== 'ok') return status;
    // The completion was truncated: nothing in it can be used.
    if (entries.length < 2) return 'ca';
    if (request.invalidated && !this.keepsInvalidated(request)) return 'again';
    const granted = this.take(request, 0, entries[0], entries[1], born);
    // ATC-5: what follows is for the translation units behind; there may be less than was asked for.
    for (let n = 1; n < request.count && n * 2 + 1 < entries.length; n++)
      this.take(request, n, entries[n * 2], entries[n * 2 + 1], born);
    if (granted === MALFORMED) return 'ca';
    return (granted & request.want) === request.want ? 'cached' : 'denied';
  }

  /** Takes entry `n` of a completion. @returns the rights that it gives; -1: it cannot be used */
  take(request: PendingTranslation, n: number, lo: number, hi: number, born: number): number {
    const { result } = this;
    decodeTranslation(lo, hi, result);
    const perm = this.granted(request, result);
    if (!this.isCacheable(perm)) return perm;
    if (!this.isWholeUnit(result)) return MALFORMED;
    const page = n === 0 ? request.page : this.pageOf(request, n);
    this.fill(request.pasid, request.priv, page, result, born, perm);
    return perm;
  }

  /** Exe counts only where execute was asked for (pcie-ats.md 2.4). */
  granted(request: PendingTranslation, { perm }: TranslationResult): number {
    return perm & (LINE.READ | LINE.WRITE | (request.want & LINE.EXEC));
  }

  /** ATC-3: no access is never cached. */
  isCacheable(perm: number): boolean {
    return perm !== 0;
  }

  /** ATC-5: no translation is smaller than a translation unit. */
  isWholeUnit({ order }: TranslationResult): boolean {
    return order >= this.fn.stu;
  }

  /** ATC-5: the page that entry `n` of a completion is about. */
  pageOf(request: PendingTranslation, n: number): number {
    return request.first + n * powerOfTwo(this.fn.stu);
  }

  /** ATC-7: the answer to a request that an invalidation crossed is not kept. */
  keepsInvalidated(_request: PendingTranslation): boolean {
    return false;
  }

  // ── invalidations ──────────────────────────────────────────────────────────────────────────────────────────────

  /** The access was posted, or its completion came. True: an invalidation waited for it: {@link settle} it. */
  unpin(line: number): boolean {
    if (--this.pins[line] > 0 || this.open.length === 0) return false;
    for (const { lines } of this.open) {
      const at = lines.indexOf(line);
      if (at >= 0) lines.splice(at, 1);
    }
    return true;
  }

  /** Takes an Invalidate Request: ATC-6, ATC-7, ATC-8. Waits for nothing but the lane (ATC-9), and maybe for room. */
  *invalidate(tlp: Extract<Downstream, { kind: 'invalidate-request' }>): Coroutine<void> {
    if (this.isFull()) yield* this.room.wait(() => !this.isFull());
    decodeRange(tlp.lo, tlp.hi, this.range);
    const first = this.range.page;
    const last = first + powerOfTwo(this.range.order) - 1;
    // Global Invalidate counts with a PASID only, and where the function supports it.
    const global = tlp.pasid >= 0 && (tlp.lo & 1) !== 0 && this.fn.options.ats?.globalInvalidate === true;
    const pasid = global ? -1 : tlp.pasid;
    const used = this.dropRange(pasid, first, last);
    this.markPending(pasid, first, last);
    const invalidation: OpenInvalidation = { itag: tlp.itag, lines: used };
    if (this.mayComplete(invalidation)) yield* this.complete((1 << tlp.itag) >>> 0);
    else this.open.push(invalidation);
  }

  /** ATC-9: so many as the queue is deep are taken without waiting; more wait, in a function that pushes back. */
  isFull(): boolean {
    return this.pushesBack && this.open.length >= this.fn.queueDepth;
  }

  /** ATC-7: answers under way that overlap are not to be used. */
  markPending(pasid: number, first: number, last: number): void {
    for (const request of this.pending) {
      if ((pasid < 0 || request.pasid === pasid) && request.first <= last && request.last >= first)
        request.invalidated = true;
    }
  }

  /** ATC-8: true once no access that used what was invalidated is under way. */
  mayComplete(invalidation: OpenInvalidation): boolean {
    return invalidation.lines.length === 0;
  }

  /** Sends the Invalidate Completion for a vector of ITags, behind every write posted before it: one a traffic class. */
  complete(itags: number): Step<void> {
    return this.classes === 1
      ? this.link.up({ kind: 'invalidate-completion', itags, count: 1 })
      : this.completeEach(itags);
  }

  *completeEach(itags: number): Coroutine<void> {
    const count = this.classes;
    for (let i = 0; i < count; i++) yield* this.link.up({ kind: 'invalidate-completion', itags, count });
  }

  /** Completes the invalidations that waited for accesses, all at once. */
  *settle(): Coroutine<void> {
    for (let itags = this.takeComplete(); itags !== 0; itags = this.takeComplete()) {
      if (this.pushesBack) this.room.wake();
      yield* this.complete(itags);
    }
  }

  /** Takes invalidations that can be completed out of {@link open}. @returns their ITags as a vector; 0: there is none */
  takeComplete(): number {
    let itags = 0;
    for (let i = this.open.length - 1; i >= 0; i--) {
      const { itag } = this.open[i];
      // A host that uses an ITag twice gets its completions one after the other.
      if ((itags & (1 << itag)) !== 0 || !this.mayComplete(this.open[i])) continue;
      itags |= 1 << itag;
      this.open.splice(i, 1);
    }
    return itags >>> 0;
  }

  /** The function is gone: nothing is cached, and nobody waits for answers any more. */
  abort(): void {
    this.dropAll();
    this.open.length = 0;
    for (const request of this.pending.splice(0)) {
      request.outcome = 'ur';
      this.kernel.wake(request.task);
    }
  }

  /** ATC-1: ATS was switched off, or the function was reset. Answers under way are not to be used. */
  dropAll(): void {
    this.dropRange(-1, 0, Number.POSITIVE_INFINITY);
    this.markPending(-1, 0, Number.POSITIVE_INFINITY);
  }
}
