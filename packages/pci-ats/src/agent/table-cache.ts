import { CacheLines, type Kernel, type PhysicalMemory, powerOfTwo } from '@iommukit/kernel';
import { type CacheSpaces, type DropScope, saltOf, TaggedCache, tagOf } from './tagged-cache.js';

/** Lines of up to this order are pointers to tables of the last level; those above are kept apart, and are few. */
const DEEP = 17;
const UPPER_SHARE = 8;

/** A table that no 31-bit frame number names, or that is not in memory: short walks leave it alone. */
const FAR = -1;

/**
 * An agent's cache of where tables are, so that a walk begins below the first one. A line covers what one table covers, is tagged as
 * a translation is, and remembers what the entries above the table take away. Direct mapped.
 */
export abstract class TableCache<Scope extends DropScope = DropScope> extends TaggedCache<Scope> {
  readonly memory: PhysicalMemory;
  readonly mask: number;
  readonly upperMask: number;
  /** What the entries on the way to the table take away, or-ed, as the agent's walks note it. */
  readonly inherited: Int32Array;
  /** The table's frame and its dense index in memory, as small integers; -1 where they are none. */
  readonly tables: Int32Array;
  readonly indexes: Int32Array;

  /** `entries`, a power of two, for tables of the last level; an eighth of that for those above. */
  constructor(kernel: Kernel, name: string, entries: number, spaces: CacheSpaces, memory: PhysicalMemory) {
    const upper = Math.max(entries / UPPER_SHARE, 1);
    super(kernel, spaces, new CacheLines(name, entries + upper, 'tables'), []);
    this.memory = memory;
    this.mask = entries - 1;
    this.upperMask = upper - 1;
    this.inherited = new Int32Array(entries + upper);
    this.tables = new Int32Array(entries + upper);
    this.indexes = new Int32Array(entries + upper);
  }

  override columns(): readonly (Int8Array | Int32Array | Uint8Array)[] {
    return [...super.columns(), this.inherited, this.tables, this.indexes];
  }

  /** Where the line of the `n`th unit of 2^order pages lies. */
  slotOf(order: number, n: number, salt: number): number {
    return order <= DEEP ? (n ^ salt) & this.mask : this.mask + 1 + ((n ^ salt ^ (order * 5)) & this.upperMask);
  }

  override seek(space: number, order: number, first: number): number {
    const i = this.slotOf(order, first / powerOfTwo(order), saltOf(space));
    return this.tags[i] === tagOf(this.spaces.bases[space], order, first) ? i : -1;
  }

  /** The line for the table that covers the 2^order pages from key `first` on; the caller fills page, stream and PASID. */
  keep(space: number, order: number, first: number, frame: number, level: number, inherited: number): number {
    const { lines, memory } = this;
    const i = this.slotOf(order, first / powerOfTwo(order), saltOf(space));
    if (this.isListed[i] === 0) this.enlist(i);
    this.note(order);
    const index = memory.indexOf(frame);
    lines.tag[i] = tagOf(this.spaces.bases[space], order, first);
    lines.frame[i] = frame;
    lines.order[i] = order;
    lines.flags[i] = 0;
    lines.generation[i] = memory.generationOf(frame);
    this.levels[i] = level;
    this.inherited[i] = inherited;
    this.tables[i] = frame < 2 ** 31 && index >= 0 ? frame : FAR;
    this.indexes[i] = index;
    return i;
  }
}
