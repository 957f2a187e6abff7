import { CacheLines, type Kernel, powerOfTwo } from '@iommukit/kernel';
import type { TableCache } from './table-cache.js';
import { type CacheSpaces, type DropScope, saltOf, TaggedCache, tagOf } from './tagged-cache.js';

/** Lines of a set. */
export const WAYS = 4;

/**
 * An agent's cache of translations (IOTLB): set associative, lines of any size. What is dropped here is dropped from the cache of
 * tables too, unless only entries of the last level changed. Benchmarks: translate-hit-1k, translate-miss-1m, and those of VT-d.
 */
export abstract class TranslationCache<Scope extends DropScope = DropScope> extends TaggedCache<Scope> {
  readonly walks: TableCache<Scope>;
  readonly setMask: number;
  /** `turn`: the way to replace next. */
  readonly state = { turn: 0 };

  /** `entries` is a power of two, at least {@link WAYS}. */
  constructor(kernel: Kernel, name: string, entries: number, spaces: CacheSpaces, walks: TableCache<Scope>) {
    // Lines of single pages always may exist.
    super(kernel, spaces, new CacheLines(name, entries), [0]);
    this.walks = walks;
    this.setMask = entries / WAYS - 1;
    kernel.checkpoints.keep(this.state);
  }

  /** First line of the set of the `n`th unit of 2^order pages. */
  setOf(n: number, salt: number): number {
    return ((n ^ salt) & this.setMask) * WAYS;
  }

  /** The line of `set` with this tag, or -1. */
  find(set: number, tag: number): number {
    const { tags } = this;
    if (tags[set] === tag) return set;
    if (tags[set + 1] === tag) return set + 1;
    if (tags[set + 2] === tag) return set + 2;
    if (tags[set + 3] === tag) return set + 3;
    return -1;
  }

  override seek(space: number, order: number, first: number): number {
    return this.find(
      this.setOf(first / powerOfTwo(order), saltOf(space)),
      tagOf(this.spaces.bases[space], order, first),
    );
  }

  /** A line of `space` larger than 4 KiB that holds `key`, or -1. */
  findBlock(space: number, key: number): number {
    const { orders } = this;
    for (let n = 1; n < orders.length; n++) {
      const i = this.seek(space, orders[n], key - (key % powerOfTwo(orders[n])));
      if (i >= 0) return i;
    }
    return -1;
  }

  /** The line to fill with `tag`: an empty way of its set, else the next in turn. The caller fills every other field. */
  claim(set: number, tag: number): number {
    const { tags } = this;
    let i = set;
    if (tags[i] !== -1 && tags[++i] !== -1 && tags[++i] !== -1 && tags[++i] !== -1) {
      const turn = (this.state.turn + 1) & (WAYS - 1);
      this.state.turn = turn;
      i = set + turn;
    }
    if (this.isListed[i] === 0) this.enlist(i);
    tags[i] = tag;
    return i;
  }

  /** {@link claim} for lines of any size; one with the same tag is filled again. */
  claimAny(space: number, order: number, first: number): number {
    if (order !== 0) this.note(order);
    const known = this.seek(space, order, first);
    if (known >= 0) return known;
    const tag = tagOf(this.spaces.bases[space], order, first);
    return this.claim(this.setOf(first / powerOfTwo(order), saltOf(space)), tag);
  }

  // ── invalidation: of tables as well ────────────────────────────────────────────────────────────────────────────

  override dropAll(): void {
    super.dropAll();
    this.walks.dropAll();
  }

  override dropSpaces(goes: (space: number) => boolean, scope: Scope | null = null): void {
    super.dropSpaces(goes, scope);
    if (scope === null || !scope.leaf) this.walks.dropSpaces(goes, scope);
  }

  override dropKeys(space: number, first: number, last: number, scope: Scope): void {
    super.dropKeys(space, first, last, scope);
    if (!scope.leaf) this.walks.dropKeys(space, first, last, scope);
  }

  override dropKeysOf(goes: (space: number) => boolean, first: number, last: number, scope: Scope): void {
    super.dropKeysOf(goes, first, last, scope);
    if (!scope.leaf) this.walks.dropKeysOf(goes, first, last, scope);
  }
}
