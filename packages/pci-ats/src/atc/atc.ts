import { CacheLines, type Coroutine, IommuError, type Kernel, LINE, type Step, type Task } from '@iommukit/kernel';
import type { Link } from '../agent.js';
import type { PciFunction } from '../config/pci-function.js';
import { decodeTranslation, TRANSLATION, type TranslationResult } from '../encode.js';
import { decodeRange, type PageRange } from '../range.js';
import type { CompletionStatus, Downstream } from '../tlp.js';

/** What an {@link Atc} is made of. */
export interface AtcOptions {
  readonly kernel: Kernel;
  /** Names the cache in reports: `0000:00:03.0 ATC`. */
  readonly name: string;
  readonly link: Link;
  readonly fn: PciFunction;
  /** For oracles: who owns a frame when its translation is cached. */
  readonly memory: { generationOf(pfn: number): number };
  /** Lines (at least 4). */
  readonly entries: number;
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
  /** Last page asked for. */
  readonly last: number;
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

/** Bits of {@link Atc.kinds}. */
const UNTRANSLATED_ONLY = 1;
const GLOBAL = 2;

/**
 * The address translation cache of a function (pcie-ats.md 5), fully associative, and its translation requests. Pages are
 * address / 4096. An access first {@link pin}s its line and {@link unpin}s it when its message was posted or its completion came.
 */
export class Atc {
  readonly kernel: Kernel;
  readonly link: Link;
  readonly fn: PciFunction;
  readonly memory: AtcOptions['memory'];
  readonly lines: CacheLines;
  /** Last page of each line. */
  readonly last: Float64Array;
  /** Accesses under way that use the line; a pinned line's place is not filled again. */
  readonly pins: Uint16Array;
  /** Whether a line is good for untranslated accesses only (1), or for every PASID (2). */
  readonly kinds: Uint8Array;
  readonly pending: PendingTranslation[] = [];
  readonly open: OpenInvalidation[] = [];
  readonly state = { tag: 0, hand: 0, globals: 0 };
  readonly range: PageRange = { page: 0, order: 0 };
  readonly result: TranslationResult = { page: 0, order: 0, perm: 0, attributes: 0 };

  /** @throws IommuError EINVAL for fewer than four entries */
  constructor(options: AtcOptions) {
    const { kernel, entries } = options;
    if (entries < 4)
      throw new IommuError('EINVAL', `an ATC of ${entries} entries is too small`, { remedy: 'give it at least 4' });
    this.kernel = kernel;
    this.link = options.link;
    this.fn = options.fn;
    this.memory = options.memory;
    this.lines = new CacheLines(options.name, entries);
    this.last = new Float64Array(entries);
    this.pins = new Uint16Array(entries);
    this.kinds = new Uint8Array(entries);
    kernel.checkpoints.keep(this.lines);
    kernel.checkpoints.keep({ last: this.last, pins: this.pins, kinds: this.kinds });
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.keepList(this.pending);
    kernel.checkpoints.keepList(this.open);
    kernel.observer.cache(this.lines);
  }

  // ── lookups and accesses ───────────────────────────────────────────────────────────────────────────────────────

  /** The line that translates `page` of `pasid` (-1: requests without one) in this privilege mode, or -1 (ATC-2). */
  lookup(pasid: number, page: number, priv = false): number {
    const { tag, page: first } = this.lines;
    const key = tagOf(pasid, priv);
    for (let i = 0; i < tag.length; i++) {
      if (tag[i] === key && first[i] <= page && this.last[i] >= page) return i;
    }
    return this.state.globals === 0 || pasid < 0 ? -1 : this.lookupGlobal(page, priv);
  }

  lookupGlobal(page: number, priv: boolean): number {
    const { tag, page: first } = this.lines;
    for (let i = 0; i < tag.length; i++) {
      if (tag[i] === -1 || (this.kinds[i] & GLOBAL) === 0 || tag[i] % 2 !== (priv ? 1 : 0)) continue;
      if (first[i] <= page && this.last[i] >= page) return i;
    }
    return -1;
  }

  /** Rights that a line gives: 1 read, 2 write, 4 execute. */
  rights(line: number): number {
    return this.lines.flags[line] & (LINE.READ | LINE.WRITE | LINE.EXEC);
  }

  /** True: accesses to the line's pages are sent untranslated (ATC-4). */
  untranslatedOnly(line: number): boolean {
    return (this.kinds[line] & UNTRANSLATED_ONLY) !== 0;
  }

  /** The frame that the line translates `page` to. */
  frameOf(line: number, page: number): number {
    return this.lines.frame[line] + (page - this.lines.page[line]);
  }

  /** For oracles: the generation of that frame when the line was filled; 0 when not known (a page inside a larger line). */
  witnessOf(line: number, page: number): number {
    return page === this.lines.page[line] ? this.lines.generation[line] : 0;
  }

  /** An access begins to use the line: an invalidation that takes it out completes only after {@link unpin}. */
  pin(line: number): void {
    this.pins[line]++;
    this.kernel.observer.used(this.lines, line);
  }

  /** The access was posted, or its completion came. True: an invalidation waited for it: {@link settle} it. */
  unpin(line: number): boolean {
    if (--this.pins[line] > 0 || this.open.length === 0) return false;
    for (const { lines } of this.open) {
      const at = lines.indexOf(line);
      if (at >= 0) lines.splice(at, 1);
    }
    return true;
  }

  // ── translation requests ───────────────────────────────────────────────────────────────────────────────────────

  /**
   * Asks for one translation and waits for the answer. `want`: 1 read, 2 write, 4 execute; without write the request says
   * "no write" (pcie-ats.md 2.3), so that nothing gets dirty. The answer is in the cache when this returns `cached`.
   */
  *translate(pasid: number, page: number, want: number, priv = false): Coroutine<TranslationOutcome> {
    if (!this.mayAsk(pasid, want, priv)) return 'ur';
    const request = this.ask(pasid, page, want, priv);
    yield* this.link.up({
      kind: 'translation-request',
      tag: request.tag,
      pasid,
      page,
      count: 1,
      noWrite: (want & LINE.WRITE) === 0,
      exec: (want & LINE.EXEC) !== 0,
      priv,
    });
    while (request.outcome === null) yield* this.kernel.park('a translation completion');
    return request.outcome;
  }

  /** ATC-1 and ATC-15. */
  mayAsk(pasid: number, want: number, priv: boolean): boolean {
    return this.fn.state.ats && this.fn.mayUse(pasid, (want & LINE.EXEC) !== 0, priv);
  }

  ask(pasid: number, page: number, want: number, priv: boolean): PendingTranslation {
    const stu = 2 ** this.fn.state.stu;
    const last = page - (page % stu) + stu - 1;
    const request: PendingTranslation = {
      tag: this.nextTag(),
      pasid,
      page,
      last,
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
    do this.state.tag = (this.state.tag + 1) & 31;
    while (this.pending.some((request) => request.tag === this.state.tag));
    return this.state.tag;
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
    decodeTranslation(entries[0], entries[1], this.result);
    const { perm } = this.result;
    // ATC-3: no access is never cached.
    if ((perm & 7) !== 0) this.fill(request, this.result, born);
    return (perm & request.want) === request.want ? 'cached' : 'denied';
  }

  /** ATC-7: the answer to a request that an invalidation crossed is not kept. */
  keepsInvalidated(_request: PendingTranslation): boolean {
    return false;
  }

  /** Caches one entry of a completion, in place of older ones of the same pages and key. */
  fill(request: PendingTranslation, result: TranslationResult, born: number): void {
    const { lines } = this;
    const size = 2 ** result.order;
    const first = request.page - (request.page % size);
    const key = tagOf(request.pasid, request.priv);
    for (let i = 0; i < lines.count; i++) {
      if (lines.tag[i] === key && lines.page[i] < first + size && this.last[i] >= first) this.drop(i);
    }
    const i = this.place();
    if (i < 0) return;
    const global = (result.attributes & TRANSLATION.GLOBAL) !== 0;
    lines.tag[i] = key;
    lines.page[i] = first;
    lines.frame[i] = result.page;
    lines.order[i] = result.order;
    lines.flags[i] = result.perm & 7;
    lines.pasid[i] = request.pasid;
    lines.stream[i] = this.link.stream;
    lines.born[i] = born;
    lines.generation[i] = this.memory.generationOf(result.page);
    this.last[i] = first + size - 1;
    this.kinds[i] = (result.attributes & TRANSLATION.UNTRANSLATED_ONLY ? UNTRANSLATED_ONLY : 0) | (global ? GLOBAL : 0);
    if (global) this.state.globals++;
    this.kernel.observer.filled(lines, i, this.link.stream, request.pasid);
  }

  /** A line for a new entry: an empty one, else round robin; pinned ones are left alone. -1: all are pinned. */
  place(): number {
    const { tag, count } = this.lines;
    for (let i = 0; i < count; i++) if (tag[i] === -1 && this.pins[i] === 0) return i;
    for (let n = 0; n < count; n++) {
      this.state.hand = (this.state.hand + 1) % count;
      if (this.pins[this.state.hand] !== 0) continue;
      this.drop(this.state.hand);
      return this.state.hand;
    }
    return -1;
  }

  drop(line: number): void {
    if ((this.kinds[line] & GLOBAL) !== 0 && this.lines.tag[line] !== -1) this.state.globals--;
    this.lines.tag[line] = -1;
  }

  // ── invalidations ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes an Invalidate Request: ATC-6, ATC-7, ATC-8. Waits for nothing but the lane (ATC-9). */
  *invalidate(tlp: Extract<Downstream, { kind: 'invalidate-request' }>): Coroutine<void> {
    decodeRange(tlp.lo, tlp.hi, this.range);
    const first = this.range.page;
    const last = first + 2 ** this.range.order - 1;
    // Global Invalidate counts with a PASID only, and where the function supports it.
    const global = tlp.pasid >= 0 && (tlp.lo & 1) !== 0 && this.fn.options.ats?.globalInvalidate === true;
    const pasid = global ? -1 : tlp.pasid;
    const used = this.dropRange(pasid, first, last);
    this.markPending(pasid, first, last);
    const invalidation: OpenInvalidation = { itag: tlp.itag, lines: used };
    if (this.mayComplete(invalidation)) yield* this.complete(invalidation);
    else this.open.push(invalidation);
  }

  /** Drops every line of the range and PASID (-1: of all). @returns those that accesses under way still use */
  dropRange(pasid: number, first: number, last: number): number[] {
    const used: number[] = [];
    const { lines } = this;
    for (let i = 0; i < lines.count; i++) {
      if (pasid >= 0 && (lines.pasid[i] !== pasid || (this.kinds[i] & GLOBAL) !== 0)) continue;
      if (lines.page[i] > last || this.last[i] < first) continue;
      // A line that was dropped before, but is still used, counts too.
      if (this.pins[i] !== 0) used.push(i);
      if (lines.tag[i] !== -1) this.drop(i);
    }
    return used;
  }

  /** ATC-7: answers under way that overlap are not to be used. */
  markPending(pasid: number, first: number, last: number): void {
    for (const request of this.pending) {
      if ((pasid < 0 || request.pasid === pasid) && request.page <= last && request.last >= first)
        request.invalidated = true;
    }
  }

  /** ATC-8: true once no access that used what was invalidated is under way. */
  mayComplete(invalidation: OpenInvalidation): boolean {
    return invalidation.lines.length === 0;
  }

  /** Sends the Invalidate Completion: behind every write posted before it. */
  complete(invalidation: OpenInvalidation): Step<void> {
    return this.link.up({ kind: 'invalidate-completion', itags: (1 << invalidation.itag) >>> 0, count: 1 });
  }

  /** Completes the invalidations that waited for accesses. */
  *settle(): Coroutine<void> {
    for (;;) {
      const at = this.open.findIndex((invalidation) => this.mayComplete(invalidation));
      if (at < 0) return;
      const [invalidation] = this.open.splice(at, 1);
      yield* this.complete(invalidation);
    }
  }

  /** ATC-1: ATS was switched off, or the function was reset. Answers under way are not to be used. */
  dropAll(): void {
    this.dropRange(-1, 0, Number.POSITIVE_INFINITY);
    this.markPending(-1, 0, Number.POSITIVE_INFINITY);
  }
}

/** -1 is an empty line, so tags start at 0. The lowest bit is the privilege mode. */
function tagOf(pasid: number, priv: boolean): number {
  return (pasid + 1) * 2 + (priv ? 1 : 0);
}
