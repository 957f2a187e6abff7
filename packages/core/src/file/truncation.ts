import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { type Gather, newGather } from '../mm/gather.js';
import type { Mm } from '../mm/mm.js';
import type { PageRange } from '../mm/page-range.js';
import type { Vma } from '../mm/vma.js';
import type { FileContent } from './file-content.js';

/** Pages of a file that are gone from memory, and those who map them do not know yet. */
interface Removed {
  readonly first: number;
  readonly end: number;
  readonly frames: ReadonlySet<number>;
}

/** Truncates files and punches holes into them, while other processes map them (MN-13). */
export class Truncation {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** A file's new size; what lies beyond goes, private copies too, and faults there are bus errors. */
  *truncate(content: FileContent, bytes: number): Coroutine<void> {
    const { pageFrames } = this.core.format;
    const first = Math.ceil(bytes / (4096 * pageFrames)) * pageFrames;
    const removed = yield* this.removePages(content, first, Number.POSITIVE_INFINITY, bytes);
    yield* this.unmapEverywhere(content, removed, true);
    this.freePages(removed);
  }

  /**
   * A hole of whole pages, which reads as zeros; private copies stay.
   * @throws IommuError EINVAL for what is not whole pages
   */
  *punchHole(content: FileContent, offset: number, bytes: number): Coroutine<void> {
    const page = 4096 * this.core.format.pageFrames;
    if (offset % page !== 0 || bytes % page !== 0 || bytes <= 0)
      throw new IommuError('EINVAL', `a hole of ${bytes} bytes at ${offset} is not whole pages`);
    const removed = yield* this.removePages(content, offset / 4096, (offset + bytes) / 4096, content.bytes);
    yield* this.unmapEverywhere(content, removed, false);
    this.freePages(removed);
  }

  /** Out of the page cache first: who faults from now on does not find them. */
  *removePages(content: FileContent, first: number, end: number, bytes: number): Coroutine<Removed> {
    const { pageCache } = this.core;
    const lock = yield* pageCache.lock.acquire();
    content.bytes = bytes;
    const frames = new Set<number>();
    for (const [index, frame] of [...content.cached]) {
      if (index < first || index >= end) continue;
      pageCache.remove(content, index);
      frames.add(frame);
    }
    for (const index of [...content.stored.keys()]) if (index >= first && index < end) content.stored.delete(index);
    this.zeroTail(content);
    lock.release();
    return { first, end, frames };
  }

  /** Bytes beyond the end of the last page that stays read as zeros when the file grows again. */
  zeroTail(content: FileContent): void {
    const { bus, format, pageCache } = this.core;
    const size = 4096 * format.pageFrames;
    const used = content.bytes % size;
    const index = Math.floor(content.bytes / size) * format.pageFrames;
    content.stored.get(index)?.fill(0, used);
    const frame = pageCache.peek(content, index);
    if (used > 0 && frame >= 0) bus.write(frame * 4096 + used, new Uint8Array(size - used));
  }

  /** Every process that maps the file, one after the other; those that die meanwhile unmap by themselves. */
  *unmapEverywhere(content: FileContent, removed: Removed, copiesToo: boolean): Coroutine<void> {
    const { filePages, mms } = this.core;
    const seen = new Set(filePages.mappingsOf(content, removed.first, removed.end).map(({ mm }) => mm));
    for (const mm of seen) mms.grab(mm);
    for (const mm of seen) {
      if (yield* mms.getNotZero(mm)) {
        yield* this.unmapFrom(mm, content, removed, copiesToo);
        yield* mms.put(mm);
      }
      mms.drop(mm);
    }
  }

  *unmapFrom(mm: Mm, content: FileContent, removed: Removed, copiesToo: boolean): Coroutine<void> {
    const lock = yield* mm.mmapLock.read();
    for (const vma of mm.vmas) {
      if (vma.file?.content !== content) continue;
      const first = Math.max(vma.first, vma.first + removed.first - vma.offset);
      const end = Math.min(vma.end, vma.first + removed.end - vma.offset);
      if (first < end) yield* this.unmapRange(mm, vma, { first, end }, copiesToo ? null : removed.frames);
    }
    lock.release();
  }

  *unmapRange(mm: Mm, vma: Vma, range: PageRange, only: ReadonlySet<number> | null): Coroutine<void> {
    const { mappings } = this.core;
    const gather = newGather();
    yield* mappings.rangeStart(mm, range.first, range.end);
    if (only === null) yield* mappings.clear(mm, vma, range, gather);
    else yield* this.clearFrames(mm, vma, range, only, gather);
    yield* this.flush(mm, range, gather);
    mappings.freeGather(gather);
  }

  /** MN-13: CPUs and secondary TLBs, of a process that did not ask for it. */
  *flush(mm: Mm, { first, end }: PageRange, gather: Gather): Coroutine<void> {
    const { mappings } = this.core;
    yield* mappings.rangeEnd(mm, first, end);
    yield* mappings.flushGather(mm, gather);
  }

  /** Only entries that show the file's own pages. */
  *clearFrames(mm: Mm, vma: Vma, range: PageRange, frames: ReadonlySet<number>, gather: Gather): Coroutine<void> {
    const { format, leaves, pageTables } = this.core;
    const shows = (page: number): boolean => frames.has(leaves.find(mm, page)?.frame ?? -1);
    const lock = yield* mm.pageTableLock.acquire();
    for (const page of leaves.select(mm, range.first, range.end, shows)) {
      yield* pageTables.clearRange(mm, vma, page, page + format.pageFrames, gather);
    }
    lock.release();
  }

  freePages({ frames }: Removed): void {
    for (const frame of frames) this.core.pageFrames.put(frame);
  }
}
