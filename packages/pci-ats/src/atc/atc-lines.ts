import { CacheLines, IommuError, type Kernel, LINE, powerOfTwo } from '@iommukit/kernel';
import type { PciFunction } from '../config/pci-function.js';
import { TRANSLATION, type TranslationResult } from '../encode.js';

/** What an {@link AtcLines} is made of. */
export interface AtcLinesOptions {
  readonly kernel: Kernel;
  /** Names the cache in reports: `0000:00:03.0 ATC`. */
  readonly name: string;
  /** Whose translations they are: the StreamID. */
  readonly stream: number;
  readonly fn: PciFunction;
  /** For oracles: who owns a frame when its translation is cached. */
  readonly memory: { generationOf(pfn: number): number };
  /** Lines (at least 4). */
  readonly entries: number;
}

/** Bits of {@link AtcLines.kinds}. */
const UNTRANSLATED_ONLY = 1;
const GLOBAL = 2;
const NON_SNOOPED = 4;

/** The lines of a translation cache, fully associative. Pages are address / 4096. */
export class AtcLines {
  readonly kernel: Kernel;
  readonly stream: number;
  readonly fn: PciFunction;
  readonly memory: AtcLinesOptions['memory'];
  readonly lines: CacheLines;
  /** Last page of each line. */
  readonly last: Float64Array;
  /** Accesses under way that use the line; a pinned line's place is not filled again. */
  readonly pins: Uint16Array;
  /** Whether a line is good for untranslated accesses only (1), for every PASID (2), or accesses are not snooped (4). */
  readonly kinds: Uint8Array;
  readonly state = { hand: 0, globals: 0 };

  /** @throws IommuError EINVAL for fewer than four entries */
  constructor(options: AtcLinesOptions) {
    const { kernel, entries } = options;
    if (entries < 4)
      throw new IommuError('EINVAL', `an ATC of ${entries} entries is too small`, { remedy: 'give it at least 4' });
    this.kernel = kernel;
    this.stream = options.stream;
    this.fn = options.fn;
    this.memory = options.memory;
    this.lines = new CacheLines(options.name, entries);
    this.last = new Float64Array(entries);
    this.pins = new Uint16Array(entries);
    this.kinds = new Uint8Array(entries);
    kernel.checkpoints.keep(this.lines);
    kernel.checkpoints.keep({ last: this.last, pins: this.pins, kinds: this.kinds });
    kernel.checkpoints.keep(this.state);
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

  /** True: accesses to the line's pages are not snooped. */
  nonSnooped(line: number): boolean {
    return (this.kinds[line] & NON_SNOOPED) !== 0;
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

  // ── filling and dropping ───────────────────────────────────────────────────────────────────────────────────────

  /** Caches the translation of `page`, in place of older ones of the same pages and key. `perm`: what it grants. */
  fill(pasid: number, priv: boolean, page: number, result: TranslationResult, born: number, perm: number): void {
    const { lines } = this;
    const size = powerOfTwo(result.order);
    const first = page - (page % size);
    const key = tagOf(pasid, priv);
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
    lines.flags[i] = perm;
    lines.pasid[i] = pasid;
    lines.stream[i] = this.stream;
    lines.born[i] = born;
    lines.generation[i] = this.memory.generationOf(result.page);
    this.last[i] = first + size - 1;
    this.kinds[i] = kindOf(result.attributes);
    if (global) this.state.globals++;
    this.kernel.observer.filled(lines, i, this.stream, pasid);
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
}

function kindOf(attributes: number): number {
  return (
    ((attributes & TRANSLATION.UNTRANSLATED_ONLY) === 0 ? 0 : UNTRANSLATED_ONLY) |
    ((attributes & TRANSLATION.GLOBAL) === 0 ? 0 : GLOBAL) |
    ((attributes & TRANSLATION.NON_SNOOPED) === 0 ? 0 : NON_SNOOPED)
  );
}

/** -1 is an empty line, so tags start at 0. The lowest bit is the privilege mode. */
function tagOf(pasid: number, priv: boolean): number {
  return (pasid + 1) * 2 + (priv ? 1 : 0);
}
