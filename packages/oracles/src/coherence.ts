import { type CacheLines, type Kernel, LINE } from '@iommukit/kernel';

/**
 * INV-7: once an invalidation for a range has returned, no older translation of that range is used, in any cache. When a
 * callback returns, every line of its range that is older than the callback's beginning is marked; a use of a marked line
 * is the violation.
 */
export class Coherence {
  readonly kernel: Kernel;
  readonly caches: CacheLines[] = [];
  /** Callbacks under way: key → step at which the first of them began. */
  readonly began = new Map<string, number>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keepList(this.caches);
    kernel.checkpoints.keepMap(this.began);
  }

  cache(lines: CacheLines): void {
    this.caches.push(lines);
  }

  used(lines: CacheLines, i: number): void {
    if ((lines.flags[i]! & LINE.STALE) !== 0) this.stale(lines, i);
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
    for (const lines of this.caches) {
      // That a page is gone says nothing about the tables above it, or about the configuration.
      if (lines.kind === 'translations') lines.markStale({ pasid, first, last, before });
    }
  }

  /** Nothing of the PASID that is cached now may be used any more. */
  forget(pasid: number): void {
    const range = { pasid, first: 0, last: Number.MAX_SAFE_INTEGER, before: Number.POSITIVE_INFINITY };
    for (const lines of this.caches) lines.markStale(range);
  }
}
