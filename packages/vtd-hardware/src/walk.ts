import { type Coroutine, LINE, PREEMPT, powerOfTwo } from '@iommukit/kernel';
import { CLEAN, grants, inModeOf, NO_TICKET, wishes } from '@iommukit/pci-ats';
import { overlapsInterrupts } from './address-checks.js';
import type { Vtd } from './device.js';
import { MARK } from './iotlb.js';
import { FLAG, KIND, NUMBER, REGIME } from './regime.js';
import { denial, isGlobal, marksOf } from './rights.js';
import type { Stage } from './stage.js';
import { NEXT, type TableWalk } from './table-walk.js';

const { WRITE } = LINE;
const FRAME = 4096;
const ENTRY = 8;
const LEVEL_BITS = 9;
/** Leaves may stand at levels 1 to 3. */
const LAST_LEAF_LEVEL = 3;
/** PS of an entry above level 1, in both stages. */
const PAGE_SIZE = 0x80;

/**
 * Walks of either stage (vtd.md 2.11, 2.12), from the nearest table that the walk cache knows. Nothing here waits: {@link begin},
 * {@link advance} and {@link update} say what comes {@link NEXT}, and whoever drives the walk does it: in one step ({@link run}), or with a
 * preemption point before each access ({@link steps}).
 */
export class Walker {
  readonly vtd: Vtd;
  /** What {@link load} gave. */
  readonly word = new Uint32Array(2);

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** The atomic gait: LEAF or FAULT. */
  run(walk: TableWalk): number {
    let next = this.begin(walk);
    while (next < NEXT.LEAF) {
      if (next === NEXT.UPDATE) this.vtd.kernel.touch(Math.floor(walk.address / ENTRY), true);
      next = next === NEXT.FETCH ? this.load(walk) : this.update(walk);
    }
    return next;
  }

  /** The stepwise gait: LEAF or FAULT. A table may change between two fetches, and an entry before its flags are set. */
  *steps(walk: TableWalk): Coroutine<number> {
    const { kernel } = this.vtd;
    let next = this.begin(walk);
    while (next < NEXT.LEAF) {
      if (kernel.at(Math.floor(walk.address / ENTRY), next === NEXT.UPDATE)) yield PREEMPT;
      next = next === NEXT.FETCH ? this.load(walk) : this.update(walk);
    }
    return next;
  }

  /** Fetches the 64-bit entry at `address`, and looks at it. */
  load(walk: TableWalk): number {
    const { kernel, memory, name } = this.vtd;
    kernel.observer.fetched(name, Math.floor(walk.address / FRAME), 'page table', walk.stream, walk.pasid);
    if (!memory.load64(walk.address, this.word)) {
      const top = walk.level === walk.numbers[walk.at + NUMBER.LEVELS];
      return this.fault(walk, this.stageOf(walk).accessReason(controlOf(walk), top));
    }
    walk.lo = this.word[0] | 0;
    walk.hi = this.word[1] | 0;
    return this.advance(walk);
  }

  stageOf(walk: TableWalk): Stage {
    return walk.numbers[walk.at + NUMBER.KIND] === KIND.FIRST ? this.vtd.firstStage : this.vtd.secondStage;
  }

  /** Where the walk begins: at the nearest table in the walk cache, else at the first one. */
  begin(walk: TableWalk): number {
    walk.absent = false;
    walk.denied = 0;
    if (walk.cached >= 0) this.vtd.useRegime(walk.cached);
    if (this.fresh(walk) && this.resume(walk)) return NEXT.FETCH;
    walk.level = walk.numbers[walk.at + NUMBER.LEVELS];
    walk.inherited = 0;
    this.enter(walk, walk.doubles[walk.at + REGIME.TABLE] / FRAME);
    return NEXT.FETCH;
  }

  /** Begins below a table that the walk cache knows, the lowest one. */
  resume(walk: TableWalk): boolean {
    const { walkCache, kernel } = this.vtd;
    const space = walk.numbers[walk.at + NUMBER.SPACE];
    const top = walk.numbers[walk.at + NUMBER.LEVELS];
    for (let level = 1; level < top; level++) {
      const order = level * LEVEL_BITS;
      const i = walkCache.seek(space, order, walk.key - (walk.key % powerOfTwo(order)));
      if (i < 0) continue;
      kernel.observer.used(walkCache.lines, i);
      walk.level = level;
      walk.inherited = walkCache.inherited[i];
      this.enter(walk, walkCache.lines.frame[i]);
      return true;
    }
    return false;
  }

  /** The entry of the walk's page in the table at `frame`. */
  enter(walk: TableWalk, frame: number): void {
    const index = Math.floor(walk.key / powerOfTwo(orderOf(walk.level))) % 2 ** LEVEL_BITS;
    walk.address = frame * FRAME + index * ENTRY;
  }

  /** The entry was fetched: present, reserved bits, then what it is (2.11, 2.12). */
  advance(walk: TableWalk): number {
    const stage = this.stageOf(walk);
    const { lo, hi, level } = walk;
    const control = controlOf(walk);
    if (!stage.isPresent(lo)) return this.absent(walk, stage, control);
    const isLeaf = level === 1 || (level <= LAST_LEAF_LEVEL && (lo & PAGE_SIZE) !== 0);
    if (stage.isReserved(lo, hi, isLeaf ? level : 0)) return this.fault(walk, stage.reservedReason(control));
    const less = walk.inherited | stage.lessOf(lo, hi);
    if (stage.isNothing(less)) return this.absent(walk, stage, control);
    if (isLeaf) return this.leaf(walk, stage, control, less);
    const marked = stage.accessed(lo, control);
    if (marked !== lo) return this.mark(walk, stage, control, marked);
    return this.descend(walk, stage);
  }

  /** Nothing is mapped there. */
  absent(walk: TableWalk, stage: Stage, control: number): number {
    walk.absent = true;
    return this.fault(walk, stage.absentReason(walk.want, control));
  }

  /** Flags of an entry have to change, which unsnooped walks cannot do. */
  mark(walk: TableWalk, stage: Stage, control: number, updated: number): number {
    if ((control & FLAG.SNOOPED) === 0) return this.fault(walk, stage.snoopReason());
    walk.updated = updated;
    return NEXT.UPDATE;
  }

  /** A table: the walk cache learns where it is. */
  descend(walk: TableWalk, stage: Stage): number {
    const frame = frameOf(walk);
    walk.inherited |= stage.lessOf(walk.lo, walk.hi);
    walk.level--;
    if (this.fresh(walk)) this.keepTable(walk, frame);
    this.enter(walk, frame);
    return NEXT.FETCH;
  }

  keepTable(walk: TableWalk, frame: number): void {
    const { walkCache, kernel } = this.vtd;
    const { lines } = walkCache;
    const order = walk.level * LEVEL_BITS;
    const first = walk.key - (walk.key % powerOfTwo(order));
    const space = walk.numbers[walk.at + NUMBER.SPACE];
    const i = walkCache.keep(space, order, first, frame, walk.level, walk.inherited);
    lines.page[i] = walk.page - (walk.key - first);
    lines.pasid[i] = walk.pasid;
    lines.stream[i] = walk.stream;
    lines.born[i] = walk.born;
    kernel.observer.filled(lines, i, walk.stream, walk.pasid);
  }

  /** A leaf: its extent and rights, where it leads, then the flags that hardware sets. */
  leaf(walk: TableWalk, stage: Stage, control: number, less: number): number {
    const order = orderOf(walk.level);
    const inside = walk.key % powerOfTwo(order);
    const frame = frameOf(walk);
    walk.order = order;
    walk.first = walk.key - inside;
    walk.frame = frame - (frame % powerOfTwo(order));
    this.splitOff(walk, inside);
    walk.marks = marksOf(less) | ((control & FLAG.GLOBALS) !== 0 && isGlobal(walk.lo) ? MARK.GLOBAL : 0);
    walk.generation = this.vtd.memory.generationOf(walk.frame);
    walk.flags = stage.rightsOf(less, walk.lo, control);
    return this.settle(walk, stage, control, less);
  }

  /** Where a large page covers interrupts, what is found out is about its one page. */
  splitOff(walk: TableWalk, inside: number): void {
    if (walk.order === 0 || !overlapsInterrupts(walk.frame, walk.order)) return;
    walk.order = 0;
    walk.first += inside;
    walk.frame += inside;
  }

  /**
   * What a granted request sets in its leaf: Accessed, Dirty where it wants to write. A request that is refused sets neither; its
   * leaf is cached only if it was accessed before. A translation into the interrupt range is refused, and never cached.
   */
  settle(walk: TableWalk, stage: Stage, control: number, less: number): number {
    const { lo, want } = walk;
    const dirty = stage.dirtied(lo);
    const kind = walk.numbers[walk.at + NUMBER.KIND];
    const possible = stage.rightsOf(less, dirty, control);
    const young = stage.accessed(lo, control) !== lo;
    const interrupt = overlapsInterrupts(walk.frame, walk.order);
    if (!grants(want, possible)) {
      walk.denied = denial(kind, control, want, possible);
      return young || interrupt ? this.fault(walk, walk.denied) : NEXT.LEAF;
    }
    if (interrupt) return this.fault(walk, stage.interruptReason(control));
    let updated = stage.accessed(lo, control);
    if (this.soils(walk, control, possible)) updated = stage.dirtied(updated);
    return updated === lo ? NEXT.LEAF : this.mark(walk, stage, control, updated);
  }

  /** The page is clean, and the request may and wants to write; one that only would like to needs a walk that can write flags. */
  soils(walk: TableWalk, control: number, possible: number): boolean {
    const { want, flags } = walk;
    if ((flags & CLEAN) === 0 || (wishes(want) & WRITE & inModeOf(want, possible)) === 0) return false;
    return (want & WRITE) !== 0 || (control & FLAG.SNOOPED) !== 0;
  }

  /** Sets the flags in memory, in one atomic step; an entry that has changed since is fetched again (PF-10). */
  update(walk: TableWalk): number {
    const { memory } = this.vtd;
    this.word[0] = walk.lo;
    this.word[1] = walk.hi;
    if (!memory.swap64(walk.address, this.word, walk.updated >>> 0, walk.hi >>> 0)) return NEXT.FETCH;
    walk.lo = walk.updated;
    return this.advance(walk);
  }

  /** No invalidation came since the walk began: what it reads may be kept (MN-18). */
  fresh(walk: TableWalk): boolean {
    return walk.ticket === NO_TICKET || !this.vtd.inFlight.stale(walk.ticket);
  }

  fault(walk: TableWalk, reason: number): number {
    walk.reason = reason;
    return NEXT.FAULT;
  }
}

const controlOf = (walk: TableWalk): number => walk.numbers[walk.at + NUMBER.FLAGS];

/** log2 of the 4 KiB pages that an entry of a level covers. */
const orderOf = (level: number): number => LEVEL_BITS * (level - 1);

/** The frame in an entry: bits [51:12]. */
const frameOf = ({ lo, hi }: TableWalk): number => (lo >>> 12) + (hi & 0xfffff) * 2 ** 20;
