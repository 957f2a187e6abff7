import { ENTRY, type PageSpan } from '@iommukit/core';
import { CoherentMemory, type Coroutine, IommuError } from '@iommukit/kernel';
import { X86, X86Page, X86Table } from '@iommukit/paging';
import type { Vtd } from './vtd.js';

/** The level of pages of 4 KiB, counted as formats do. */
const LEVEL_4K = 3;
/** Where the 1:1 map begins, and the addresses that are mapped piece by piece, with 4 and with 5 levels. */
const DIRECT_BASE = { 4: 0xffff_8880_0000_0000n, 5: 0xff11_0000_0000_0000n } as const;
const PIECES_BASE = { 4: 0xffff_c900_0000_0000n, 5: 0xffa0_0000_0000_0000n } as const;
/** Bytes of the 1:1 map, at most. */
const DIRECT_BYTES = { 4: 2n ** 46n, 5: 2n ** 55n } as const;

/** Present, used, dirty, writable, of the supervisor, of every address space, not executable. */
const LEAF = { p: 1, rw: 1, a: 1, d: 1, g: 1, xd: 1 } as const;
const TABLE = { p: 1, rw: 1, a: 1 } as const;

/**
 * The kernel's half of the page tables, as a supervisor PASID reaches it: a static 1:1 map of memory, and pieces that are
 * mapped and unmapped without telling any IOMMU (vmalloc, modules).
 */
export class KernelTables {
  readonly vtd: Vtd;
  readonly memory: CoherentMemory;
  /** `pgd`: 0 before the first use; `pieces`: pages of the second area that were handed out. */
  readonly state = { pgd: 0, pieces: 0 };
  /** Frames of tables that hang below the top one. */
  readonly tables: number[];
  readonly word = new Uint32Array(2);

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.memory = new CoherentMemory(vtd.kernel, vtd.core.bus);
    this.tables = vtd.kernel.checkpoints.keepList<number>([]);
    vtd.kernel.checkpoints.keep(this.state);
  }

  get levels(): 4 | 5 {
    return this.vtd.core.format.addressBits > X86.shift + X86.bitsPerLevel * 4 ? 5 : 4;
  }

  get directBase(): bigint {
    return DIRECT_BASE[this.levels];
  }

  get piecesBase(): bigint {
    return PIECES_BASE[this.levels];
  }

  /** The physical address of the top-level table, made at the first call. @throws IommuError ENOMEM */
  pgd(): number {
    if (this.state.pgd === 0) this.state.pgd = this.vtd.core.bus.frames.alloc(this.owner) * 4096;
    return this.state.pgd;
  }

  get owner(): string {
    return `${this.vtd.name} kernel page table`;
  }

  /** Frees every table; no hardware can walk them any more. */
  destroy(): void {
    const { frames } = this.vtd.core.bus;
    for (const frame of this.tables.splice(0)) frames.free(frame);
    if (this.state.pgd !== 0) frames.free(this.state.pgd / 4096);
    Object.assign(this.state, { pgd: 0, pieces: 0 });
  }

  // ── the 1:1 map ────────────────────────────────────────────────────────────────────────────────────────────────

  /** True if the bytes [address, address + bytes) lie in the 1:1 map. */
  isDirect(address: bigint, bytes: number): boolean {
    const at = address - this.directBase;
    return at >= 0n && at + BigInt(bytes) <= DIRECT_BYTES[this.levels];
  }

  /** The address of a physical address in the 1:1 map. */
  directOf(pa: number): bigint {
    return this.directBase + BigInt(pa);
  }

  /** The physical address that an address of the 1:1 map stands for. */
  physicalOf(address: bigint): number {
    return Number(address - this.directBase);
  }

  /** What a page of the kernel's half is called in tables: the bits of its address without the sign. */
  pageOf(address: bigint): number {
    return Number((address & 0xffff_ffff_ffff_ffffn) >> 12n);
  }

  /**
   * Makes sure that the frames are in the 1:1 map, page by page, so that who watches a run can tell whose memory a cached line
   * leads to. Nothing there is ever taken back. @throws IommuError ENOMEM
   */
  *mapDirect({ first, last }: PageSpan): Coroutine<void> {
    const base = this.pageOf(this.directBase);
    for (let frame = first; frame <= last; frame++) yield* this.store(base + frame, frame * 4096);
  }

  /** Maps a page to physical address `pa`. */
  *store(page: number, pa: number): Coroutine<void> {
    const at = yield* this.ensure(page, LEVEL_4K);
    const [lo, hi] = X86Page.make({ ...LEAF, addr: pa });
    yield* this.memory.store64(at, lo!, hi!);
  }

  // ── pieces ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Maps frames of its own, and returns their address: memory outside the 1:1 map. @throws IommuError ENOMEM */
  *allocPieces(pages: number): Coroutine<bigint> {
    const address = this.piecesBase + BigInt(this.state.pieces) * 4096n;
    this.state.pieces += pages;
    let done = 0;
    try {
      for (; done < pages; done++) yield* this.mapPiece(this.pageOf(address) + done);
    } catch (error) {
      yield* this.freePieces(address, done);
      throw error;
    }
    return address;
  }

  *mapPiece(page: number): Coroutine<void> {
    const { frames } = this.vtd.core.bus;
    const frame = frames.alloc('kernel pieces');
    try {
      yield* this.store(page, frame * 4096);
    } catch (error) {
      frames.free(frame);
      throw error;
    }
  }

  /** Unmaps and frees them. No IOMMU hears of it (TLB-6). @throws IommuError EINVAL for what is not mapped */
  *freePieces(address: bigint, pages: number): Coroutine<void> {
    const freed: number[] = [];
    for (let i = 0; i < pages; i++) {
      const at = yield* this.ensure(this.pageOf(address) + i, LEVEL_4K);
      yield* this.memory.load64(at, this.word);
      if (X86Page.f.p.get(this.word) === 0) throw new IommuError('EINVAL', 'nothing is mapped there');
      freed.push(X86Page.f.addr.get(this.word) / 4096);
      yield* this.memory.store64(at, 0, 0);
    }
    for (const frame of freed) this.vtd.core.bus.frames.free(frame);
  }

  // ── tables ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The physical address of the entry of `page` at a level, below tables that are made where they are missing. */
  *ensure(page: number, level: number): Coroutine<number> {
    const { bus, format } = this.vtd.core;
    let table = this.pgd();
    for (let at = format.rootLevel; at < level; at++) {
      const entry = table + format.offset(page, at);
      yield* this.memory.load64(entry, this.word);
      if (format.kindOf(this.word, at) === ENTRY.ABSENT) {
        const frame = bus.frames.alloc(this.owner);
        this.tables.push(frame);
        const [lo, hi] = X86Table.make({ ...TABLE, addr: frame * 4096 });
        yield* this.memory.store64(entry, lo!, hi!);
        table = frame * 4096;
      } else {
        table = format.tableOf(this.word) * 4096;
      }
    }
    return table + format.offset(page, level);
  }
}
