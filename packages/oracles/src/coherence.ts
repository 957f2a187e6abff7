import { type CacheLines, type Kernel, LINE, type LineRange } from '@iommukit/kernel';

/** Invalidations that are remembered for walks which they may have overtaken: no walk is under way while more than that return. */
const REMEMBERED = 64;

/**
 * INV-7: once an invalidation for a range has returned, no older translation of that range is used, in any cache. When a
 * callback returns, every line of its range that is older than the callback's beginning is marked; a use of a marked line
 * is the violation. A line that is filled later by a walk that began before is marked as it is filled.
 */
export class Coherence {
  readonly kernel: Kernel;
  readonly caches: CacheLines[] = [];
  /** Callbacks under way: key → step at which the first of them began. */
  readonly began = new Map<string, number>();
  /** The last invalidations that returned: of translations, and of everything of a PASID. */
  readonly returned: { readonly range: LineRange; readonly all: boolean }[] = [];
  /** No walk that began at this step or later can have been overtaken. */
  readonly state = { latest: 0 };

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keepList(this.caches);
    kernel.checkpoints.keepMap(this.began);
    kernel.checkpoints.keepList(this.returned);
    kernel.checkpoints.keep(this.state);
  }

  cache(lines: CacheLines): void {
    this.caches.push(lines);
  }

  used(lines: CacheLines, i: number): void {
    if ((lines.flags[i]! & LINE.STALE) !== 0) this.stale(lines, i);
  }

  filled(lines: CacheLines, i: number): void {
    if (lines.born[i]! < this.state.latest) this.overtaken(lines, i);
  }

  /** A walk that began before an invalidation fills a line after it: it is as old as those that were marked. */
  overtaken(lines: CacheLines, i: number): void {
    // Steps count from the beginning of a run.
    if (this.kernel.steps < this.state.latest) {
      this.returned.length = 0;
      this.state.latest = 0;
    }
    for (const { range, all } of this.returned) if (all || lines.kind === 'translations') lines.markLine(i, range);
  }

  stale(lines: CacheLines, i: number): void {
    this.kernel.violate(
      'INV-7',
      `${lines.name} uses its line for page 0x${lines.page[i]!.toString(16)} of PASID ${lines.pasid[i]}, filled at step ${lines.born[i]}, ` +
        'after an invalidation that covers it has returned',
    );
  }

  begin(pasid: number, first: number, last: number): void {
    this.began.set(`${pasid}:${first}:${last}`, this.kernel.steps);
  }

  end(pasid: number, first: number, last: number): void {
    const key = `${pasid}:${first}:${last}`;
    const before = this.began.get(key) ?? this.kernel.steps;
    this.began.delete(key);
    const range = { pasid, first, last, before };
    // That a page is gone says nothing about the tables above it, or about the configuration.
    for (const lines of this.caches) if (lines.kind === 'translations') lines.markStale(range);
    this.remember(range, false);
  }

  /** Nothing of the PASID that is cached now may be used any more. */
  forget(pasid: number): void {
    const range = { pasid, first: 0, last: Number.MAX_SAFE_INTEGER, before: Number.POSITIVE_INFINITY };
    for (const lines of this.caches) lines.markStale(range);
    this.remember({ ...range, before: this.kernel.steps }, true);
  }

  /** As {@link forget}, of the caches of one device or one unit, while others still use the PASID. */
  forgetOf(holder: string, pasid: number): void {
    const range = { pasid, first: 0, last: Number.MAX_SAFE_INTEGER, before: Number.POSITIVE_INFINITY };
    for (const lines of this.caches) if (lines.holder === holder) lines.markStale(range);
  }

  remember(range: LineRange, all: boolean): void {
    this.returned.push({ range, all });
    if (this.returned.length > REMEMBERED) this.returned.shift();
    this.state.latest = Math.max(this.state.latest, range.before);
  }
}
