import { CacheLines, type Kernel, LINE } from '@iommukit/kernel';
import type { Vtd } from './device.js';
import { STRIDE } from './regime.js';
import type { Regimes } from './regimes.js';

/** The domain of what was not present (VTD-5). */
const ABSENT = 0;
/** Configuration is about every page. */
const EVERY_PAGE = 52;

/**
 * A cache of configuration entries, direct mapped: their words as fetched, the regime that some of them mean, and the domain that
 * they are tagged with. What was not present or wrong when it was fetched is kept in caching mode only, with domain 0 (VTD-5).
 */
export abstract class ConfigLines {
  readonly kernel: Kernel;
  readonly lines: CacheLines;
  readonly tags: Float64Array;
  readonly dids: Int32Array;
  readonly words: Uint32Array;
  /** 32-bit words of one entry. */
  readonly stride: number;
  readonly regimes: Regimes;
  /** Where the regime of line 0 lies in {@link Regimes}. */
  readonly firstRegime: number;
  /** Lines that changed since the checkpoint. */
  readonly touched: Uint8Array;
  readonly journal: number[] = [];

  constructor(vtd: Vtd, name: string, count: number, stride: number, firstRegime: number) {
    const { kernel, regimes } = vtd;
    this.kernel = kernel;
    this.lines = new CacheLines(`${vtd.name} ${name}`, count, 'configuration');
    this.tags = this.lines.tag;
    this.dids = new Int32Array(count);
    this.words = new Uint32Array(count * stride);
    this.stride = stride;
    this.regimes = regimes;
    this.firstRegime = firstRegime;
    this.touched = new Uint8Array(count);
    // They lead to no frame of their own.
    this.lines.frame.fill(-1);
    this.lines.order.fill(EVERY_PAGE);
    kernel.observer.cache(this.lines);
    kernel.checkpoints.add(this);
  }

  /** Where the regime of a line lies. */
  regimeOf(line: number): number {
    return this.firstRegime + line * STRIDE;
  }

  /** Tells oracles that a cached entry is used; one that was not present leads nowhere, however old it is. */
  use(line: number): void {
    if (this.dids[line] !== ABSENT) this.kernel.observer.used(this.lines, line);
  }

  fill(line: number, tag: number, did: number, words: Uint32Array, stream: number, pasid: number, born: number): void {
    const { lines } = this;
    this.touch(line);
    this.regimes.forget();
    lines.tag[line] = tag;
    lines.flags[line] = did === ABSENT ? LINE.ABSENT : 0;
    lines.stream[line] = stream;
    lines.pasid[line] = pasid;
    lines.born[line] = born;
    this.dids[line] = did;
    this.words.set(words.subarray(0, this.stride), line * this.stride);
  }

  /** Drops every entry. */
  dropAll(): void {
    this.dropWhere(() => true);
  }

  dropWhere(goes: (line: number) => boolean): void {
    this.regimes.forget();
    for (let line = 0; line < this.lines.count; line++) {
      if (this.tags[line] === -1 || !goes(line)) continue;
      this.touch(line);
      this.tags[line] = -1;
    }
  }

  touch(line: number): void {
    if (this.touched[line] === 1) return;
    this.touched[line] = 1;
    this.journal.push(line);
  }

  /** Restoring writes back only the lines that changed, and what oracles marked. */
  save(): () => void {
    const { lines, words, dids, stride, regimes } = this;
    const columns = [lines.tag, lines.pasid, lines.stream, lines.born, dids];
    const kept = columns.map((column) => column.slice());
    const flags = lines.flags.slice();
    const keptWords = words.slice();
    const end = this.regimeOf(lines.count);
    const doubles = regimes.doubles.slice(this.firstRegime, end);
    const numbers = regimes.numbers.slice(this.firstRegime, end);
    for (const line of this.journal.splice(0)) this.touched[line] = 0;
    return () => {
      regimes.forget();
      lines.flags.set(flags);
      for (const line of this.journal.splice(0)) {
        this.touched[line] = 0;
        columns.forEach((column, n) => {
          column[line] = kept[n][line];
        });
        words.set(keptWords.subarray(line * stride, (line + 1) * stride), line * stride);
        const from = line * STRIDE;
        regimes.put(this.regimeOf(line), doubles.subarray(from, from + STRIDE), numbers.subarray(from, from + STRIDE));
      }
    };
  }
}
