import { CacheLines } from '@iommukit/kernel';
import type { Vtd } from './device.js';
import { saltOf, TaggedCache, tagOf } from './tagged-cache.js';
import type { WalkCache } from './walk-cache.js';

/** Lines of a set. */
export const WAYS = 4;

/**
 * The IOTLB: set associative, lines of any size, of either stage. What is dropped here is dropped from the walk cache too, unless
 * only leaf entries changed (IH). In caching mode a second-stage line without any right says that nothing is mapped.
 * Benchmarks: vtd-translate-hit-1k, vtd-translate-miss-1m.
 */
export class Iotlb extends TaggedCache {
  readonly walks: WalkCache;
  readonly setMask: number;
  /** `turn`: the way to replace next. */
  readonly state = { turn: 0 };

  constructor(vtd: Vtd) {
    const { kernel, spaces, walkCache, capabilities } = vtd;
    // Lines of single pages always may exist.
    super(kernel, spaces, new CacheLines(`${vtd.name} IOTLB`, capabilities.iotlbEntries), [0]);
    this.walks = walkCache;
    this.setMask = capabilities.iotlbEntries / WAYS - 1;
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
    return this.find(this.setOf(first / 2 ** order, saltOf(space)), tagOf(this.spaces.bases[space], order, first));
  }

  /** A line of `space` larger than 4 KiB that holds `key`, or -1. */
  findBlock(space: number, key: number): number {
    const { orders } = this;
    for (let n = 1; n < orders.length; n++) {
      const i = this.seek(space, orders[n], key - (key % 2 ** orders[n]));
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
    return this.claim(this.setOf(first / 2 ** order, saltOf(space)), tag);
  }

  override dropAll(): void {
    super.dropAll();
    this.walks.dropAll();
  }

  override dropDomain(did: number): void {
    super.dropDomain(did);
    this.walks.dropDomain(did);
  }

  override dropPages(did: number, first: number, last: number, leaf: boolean): void {
    super.dropPages(did, first, last, leaf);
    if (!leaf) this.walks.dropPages(did, first, last, leaf);
  }

  override dropPasid(did: number, pasid: number, globals = true): void {
    super.dropPasid(did, pasid, globals);
    this.walks.dropPasid(did, pasid, globals);
  }

  override dropPasidPages(
    did: number,
    pasid: number,
    first: number,
    last: number,
    leaf: boolean,
    globals = true,
  ): void {
    super.dropPasidPages(did, pasid, first, last, leaf, globals);
    if (!leaf) this.walks.dropPasidPages(did, pasid, first, last, leaf, globals);
  }

  override dropDomainPasids(did: number, globals: boolean): void {
    super.dropDomainPasids(did, globals);
    this.walks.dropDomainPasids(did, globals);
  }
}
