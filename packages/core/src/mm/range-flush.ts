import type { Coroutine, Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { type Gather, isEmpty } from './gather.js';
import type { Mm } from './mm.js';

/**
 * How changes of page tables reach those who cache translations: CPUs, then secondary TLBs, and only then pages go back
 * (MN-11, MN-12, MN-18). Pages are address / 4096; ranges are [first, end).
 */
export class RangeFlush {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /**
   * invalidate_range_start: MMUs that copy entries make no new copies of [first, end) until {@link rangeEnd} (MN-11).
   * @param blockable false: nobody may sleep
   * @returns false when a listener would have to sleep; then there is no end
   */
  rangeStart(mm: Mm, first: number, end: number, blockable = true): Step<boolean> {
    if (mm.subscriptions.length === 0) return this.core.kernel.done(true);
    return this.core.notifiers.rangeStart(mm, bytes(first), bytes(end), blockable);
  }

  /** invalidate_range_end, which before 6.6 calls invalidate_range as well (MN-12). */
  *rangeEnd(mm: Mm, first: number, end: number): Coroutine<void> {
    if (this.endNotifies) yield* this.notify(mm, first, end);
    yield* this.rangeEndOnly(mm, first, end);
  }

  /** invalidate_range_end after a step that told secondary TLBs itself (MN-12). */
  rangeEndOnly(mm: Mm, first: number, end: number): Step<void> {
    if (mm.subscriptions.length === 0) return this.core.kernel.done(undefined);
    return this.core.notifiers.rangeEnd(mm, bytes(first), bytes(end));
  }

  /** Before 6.6: invalidate_range_end calls invalidate_range too, and a CPU flush does not. */
  get endNotifies(): boolean {
    return this.core.settings['mn.duplicate'] !== 'off';
  }

  /** The end of a teardown: caches are flushed, then what was queued is freed (MM-5 3d, MN-18). */
  *finishGather(mm: Mm, gather: Gather): Coroutine<void> {
    yield* this.flushGather(mm, gather);
    this.freeGather(gather);
  }

  /** The flush of a batch: CPUs, then secondary TLBs, in every generation; nothing to do when nothing was present. */
  *flushGather(mm: Mm, gather: Gather): Coroutine<void> {
    if (isEmpty(gather)) return;
    yield* this.flushCpu(mm, gather);
    yield* this.notify(mm, gather.first, gather.end);
  }

  /** CPU TLBs, and those who follow the CPUs' broadcasts. */
  flushCpu(mm: Mm, { first, end, tables }: Gather): Coroutine<void> {
    return this.core.tlb.flushRange(mm, first, end, tables.length === 0);
  }

  /** {@link flushCpu} for one page. Allowed under the page-table lock. */
  flushCpuPage(mm: Mm, page: number): Coroutine<void> {
    return this.core.tlb.flushPage(mm, page);
  }

  /** invalidate_range, for secondary TLBs. Allowed under the page-table lock (MN-10). */
  notify(mm: Mm, first: number, end: number): Step<void> {
    if (mm.subscriptions.length === 0) return this.core.kernel.done(undefined);
    return this.core.notifiers.invalidateRange(mm, bytes(first), bytes(end));
  }

  /** {@link notify} for one page of the CPU's size. */
  notifyPage(mm: Mm, page: number): Step<void> {
    return this.notify(mm, page, page + this.core.format.pageFrames);
  }

  /** What was queued goes back; a freed frame is the next one handed out. */
  freeGather({ pages, dirty, tables }: Gather): void {
    const { pageCache, pageFrames, format, bus } = this.core;
    for (const frame of dirty) pageCache.markDirty(frame);
    for (const frame of pages) pageFrames.put(frame);
    for (const frame of tables) bus.frames.free(frame, format.tableOrder);
  }
}

function bytes(page: number): bigint {
  return BigInt(page) << 12n;
}
