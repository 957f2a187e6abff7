import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { OpenFile } from '../file/open-file.js';
import { mmMmap, mmMunmap } from '../tracepoints.js';
import { ENTRY } from './address-space-format.js';
import { type Gather, newGather } from './gather.js';
import type { Mm } from './mm.js';
import { bytesOf, invalid, type PageRange, pagesOf, rangeOf } from './page-range.js';
import { RangeFlush } from './range-flush.js';
import { type Backing, findVma, highestGap, isFree, VMA_FLAG, type Vma } from './vma.js';

/** The address just above the first mapping: mappings grow downwards from here (page number). */
export const MMAP_TOP = 0xffffb9d17;

/** What a mapping may be besides its size, rights and file. */
export interface MapOptions {
  /** VMA_FLAG bits; SHARED without a file is memory that children share. */
  readonly flags?: number;
  /** Byte offset in the file, page aligned (default 0). */
  readonly offset?: number;
  /** Where it must be; by default as high as possible below the other mappings. */
  readonly at?: bigint;
}

/** What a new mapping is. */
export interface MappingRequest extends MapOptions {
  readonly bytes: number;
  /** PERM bits. */
  readonly perm: number;
  readonly file: OpenFile | null;
  readonly backing: Backing;
}

/** mmap and munmap (VMA-1 …), and the flushes that every change of mappings goes by. */
export class Mappings extends RangeFlush {
  // ── mmap ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** See {@link MmService.mmap}. */
  *mmap(
    mm: Mm,
    bytes: number,
    perm: number,
    file: OpenFile | null = null,
    options: MapOptions = {},
  ): Coroutine<bigint> {
    const first =
      file === null && ((options.flags ?? 0) & VMA_FLAG.SHARED) !== 0
        ? yield* this.mapSharedMemory(mm, bytes, perm, options)
        : yield* this.map(mm, { ...options, bytes, perm, file, backing: backingOf(file) });
    return BigInt(first) << 12n;
  }

  /** Memory that children share is a file that nobody can open. */
  *mapSharedMemory(mm: Mm, bytes: number, perm: number, options: MapOptions): Coroutine<number> {
    const { files, pageCache } = this.core;
    const file = files.newContent(pageCache.create(`${mm.space} shared memory`, bytes));
    try {
      return yield* this.map(mm, { ...options, bytes, perm, file, backing: 'file' });
    } finally {
      files.put(file);
    }
  }

  /**
   * Maps `bytes` of registers at physical address `pa` (both page aligned), present at once. For drivers' file mmap.
   * @returns the address
   * @throws IommuError EINVAL, ENOMEM
   */
  *mmapDevice(mm: Mm, pa: number, bytes: number, perm: number, file: OpenFile | null): Coroutine<bigint> {
    if (pa % (4096 * this.core.format.pageFrames) !== 0)
      throw invalid(`registers at 0x${pa.toString(16)} are not page aligned`);
    const first = yield* this.map(mm, { bytes, perm, file, backing: 'device' });
    const address = BigInt(first) << 12n;
    try {
      yield* this.mapFrames(mm, first, pa / 4096);
    } catch (error) {
      yield* this.munmap(mm, address, bytes);
      throw error;
    }
    return address;
  }

  /** @returns the first page */
  *map(mm: Mm, request: MappingRequest): Coroutine<number> {
    const pages = pagesOf(request.bytes, this.core.format);
    const lock = yield* mm.mmapLock.write();
    try {
      const first = this.placeFor(mm, pages, request);
      this.newVma(mm, first, first + pages, request);
      return first;
    } finally {
      lock.release();
    }
  }

  placeFor(mm: Mm, pages: number, { at }: MapOptions): number {
    const { pageFrames, pageEnd } = this.core.format;
    if (at !== undefined) return this.fixedPlace(mm, pages, at);
    const top = Math.min(MMAP_TOP, pageEnd);
    const first = highestGap(mm.vmas, pages, top - (top % pageFrames));
    if (first < 0) throw new IommuError('ENOMEM', `${mm.space} has no ${pages} free pages below its other mappings`);
    return first;
  }

  fixedPlace(mm: Mm, pages: number, at: bigint): number {
    const { first, end } = rangeOf(at, pages * 4096, this.core.format);
    if (first === 0 || end > this.core.format.pageEnd)
      throw invalid(`0x${at.toString(16)} + ${pages} pages is no user address`);
    if (isFree(mm.vmas, first, end)) return first;
    throw new IommuError('EEXIST', `something is mapped at 0x${at.toString(16)} already`, { rule: 'VMA-1' });
  }

  newVma(mm: Mm, first: number, end: number, { perm, file, backing, flags = 0, offset = 0 }: MappingRequest): void {
    this.core.vmas.insert(mm, { first, end, perm, flags, file, backing, offset: offset / 4096 });
    const { trace } = this.core.kernel;
    if (trace.wants(mmMmap))
      trace.emit(mmMmap, { space: mm.space, ...bytesOf({ first, end }), prot: perm, file: file?.name ?? null });
    this.core.vmas.mergeAround(mm, { first, end });
  }

  *mapFrames(mm: Mm, first: number, frame: number): Coroutine<void> {
    const { format, pageTables } = this.core;
    const lock = yield* mm.mmapLock.read();
    try {
      const { end, perm } = findVma(mm.vmas, first)!;
      for (let page = first; page < end; page += format.pageFrames) {
        const entry = yield* pageTables.ensureTables(mm, page);
        yield* pageTables.setLeaf(mm, entry, frame + page - first, perm, true);
      }
    } finally {
      lock.release();
    }
  }

  // ── munmap ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** See {@link MmService.munmap}. */
  *munmap(mm: Mm, address: bigint, bytes: number): Coroutine<void> {
    const range = rangeOf(address, bytes, this.core.format);
    const lock = yield* mm.mmapLock.write();
    try {
      yield* this.unmap(mm, range);
    } finally {
      lock.release();
    }
  }

  /** Unmaps what is mapped of a range. The caller holds the mmap lock for write. */
  *unmap(mm: Mm, range: PageRange): Coroutine<void> {
    const gone = this.core.vmas.cut(mm, range);
    if (gone.length === 0) return;
    yield* this.splitEdges(mm, range);
    const { trace } = this.core.kernel;
    if (trace.wants(mmMunmap)) trace.emit(mmMunmap, { space: mm.space, ...bytesOf(range) });
    this.core.vmas.detach(mm, gone);
    yield* this.unmapRegion(mm, gone);
    for (const vma of gone) this.core.vmas.free(vma);
  }

  /** MN-11, MN-12, MN-18: entries, then notifications, then caches, and only then the pages. */
  *unmapRegion(mm: Mm, gone: readonly Vma[]): Coroutine<void> {
    const first = gone[0]!.first;
    const end = gone[gone.length - 1]!.end;
    const gather = newGather();
    yield* this.rangeStart(mm, first, end);
    for (const vma of gone) yield* this.clear(mm, vma, vma, gather);
    yield* this.rangeEnd(mm, first, end);
    yield* this.freeTablesBetween(mm, first, end, gather);
    yield* this.finishGather(mm, gather);
  }

  /** What sticks out of the range is split while nothing has changed yet. @throws IommuError ENOMEM */
  *splitEdges(mm: Mm, { first, end }: PageRange): Coroutine<void> {
    const { pageTables } = this.core;
    if (this.isInBlock(mm, first)) yield* pageTables.splitBlock(mm, first);
    if (this.isInBlock(mm, end)) yield* pageTables.splitBlock(mm, end);
  }

  /** True if a block begins before `page` and ends after it. */
  isInBlock(mm: Mm, page: number): boolean {
    const { format, pageTables } = this.core;
    const { kind, level } = pageTables.find(mm, page);
    return kind === ENTRY.LEAF && page % format.span(level) !== 0;
  }

  /** Clears every entry of `range`, part of `vma`, and what stands for pages that are elsewhere. */
  *clear(mm: Mm, vma: Vma, { first, end }: PageRange, gather: Gather): Coroutine<void> {
    yield* this.core.pageTables.clearRange(mm, vma, first, end, gather);
    if (mm.placeholders > 0) yield* this.core.displaced.drop(mm, first, end);
  }

  /** Tables that served nothing but [first, end). */
  freeTablesBetween(mm: Mm, first: number, end: number, gather: Gather): Coroutine<void> {
    const { vmas } = mm;
    const next = vmas.findIndex((vma) => vma.first >= end);
    const floor = (next < 0 ? vmas[vmas.length - 1] : vmas[next - 1])?.end ?? 0;
    const ceiling = next < 0 ? Number.POSITIVE_INFINITY : vmas[next]!.first;
    return this.core.pageTables.freeTables(mm, first, end, { floor, ceiling }, gather);
  }

  /** The mapping that contains `page`, or null. */
  find(mm: Mm, page: number): Vma | null {
    return findVma(mm.vmas, page);
  }
}

/** A device's file is mapped as memory of its own, unless its driver maps registers. */
function backingOf(file: OpenFile | null): Backing {
  return file !== null && file.content !== null ? 'file' : 'anonymous';
}
