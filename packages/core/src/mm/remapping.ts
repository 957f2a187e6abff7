import { type Coroutine, IommuError, type Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { mmMremap } from '../tracepoints.js';
import { ENTRY } from './address-space-format.js';
import { newGather } from './gather.js';
import type { Mm } from './mm.js';
import { bytesOf, invalid, type PageRange, pagesOf, rangeOf } from './page-range.js';
import type { Leaf } from './page-tables.js';
import { PLACEHOLDER, type PlaceholderKind, placeholderNumber } from './placeholders.js';
import { isFree, type Vma } from './vma.js';

/** How a mapping may change its size. */
export interface RemapOptions {
  /** It may get another address when it does not fit where it is (default true). */
  readonly mayMove?: boolean;
}

/** What was taken out of an entry of the old range. */
interface Taken {
  readonly page: number;
  readonly leaf: Leaf | null;
  readonly kind: PlaceholderKind;
  readonly number: number;
}

/** mremap (VMA-2, MN-13). */
export class Remapping {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** See {@link MmService.mremap}. */
  *mremap(
    mm: Mm,
    address: bigint,
    oldBytes: number,
    newBytes: number,
    { mayMove = true }: RemapOptions,
  ): Coroutine<bigint> {
    const old = rangeOf(address, oldBytes, this.core.format);
    const pages = pagesOf(newBytes, this.core.format);
    const lock = yield* mm.mmapLock.write();
    try {
      const vma = this.requireOne(mm, old);
      const end = old.first + pages;
      if (end <= old.end) yield* this.shrink(mm, { first: end, end: old.end });
      else if (this.fitsInPlace(mm, vma, old, end)) this.grow(mm, vma, end);
      else if (mayMove) return yield* this.move(mm, vma, old, pages);
      else throw new IommuError('ENOMEM', `there is no room behind 0x${address.toString(16)}`, { rule: 'VMA-2' });
      return address;
    } finally {
      lock.release();
    }
  }

  /** The one mapping that contains the range. @throws IommuError EFAULT */
  requireOne(mm: Mm, { first, end }: PageRange): Vma {
    const vma = this.core.mappings.find(mm, first);
    if (vma !== null && vma.end >= end) return vma;
    throw new IommuError('EFAULT', `page 0x${first.toString(16)} of ${mm.space} begins no such mapping`, {
      rule: 'VMA-2',
      remedy: 'give a range of one mapping',
    });
  }

  *shrink(mm: Mm, gone: PageRange): Coroutine<void> {
    if (gone.first < gone.end) yield* this.core.mappings.unmap(mm, gone);
  }

  fitsInPlace(mm: Mm, vma: Vma, old: PageRange, end: number): boolean {
    if (vma.backing === 'device') throw invalid('a mapping of registers cannot grow');
    return vma.end === old.end && end <= this.core.format.pageEnd && isFree(mm.vmas, old.end, end);
  }

  grow(mm: Mm, vma: Vma, end: number): void {
    vma.end = end;
    this.core.vmas.mergeAround(mm, vma);
  }

  /** Everything that may fail comes before the first entry moves. */
  *move(mm: Mm, vma: Vma, old: PageRange, pages: number): Coroutine<bigint> {
    const { mappings, vmas } = this.core;
    yield* mappings.splitEdges(mm, old);
    const source = vmas.cut(mm, old)[0] ?? vma;
    const first = mappings.placeFor(mm, pages, {});
    const target = vmas.insert(mm, { ...attributes(source), first, end: first + pages });
    try {
      yield* this.prepare(mm, old, first);
    } catch (error) {
      vmas.detach(mm, [target]);
      yield* mappings.unmapRegion(mm, [target]);
      vmas.free(target);
      throw error;
    }
    yield* this.moveEntries(mm, old, first);
    yield* this.removeOld(mm, source);
    const { trace } = this.core.kernel;
    if (trace.wants(mmMremap)) trace.emit(mmMremap, { space: mm.space, ...bytesOf(old), to: BigInt(first) << 12n });
    vmas.mergeAround(mm, { first, end: first + pages });
    return BigInt(first) << 12n;
  }

  /** Blocks become pages, and every page has its new table. @throws IommuError ENOMEM */
  *prepare(mm: Mm, { first, end }: PageRange, to: number): Coroutine<void> {
    const { format, leaves, pageTables } = this.core;
    for (const page of leaves.select(mm, first, end, () => true)) {
      const { kind, level } = pageTables.find(mm, page);
      if (kind === ENTRY.LEAF && level !== format.leafLevel) yield* pageTables.splitBlock(mm, page);
      yield* pageTables.ensureTables(mm, page + to - first);
    }
  }

  *moveEntries(mm: Mm, { first, end }: PageRange, to: number): Coroutine<void> {
    const { displaced, format, mappings } = this.core;
    const perTable = format.span(format.leafLevel - 1);
    yield* mappings.rangeStart(mm, first, end);
    for (let from = first; from < end; ) {
      const stop = Math.min(end, (Math.floor(from / perTable) + 1) * perTable);
      // A page that is being moved to another frame is moved to another address afterwards.
      do yield* displaced.settleRange(mm, from, stop);
      while (!(yield* this.moveTable(mm, { first: from, end: stop }, to - first)));
      from = stop;
    }
    // Who caches translations was told under the lock.
    yield* mappings.rangeEndOnly(mm, first, end);
  }

  /**
   * The entries of one table. Under one lock until every cache was flushed: as soon as it is dropped somebody may find the
   * page at its new address, and free it (MN-13). False: a page began to be moved to another frame.
   */
  *moveTable(mm: Mm, range: PageRange, by: number): Coroutine<boolean> {
    const lock = yield* mm.pageTableLock.acquire();
    try {
      if (this.core.displaced.standing(mm, range.first, range.end, PLACEHOLDER.MOVING).length > 0) return false;
      const taken = yield* this.takeEntries(mm, range);
      yield* this.flushOld(mm, taken);
      for (const entry of taken) yield* this.putEntry(mm, entry, by);
      return true;
    } finally {
      lock.release();
    }
  }

  *takeEntries(mm: Mm, { first, end }: PageRange): Coroutine<Taken[]> {
    const { leaves, pageTables } = this.core;
    const taken: Taken[] = [];
    for (const page of leaves.select(mm, first, end, () => true)) {
      const kind = leaves.placeholder(mm, page);
      const number = placeholderNumber(pageTables.look.entry);
      if (kind === PLACEHOLDER.NONE) {
        const leaf = yield* pageTables.clearLeaf(mm, page);
        if (leaf !== null) taken.push({ page, leaf, kind, number: 0 });
      } else {
        yield* leaves.clearPlaceholder(mm, page);
        taken.push({ page, leaf: null, kind, number });
      }
    }
    return taken;
  }

  *flushOld(mm: Mm, taken: readonly Taken[]): Coroutine<void> {
    const present = taken.filter(({ leaf }) => leaf !== null);
    if (present.length === 0) return;
    const gather = newGather();
    gather.first = present[0]!.page;
    gather.end = present[present.length - 1]!.page + this.core.format.pageFrames;
    yield* this.core.mappings.flushCpu(mm, gather);
    yield* this.notifyOld(mm, gather);
  }

  /** A stale entry would lead to the page by an address that is no longer its own (MN-13). */
  notifyOld(mm: Mm, { first, end }: PageRange): Step<void> {
    return this.core.mappings.notify(mm, first, end);
  }

  *putEntry(mm: Mm, { page, leaf, kind, number }: Taken, by: number): Coroutine<void> {
    const { leaves, pageTables } = this.core;
    if (leaf === null) return yield* leaves.setPlaceholder(mm, page + by, kind, number);
    const { frame, perm, device, dirty, accessed } = leaf;
    yield* pageTables.setLeaf(mm, pageTables.find(mm, page + by).at, frame, perm, device, { dirty, accessed });
    leaves.changed(mm, page + by);
  }

  /** The old mapping goes, with its tables: no entry of theirs is left. */
  *removeOld(mm: Mm, source: Vma): Coroutine<void> {
    const { mappings, vmas } = this.core;
    const gather = newGather();
    vmas.detach(mm, [source]);
    yield* mappings.freeTablesBetween(mm, source.first, source.end, gather);
    yield* mappings.finishGather(mm, gather);
    vmas.free(source);
  }
}

function attributes({ perm, flags, file, backing, offset }: Vma): Omit<Vma, 'first' | 'end'> {
  return { perm, flags, file, backing, offset };
}
