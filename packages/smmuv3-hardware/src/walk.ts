import { type Coroutine, LINE, PREEMPT, powerOfTwo } from '@iommukit/kernel';
import { GRANULES, type Granule, LAST_LEVEL } from '@iommukit/paging';
import { CLEAN, grants, inModeOf, NO_TICKET, wishes } from '@iommukit/pci-ats';
import { EVENT } from '@iommukit/smmuv3-spec';
import {
  ADDRESS_FORMAT,
  CONTEXT,
  FLAG,
  formatOf,
  NUMBER,
  pageOrderOf,
  startEntriesLog2Of,
  startLevelOf,
} from './context-fields.js';
import type { SmmuV3 } from './device.js';
import { AF, CONTIGUOUS, DBM, dirtied, managedRights, NG, rightsOf } from './rights.js';
import { rightsOfStage2 } from './stage2-rights.js';
import { NEXT, type TableWalk } from './table-walk.js';

const { WRITE } = LINE;
const FRAME = 4096;
const ENTRY = 8;

/** The granule by log2 of the 4 KiB pages in one of its pages. */
const GRANULE_OF_ORDER: Readonly<Record<number, Granule>> = {
  0: GRANULES['4K'],
  2: GRANULES['16K'],
  4: GRANULES['64K'],
};

/**
 * Walks of either stage (smmuv3.md 3.1 to 3.5): of every granule, in both halves, from the nearest table that the walk cache knows.
 * Nothing here waits: {@link begin}, {@link advance} and {@link update} say what comes {@link NEXT}, and whoever drives the walk does it: in
 * one step ({@link run}), or with a preemption point before each access ({@link steps}).
 */
export class Walker {
  readonly smmu: SmmuV3;
  /** What {@link load} gave. */
  readonly word = new Uint32Array(2);

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** The atomic gait: LEAF or FAULT. */
  run(walk: TableWalk): number {
    let next = this.begin(walk);
    while (next < NEXT.LEAF) {
      if (next === NEXT.UPDATE) this.smmu.kernel.touch(Math.floor(walk.address / ENTRY), true);
      next = next === NEXT.FETCH ? this.load(walk) : this.update(walk);
    }
    return next;
  }

  /** The stepwise gait: LEAF or FAULT. A table may change between two fetches, and a leaf before its flags are set. */
  *steps(walk: TableWalk): Coroutine<number> {
    const { kernel } = this.smmu;
    let next = this.begin(walk);
    while (next < NEXT.LEAF) {
      if (kernel.at(Math.floor(walk.address / ENTRY), next === NEXT.UPDATE)) yield PREEMPT;
      next = next === NEXT.FETCH ? this.load(walk) : this.update(walk);
    }
    return next;
  }

  /** Fetches the 64-bit descriptor at `address`, and looks at it. */
  load(walk: TableWalk): number {
    const { kernel, memory, name } = this.smmu;
    kernel.observer.fetched(name, Math.floor(walk.address / FRAME), 'page table', walk.stream, walk.ssid);
    if (!memory.load64(walk.address, this.word)) return this.fault(walk, EVENT.F_WALK_EABT);
    walk.lo = this.word[0] | 0;
    walk.hi = this.word[1] | 0;
    return this.advance(walk);
  }

  /** Where the walk begins: at the nearest table in the walk cache, else at the first table of its half. */
  begin(walk: TableWalk): number {
    const { spaces, config } = this.smmu;
    walk.half = walk.key < spaces.shape.half ? 0 : 1;
    const shape = walk.numbers[walk.at + NUMBER.SHAPE0 + walk.half];
    walk.level = 0;
    if (shape < 0) return this.fault(walk, EVENT.F_TRANSLATION); // EPD: a miss is not walked for
    if (walk.cached >= 0) config.useContext(walk.cached);
    if (this.fresh(walk) && this.resume(walk, shape)) return NEXT.FETCH;
    walk.level = startLevelOf(shape);
    walk.inherited = 0;
    const n = this.unitOf(walk, shape) % powerOfTwo(startEntriesLog2Of(shape));
    walk.address = walk.contexts[walk.at + CONTEXT.TABLE0 + walk.half] + n * ENTRY;
    return NEXT.FETCH;
  }

  /** Begins below a table that the walk cache knows, the lowest one. */
  resume(walk: TableWalk, shape: number): boolean {
    const { walkCache, kernel } = this.smmu;
    const space = walk.numbers[walk.at + NUMBER.SPACE];
    for (let level = LAST_LEVEL; level > startLevelOf(shape); level--) {
      const order = orderOf(shape, level - 1);
      const i = walkCache.seek(space, order, walk.key - (walk.key % powerOfTwo(order)));
      if (i < 0) continue;
      kernel.observer.used(walkCache.lines, i);
      walk.level = level;
      walk.inherited = walkCache.inherited[i];
      this.enter(walk, shape, walkCache.lines.frame[i]);
      return true;
    }
    return false;
  }

  /** The descriptor of the walk's page in the table at `frame`. */
  enter(walk: TableWalk, shape: number, frame: number): void {
    walk.address = frame * FRAME + (this.unitOf(walk, shape) % powerOfTwo(bitsOf(shape))) * ENTRY;
  }

  /** How many descriptors of the walk's level lie before its page. */
  unitOf(walk: TableWalk, shape: number): number {
    return Math.floor(walk.key / powerOfTwo(orderOf(shape, walk.level)));
  }

  /** The descriptor was fetched (3.3: translation, address size, access, permission; level by level). */
  advance(walk: TableWalk): number {
    const { lo, level } = walk;
    const shape = walk.numbers[walk.at + NUMBER.SHAPE0 + walk.half];
    const isTable = level < LAST_LEVEL && (lo & 2) !== 0;
    if ((lo & 1) === 0 || (!isTable && !this.isLeaf(lo, level, shape))) return this.fault(walk, EVENT.F_TRANSLATION);
    const frame = frameOf(walk, shape);
    if (frame >= walk.contexts[walk.at + CONTEXT.OUTPUT0 + walk.half]) return this.fault(walk, EVENT.F_ADDR_SIZE);
    return isTable ? this.descend(walk, shape, frame) : this.leaf(walk, shape, frame);
  }

  /** A page at level 3 (0b01 is invalid there), a block where the granule has one. */
  isLeaf(lo: number, level: number, shape: number): boolean {
    if (level === LAST_LEVEL) return (lo & 2) !== 0;
    const format = formatOf(shape);
    if (format === ADDRESS_FORMAT.DS && level >= 0)
      return level === (pageOrderOf(shape) === 0 ? 0 : 1) || blockAt(shape, level);
    return (format === ADDRESS_FORMAT.LARGE && level === 1) || blockAt(shape, level);
  }

  /** A table: the walk cache learns where it is. */
  descend(walk: TableWalk, shape: number, frame: number): number {
    walk.inherited |= walk.hi;
    if (this.fresh(walk)) this.keepTable(walk, orderOf(shape, walk.level), frame);
    walk.level++;
    this.enter(walk, shape, frame);
    return NEXT.FETCH;
  }

  keepTable(walk: TableWalk, order: number, frame: number): void {
    const { walkCache, kernel } = this.smmu;
    const { lines } = walkCache;
    const first = walk.key - (walk.key % powerOfTwo(order));
    const space = walk.numbers[walk.at + NUMBER.SPACE];
    const i = walkCache.keep(space, order, first, frame, walk.level + 1, walk.inherited);
    lines.page[i] = walk.page - (walk.key - first);
    lines.pasid[i] = walk.ssid;
    lines.stream[i] = walk.stream;
    lines.born[i] = walk.born;
    kernel.observer.filled(lines, i, walk.stream, walk.ssid);
  }

  /** A leaf: its extent and rights, then the flags that hardware sets (3.5). */
  leaf(walk: TableWalk, shape: number, frame: number): number {
    const control = walk.numbers[walk.at + NUMBER.FLAGS];
    const { lo, hi, level } = walk;
    let order = orderOf(shape, level);
    // Where flags are set one by one, what holds for one entry of a group need not hold for the others.
    if ((hi & CONTIGUOUS) !== 0 && (control & FLAG.ACCESS) === 0) order += groupOrder(shape, level);
    walk.order = order;
    walk.first = walk.key - (walk.key % powerOfTwo(order));
    walk.frame = frame - (frame % powerOfTwo(order));
    walk.global = (lo & NG) === 0 && (control & FLAG.SECOND_STAGE) === 0;
    walk.generation = this.smmu.memory.generationOf(walk.frame);
    walk.flags = this.rights(walk, lo, control);
    return this.settleFlags(walk, control);
  }

  rights(walk: TableWalk, lo: number, control: number): number {
    const { hi, inherited, half } = walk;
    const managed = (control & FLAG.DIRTY) !== 0 && (hi & DBM) !== 0;
    if ((control & FLAG.SECOND_STAGE) !== 0) return rightsOfStage2(lo, hi, managed);
    return managed
      ? managedRights(lo, hi, inherited, control, half !== 0)
      : rightsOf(lo, hi, inherited, control, half !== 0);
  }

  /**
   * The Access flag is set where a request is granted that would otherwise fault, the dirty state where it wants to write. A
   * request that is refused for its rights sets neither (3.5 leaves that open); its leaf is cached only if AF was set before.
   */
  settleFlags(walk: TableWalk, control: number): number {
    const { lo } = walk;
    const young = (lo & AF) === 0 && (control & FLAG.AFFD) === 0;
    if (young && ((control & FLAG.ACCESS) === 0 || wishes(walk.want) === 0)) return this.fault(walk, EVENT.F_ACCESS);
    let updated = young ? lo | AF : lo;
    if (this.soils(walk, control)) updated = dirtied(updated, control);
    if (updated === lo) return NEXT.LEAF;
    walk.updated = updated;
    if (grants(walk.want, this.rights(walk, updated, control))) return NEXT.UPDATE;
    return young ? this.fault(walk, EVENT.F_PERMISSION) : NEXT.LEAF;
  }

  /** The page is clean, and the request may and wants to write. */
  soils(walk: TableWalk, control: number): boolean {
    if ((walk.flags & CLEAN) === 0 || (wishes(walk.want) & WRITE) === 0) return false;
    const dirty = this.rights(walk, dirtied(walk.lo, control), control);
    return (inModeOf(walk.want, dirty) & WRITE) !== 0 && grants(walk.want, dirty);
  }

  /** Sets the flags in memory, in one atomic step; a leaf that has changed since is fetched again (PF-10). */
  update(walk: TableWalk): number {
    const { memory } = this.smmu;
    this.word[0] = walk.lo;
    this.word[1] = walk.hi;
    if (!memory.swap64(walk.address, this.word, walk.updated >>> 0, walk.hi >>> 0)) return NEXT.FETCH;
    walk.lo = walk.updated;
    walk.flags = this.rights(walk, walk.lo, walk.numbers[walk.at + NUMBER.FLAGS]);
    return NEXT.LEAF;
  }

  /** No invalidation came since the walk began: what it reads may be kept (MN-18). */
  fresh(walk: TableWalk): boolean {
    return walk.ticket === NO_TICKET || !this.smmu.inFlight.stale(walk.ticket);
  }

  fault(walk: TableWalk, reason: number): number {
    walk.reason = reason;
    return NEXT.FAULT;
  }
}

/** Index bits of one level. */
const bitsOf = (shape: number): number => pageOrderOf(shape) + 9;

/** log2 of the 4 KiB pages that a descriptor of a level covers. */
const orderOf = (shape: number, level: number): number => pageOrderOf(shape) + bitsOf(shape) * (LAST_LEVEL - level);

const blockAt = (shape: number, level: number): boolean => GRANULE_OF_ORDER[pageOrderOf(shape)].blockAt[level] === true;

/** log2 of the descriptors in a contiguous group of a level; a first table that is smaller has none. */
function groupOrder(shape: number, level: number): number {
  const count = GRANULE_OF_ORDER[pageOrderOf(shape)].contiguous[level] ?? 0;
  const entries = powerOfTwo(level === startLevelOf(shape) ? startEntriesLog2Of(shape) : bitsOf(shape));
  return count === 0 || count > entries ? 0 : Math.log2(count);
}

/** The frame in a descriptor, whose bits below its granule count as zero (3.2). */
function frameOf({ lo, hi }: TableWalk, shape: number): number {
  const page = pageOrderOf(shape);
  const low = lo >>> 12;
  switch (formatOf(shape)) {
    case ADDRESS_FORMAT.LARGE:
      return (low & ~15) + (hi & 0xffff) * 2 ** 20 + (low & 15) * 2 ** 36;
    case ADDRESS_FORMAT.DS:
      return (low & -(2 ** page)) + (hi & 0x3ffff) * 2 ** 20 + ((lo >>> 8) & 3) * 2 ** 38;
    default:
      return (low & -(2 ** page)) + (hi & 0xffff) * 2 ** 20;
  }
}
