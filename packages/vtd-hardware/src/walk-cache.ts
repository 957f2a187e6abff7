import { CacheLines } from '@iommukit/kernel';
import type { Vtd } from './device.js';
import { saltOf, TaggedCache, tagOf } from './tagged-cache.js';

/** Lines of up to this order are pointers to tables of the last level; those above are kept apart, and are few. */
const DEEP = 17;
const UPPER_SHARE = 8;

/** A table that no 31-bit frame number names, or that is not in memory: the short walk leaves it alone. */
const FAR = -1;

/**
 * The walk cache (paging-structure caches): where tables are, so that a walk begins below the first table. A line covers what one
 * table covers, is tagged as a translation is, and remembers what the entries above the table take away. Direct mapped.
 */
export class WalkCache extends TaggedCache {
  readonly memory: Vtd['memory'];
  readonly mask: number;
  readonly upperMask: number;
  /** LESS bits of the entries on the way to the table, or-ed. */
  readonly inherited: Int32Array;
  /** The table's frame and its dense index in memory, as small integers; {@link FAR} where they are none. */
  readonly tables: Int32Array;
  readonly indexes: Int32Array;

  constructor(vtd: Vtd) {
    const { kernel, spaces, capabilities } = vtd;
    const deep = capabilities.walkEntries;
    const upper = Math.max(deep / UPPER_SHARE, 1);
    super(kernel, spaces, new CacheLines(`${vtd.name} walk cache`, deep + upper, 'tables'), []);
    this.memory = vtd.memory;
    this.mask = deep - 1;
    this.upperMask = upper - 1;
    this.inherited = new Int32Array(deep + upper);
    this.tables = new Int32Array(deep + upper);
    this.indexes = new Int32Array(deep + upper);
  }

  override columns(): readonly (Int8Array | Int32Array | Uint8Array)[] {
    return [...super.columns(), this.inherited, this.tables, this.indexes];
  }

  /** Where the line of the `n`th unit of 2^order pages lies. */
  slotOf(order: number, n: number, salt: number): number {
    return order <= DEEP ? (n ^ salt) & this.mask : this.mask + 1 + ((n ^ salt ^ (order * 5)) & this.upperMask);
  }

  override seek(space: number, order: number, first: number): number {
    const i = this.slotOf(order, first / 2 ** order, saltOf(space));
    return this.tags[i] === tagOf(this.spaces.bases[space], order, first) ? i : -1;
  }

  /** The line for the table that covers the 2^order pages from key `first` on; the caller fills page, stream and PASID. */
  keep(space: number, order: number, first: number, frame: number, level: number, inherited: number): number {
    const { lines, memory } = this;
    const i = this.slotOf(order, first / 2 ** order, saltOf(space));
    if (this.isListed[i] === 0) this.enlist(i);
    this.note(order);
    const index = memory.indexOf(frame);
    lines.tag[i] = tagOf(this.spaces.bases[space], order, first);
    lines.frame[i] = frame;
    lines.order[i] = order;
    lines.flags[i] = 0;
    lines.generation[i] = memory.generationOf(frame);
    this.levels[i] = level;
    this.spaceOf[i] = space;
    this.inherited[i] = inherited;
    this.tables[i] = frame < 2 ** 31 && index >= 0 ? frame : FAR;
    this.indexes[i] = index;
    return i;
  }
}
