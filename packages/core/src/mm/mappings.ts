import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { OpenFile } from '../file/open-file.js';
import { mmMmap, mmMunmap } from '../tracepoints.js';
import { type Gather, isEmpty, newGather } from './gather.js';
import type { Mm } from './mm.js';
import { type Backing, findVma, highestGap, insertVma, type Vma } from './vma.js';

/** The address just above the first mapping: mappings grow downwards from here (page number). */
export const MMAP_TOP = 0xffffb9d17;

/** What a new mapping is. */
export interface MappingRequest {
  readonly bytes: number;
  /** PERM bits. */
  readonly perm: number;
  readonly file: OpenFile | null;
  readonly backing: Backing;
}

/** mmap and munmap (VMA-1 …). Mappings are not merged. */
export class Mappings {
  readonly core: Core;
  readonly slab: Slab<Vma>;

  constructor(core: Core) {
    this.core = core;
    this.slab = core.kernel.slab<Vma>('vma', { first: 0, end: 0, perm: 0, file: null, backing: 'anonymous' });
  }

  // ── mmap ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** See {@link MmService.mmap}. */
  *mmap(mm: Mm, bytes: number, perm: number, file: OpenFile | null = null): Coroutine<bigint> {
    const vma = yield* this.map(mm, { bytes, perm, file, backing: 'anonymous' });
    return BigInt(vma.first) << 12n;
  }

  /**
   * Maps `bytes` of registers at physical address `pa` (both page aligned), present at once. For drivers' file mmap.
   * @returns the address
   * @throws IommuError EINVAL, ENOMEM
   */
  *mmapDevice(mm: Mm, pa: number, bytes: number, perm: number, file: OpenFile | null): Coroutine<bigint> {
    if (pa % 4096 !== 0) throw invalid(`registers at 0x${pa.toString(16)} are not page aligned`);
    const vma = yield* this.map(mm, { bytes, perm, file, backing: 'device' });
    const address = BigInt(vma.first) << 12n;
    try {
      yield* this.mapFrames(mm, vma, pa / 4096);
    } catch (error) {
      yield* this.munmap(mm, address, bytes);
      throw error;
    }
    return address;
  }

  *map(mm: Mm, request: MappingRequest): Coroutine<Vma> {
    const pages = Math.ceil(request.bytes / 4096);
    if (!(pages > 0)) throw invalid(`${request.bytes} bytes cannot be mapped`);
    const lock = yield* mm.mmapLock.write();
    try {
      const first = highestGap(mm.vmas, pages, MMAP_TOP);
      if (first < 0) throw new IommuError('ENOMEM', `${mm.space} has no ${pages} free pages below its other mappings`);
      return this.newVma(mm, first, first + pages, request);
    } finally {
      lock.release();
    }
  }

  newVma(mm: Mm, first: number, end: number, { perm, file, backing }: MappingRequest): Vma {
    const vma = this.slab.alloc({ first, end, perm, file, backing });
    if (file !== null) this.core.files.get(file);
    insertVma(mm.vmas, vma);
    const { trace } = this.core.kernel;
    if (trace.wants(mmMmap))
      trace.emit(mmMmap, { space: mm.space, ...bytesOf(first, end), prot: perm, file: file?.name ?? null });
    return vma;
  }

  *mapFrames(mm: Mm, vma: Vma, frame: number): Coroutine<void> {
    const lock = yield* mm.mmapLock.read();
    try {
      for (let page = vma.first; page < vma.end; page++) {
        const entry = yield* this.core.pageTables.ensureTables(mm, page);
        yield* this.core.pageTables.setLeaf(mm, entry, frame + page - vma.first, vma.perm, true);
      }
    } finally {
      lock.release();
    }
  }

  // ── munmap ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** See {@link MmService.munmap}. */
  *munmap(mm: Mm, address: bigint, bytes: number): Coroutine<void> {
    const pages = Math.ceil(bytes / 4096);
    if ((address & 0xfffn) !== 0n || !(pages > 0))
      throw invalid(`0x${address.toString(16)} + ${bytes} bytes is no range of pages`);
    const first = Number(address >> 12n);
    const lock = yield* mm.mmapLock.write();
    try {
      const gone = this.detach(mm, first, first + pages);
      if (gone.length === 0) return;
      const { trace } = this.core.kernel;
      if (trace.wants(mmMunmap)) trace.emit(mmMunmap, { space: mm.space, ...bytesOf(first, first + pages) });
      yield* this.unmapRegion(mm, gone);
      for (const vma of gone) this.freeVma(vma);
    } finally {
      lock.release();
    }
  }

  /** Takes the mappings of pages [first, end) off the list, splitting those that stick out (VMA-2). */
  detach(mm: Mm, first: number, end: number): Vma[] {
    this.splitAt(mm, first);
    this.splitAt(mm, end);
    const { vmas } = mm;
    const from = vmas.findIndex((vma) => vma.first >= first && vma.first < end);
    if (from < 0) return [];
    let to = from;
    while (to < vmas.length && vmas[to]!.first < end) to++;
    return vmas.splice(from, to - from);
  }

  /** Makes `page` a border, if a mapping runs across it. */
  splitAt(mm: Mm, page: number): void {
    const vma = findVma(mm.vmas, page);
    if (vma === null || vma.first === page) return;
    const { end, perm, file, backing } = vma;
    const upper = this.slab.alloc({ first: page, end, perm, file, backing });
    if (file !== null) this.core.files.get(file);
    vma.end = page;
    insertVma(mm.vmas, upper);
  }

  /** MN-11, MN-12, MN-18: entries, then notifications, then caches, and only then the pages. */
  *unmapRegion(mm: Mm, gone: readonly Vma[]): Coroutine<void> {
    const first = gone[0]!.first;
    const end = gone[gone.length - 1]!.end;
    const gather = newGather();
    yield* this.rangeStart(mm, first, end);
    for (const vma of gone) yield* this.core.pageTables.clearRange(mm, vma, vma.first, vma.end, gather);
    yield* this.rangeEnd(mm, first, end);
    yield* this.freeTablesBetween(mm, first, end, gather);
    yield* this.flushGather(mm, gather);
    this.freeGather(gather);
  }

  /** invalidate_range_start: for MMUs that copy entries; nobody here does (MN-11). */
  *rangeStart(_mm: Mm, _first: number, _end: number): Coroutine<void> {}

  /** invalidate_range_end, which before 6.6 calls invalidate_range as well (MN-12). */
  *rangeEnd(mm: Mm, first: number, end: number): Coroutine<void> {
    if (this.core.settings['mn.duplicate'] === 'off') return;
    yield* this.notify(mm, first, end);
  }

  /** Tables that served nothing but [first, end). */
  freeTablesBetween(mm: Mm, first: number, end: number, gather: Gather): Coroutine<void> {
    const { vmas } = mm;
    const next = vmas.findIndex((vma) => vma.first >= end);
    const floor = (next < 0 ? vmas[vmas.length - 1] : vmas[next - 1])?.end ?? 0;
    const ceiling = next < 0 ? Number.POSITIVE_INFINITY : vmas[next]!.first;
    return this.core.pageTables.freeTables(mm, first, end, { floor, ceiling }, gather);
  }

  /** CPU flush, then secondary TLBs; nothing to do when nothing was present. */
  *flushGather(mm: Mm, gather: Gather): Coroutine<void> {
    if (isEmpty(gather)) return;
    yield* this.flushCpu(mm, gather);
    yield* this.notify(mm, gather.first, gather.end);
  }

  /** The CPUs' TLBs; what is cached of tables may stay if none goes. */
  flushCpu(mm: Mm, { first, end, tables }: Gather): Coroutine<void> {
    return this.core.tlb.flushRange(mm, first, end, tables.length === 0);
  }

  notify(mm: Mm, first: number, end: number): Coroutine<void> {
    return this.core.notifiers.invalidateRange(mm, BigInt(first) << 12n, BigInt(end) << 12n);
  }

  /** What was queued goes back; a freed frame is the next one handed out. */
  freeGather({ pages, tables }: Gather): void {
    const { frames } = this.core.bus;
    for (const frame of pages) frames.free(frame);
    for (const frame of tables) frames.free(frame, this.core.format.tableOrder);
  }

  freeVma(vma: Vma): void {
    if (vma.file !== null) this.core.files.put(vma.file);
    this.slab.free(vma);
  }

  /** The mapping that contains `page`, or null. */
  find(mm: Mm, page: number): Vma | null {
    return findVma(mm.vmas, page);
  }
}

function bytesOf(first: number, end: number): { readonly start: bigint; readonly end: bigint } {
  return { start: BigInt(first) << 12n, end: BigInt(end) << 12n };
}

function invalid(message: string): IommuError {
  return new IommuError('EINVAL', message, { rule: 'VMA-1', remedy: 'give whole pages' });
}
