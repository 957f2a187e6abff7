import type { Coroutine, Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { ENTRY } from './address-space-format.js';
import { newGather } from './gather.js';
import type { Mm } from './mm.js';
import { PLACEHOLDER } from './placeholders.js';
import { isCopyOnWrite, type Vma } from './vma.js';

/** A page of the table that goes: where it is in the block, and its frame. */
interface Part {
  readonly offset: number;
  readonly frame: number;
}

/** Makes one block of a table's pages, as khugepaged does (MN-13). */
export class Collapse {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** See {@link MmService.collapse}. */
  *collapse(mm: Mm, page: number): Coroutine<boolean> {
    const { format } = this.core;
    const level = format.leafLevel - 1;
    const order = format.leafOrders(level)[0];
    if (order === undefined) return false;
    const span = format.span(level);
    const first = Math.floor(page / span) * span;
    const lock = yield* mm.mmapLock.write();
    try {
      const vma = this.core.mappings.find(mm, first);
      if (vma === null || vma.end < first + span || !isCopyOnWrite(vma) || vma.backing !== 'anonymous') return false;
      return yield* this.replaceTable(mm, vma, first, order);
    } finally {
      lock.release();
    }
  }

  *replaceTable(mm: Mm, vma: Vma, first: number, order: number): Coroutine<boolean> {
    const { mappings, pageFrames } = this.core;
    if (!this.hasTable(mm, first)) return false;
    const block = pageFrames.allocBlock(mm.pageOwner, order);
    const end = first + 2 ** order;
    yield* mappings.rangeStart(mm, first, end);
    const parts = yield* this.takeTable(mm, first, end);
    if (parts !== null) {
      yield* this.copyParts(parts, block);
      yield* this.core.pageTables.setBlock(mm, first, block, vma.perm, false);
      this.core.leaves.changed(mm, first);
      for (const { frame } of parts) pageFrames.put(frame);
    } else pageFrames.dropBlock(block);
    // Who caches translations was told when the table was taken.
    yield* mappings.rangeEndOnly(mm, first, end);
    return parts !== null;
  }

  /** Takes the table off, if every page in it is this address space's alone, and nobody looks at it any more. */
  *takeTable(mm: Mm, first: number, end: number): Coroutine<Part[] | null> {
    const { bus, format, pageTables } = this.core;
    const lock = yield* mm.pageTableLock.acquire();
    try {
      const parts = this.partsOf(mm, first, end);
      if (parts === null) return null;
      const table = yield* pageTables.takeTable(mm, first);
      yield* this.flushOld(mm, first, end, table);
      bus.frames.free(table, format.tableOrder);
      return parts;
    } finally {
      lock.release();
    }
  }

  /** CPUs and secondary TLBs, their walk caches too, before anything is copied or freed. */
  *flushOld(mm: Mm, first: number, end: number, table: number): Coroutine<void> {
    const gather = newGather();
    gather.first = first;
    gather.end = end;
    gather.tables.push(table);
    yield* this.core.mappings.flushCpu(mm, gather);
    yield* this.notifyOld(mm, first, end);
  }

  notifyOld(mm: Mm, first: number, end: number): Step<void> {
    return this.core.mappings.notify(mm, first, end);
  }

  /** Null: a page is shared, elsewhere, or about to be copied by somebody. */
  partsOf(mm: Mm, first: number, end: number): Part[] | null {
    const { leaves, pageFrames } = this.core;
    const parts: Part[] = [];
    for (const page of leaves.select(mm, first, end, () => true)) {
      if (leaves.placeholder(mm, page) !== PLACEHOLDER.NONE) return null;
      const frame = leaves.find(mm, page)?.frame;
      if (frame === undefined) continue;
      if (pageFrames.users(frame) > 1 && !pageFrames.isZero(frame)) return null;
      parts.push({ offset: page - first, frame });
    }
    return parts;
  }

  hasTable(mm: Mm, first: number): boolean {
    const { format, pageTables } = this.core;
    const { kind, level } = pageTables.find(mm, first);
    return level === format.leafLevel && kind !== ENTRY.TABLE;
  }

  *copyParts(parts: readonly Part[], block: number): Coroutine<void> {
    for (const { offset, frame } of parts) {
      yield* this.core.kernel.point((block + offset) * 512, true);
      this.core.pageFrames.copy(frame, block + offset);
    }
  }
}
