import { assert, type Coroutine, RwSemaphore, type Slab, Spinlock } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { OpenFile } from '../file/open-file.js';
import { unsetPasid } from '../ioasid/sentinels.js';
import { mmExitMmap, mmFree } from '../tracepoints.js';
import { type Gather, newGather } from './gather.js';
import type { Mm } from './mm.js';
import type { Vma } from './vma.js';

/** Life and death of address spaces (MM-1 … MM-10). */
export class MmService {
  readonly core: Core;
  readonly slab: Slab<Mm>;
  readonly state = { made: 0 };

  constructor(core: Core) {
    this.core = core;
    this.slab = core.kernel.slab<Mm>('mm', {
      id: 0,
      space: '',
      pageOwner: '',
      tableOwner: '',
      pgd: 0,
      pasid: unsetPasid(core.settings),
      users: 0,
      count: 0,
      usersWord: 0,
      countWord: 0,
      subscriptionsWord: 0,
      asidContext: 0,
      asidPins: 0,
      unstable: false,
      mmapLock: null as unknown as RwSemaphore,
      pageTableLock: null as unknown as Spinlock,
      vmas: [],
      subscriptions: [],
    });
    core.kernel.checkpoints.keep(this.state);
  }

  /**
   * A new address space without mappings: one user, one reference, no PASID.
   * @throws IommuError ENOMEM
   */
  create(): Mm {
    const { kernel } = this.core;
    const id = this.state.made + 1;
    const space = `mm:${id}`;
    const mm = this.slab.alloc({
      id,
      space,
      pageOwner: `${space} page`,
      tableOwner: `${space} page table`,
      users: 1,
      count: 1,
      usersWord: kernel.footprint(),
      countWord: kernel.footprint(),
      subscriptionsWord: kernel.footprint(),
      mmapLock: new RwSemaphore(kernel, 'mmap'),
      pageTableLock: new Spinlock(kernel, 'page-table'),
      vmas: [],
      subscriptions: [],
    });
    this.allocPgd(mm);
    this.state.made = id;
    return mm;
  }

  // ── the two counters (MM-1) ────────────────────────────────────────────────────────────────────────────────────

  /** One more user, for a caller that holds one. */
  *get(mm: Mm): Coroutine<void> {
    yield* this.core.kernel.named('mmget', mm.usersWord, true);
    if (mm.users === 0) this.core.kernel.violate('INV-9', `a user is added to ${mm.space} after the last has gone`);
    mm.users++;
  }

  /** One more user unless there is none: the only way from a reference to a live address space. */
  *getNotZero(mm: Mm): Coroutine<boolean> {
    yield* this.core.kernel.named('mmget', mm.usersWord, true);
    if (mm.users === 0) return false;
    mm.users++;
    return true;
  }

  /**
   * Drops a user. The last one tears the address space down here and now, in the calling task (MM-2, MM-8).
   * @param step the decrement's name in orders
   */
  *put(mm: Mm, step = 'mmput'): Coroutine<void> {
    yield* this.core.kernel.named(step, mm.usersWord, true);
    if (mm.users === 0) {
      this.core.kernel.violate('INV-9', `a user of ${mm.space} goes that nobody counted`);
      return;
    }
    if (--mm.users === 0) yield* this.lastUser(mm);
  }

  /** One more reference to the record (mm_count). */
  grab(mm: Mm): void {
    this.core.kernel.touch(mm.countWord, true);
    mm.count++;
  }

  /** Drops a reference to the record; the last one frees the top-level table and the record (MM-3). Does not sleep. */
  drop(mm: Mm): void {
    this.core.kernel.touch(mm.countWord, true);
    if (--mm.count === 0) this.lastReference(mm);
  }

  // ── mappings: see Mappings ─────────────────────────────────────────────────────────────────────────────────────

  /**
   * Maps `bytes` zero-filled bytes (rounded up to pages) as high as possible below the other mappings.
   * @param perm PERM bits
   * @returns the address
   * @throws IommuError EINVAL for 0 bytes, ENOMEM
   */
  mmap(mm: Mm, bytes: number, perm: number, file: OpenFile | null = null): Coroutine<bigint> {
    return this.core.mappings.mmap(mm, bytes, perm, file);
  }

  /**
   * Unmaps [address, address + bytes), splitting mappings at its ends; pages without a mapping are no error.
   * @throws IommuError EINVAL for an address that is not page aligned or 0 bytes, ENOMEM when a mapping cannot be split
   */
  munmap(mm: Mm, address: bigint, bytes: number): Coroutine<void> {
    return this.core.mappings.munmap(mm, address, bytes);
  }

  // ── the end (MM-2, MM-5 step 3) ────────────────────────────────────────────────────────────────────────────────

  /** mm_users reached 0. */
  *lastUser(mm: Mm): Coroutine<void> {
    const { trace } = this.core.kernel;
    if (trace.wants(mmExitMmap)) trace.emit(mmExitMmap, { space: mm.space });
    yield* this.exitMmap(mm);
    yield* this.core.kernel.point(mm.countWord, true);
    this.drop(mm);
  }

  /** MM-5 3a-3e. Takes no mmap lock: with mm_users 0 nobody else may touch the mappings (MM-9). */
  *exitMmap(mm: Mm): Coroutine<void> {
    const gather = newGather();
    yield* this.notifyRelease(mm);
    yield* this.unmapVmas(mm, gather);
    yield* this.freePageTables(mm, gather);
    yield* this.finishGather(mm, gather);
    yield* this.removeVmas(mm);
  }

  /** 3a: before anything goes, secondary MMUs stop (MN-6, MN-8). */
  notifyRelease(mm: Mm): Coroutine<void> {
    return this.core.notifiers.release(mm);
  }

  /** 3b: entries are cleared, pages are queued. */
  *unmapVmas(mm: Mm, gather: Gather): Coroutine<void> {
    for (const vma of mm.vmas) yield* this.core.pageTables.clearRange(mm, vma, vma.first, vma.end, gather);
  }

  /** 3c: table pages below the top are queued; the top level is cleared last. */
  *freePageTables(mm: Mm, gather: Gather): Coroutine<void> {
    const { vmas } = mm;
    for (let i = 0; i < vmas.length; i++) {
      const ceiling = vmas[i + 1]?.first ?? Number.POSITIVE_INFINITY;
      yield* this.core.pageTables.freeTables(mm, vmas[i]!.first, vmas[i]!.end, { floor: 0, ceiling }, gather);
    }
  }

  /** 3d: caches are flushed, then what was queued is freed. The list of notifiers is empty by now (MN-8). */
  *finishGather(mm: Mm, gather: Gather): Coroutine<void> {
    yield* this.core.mappings.flushGather(mm, gather);
    this.core.mappings.freeGather(gather);
  }

  /** 3e: each mapping goes, and lets go of its file. */
  *removeVmas(mm: Mm): Coroutine<void> {
    for (const vma of mm.vmas.splice(0)) this.core.mappings.freeVma(vma);
  }

  /** mm_count reached 0 (MM-3). */
  lastReference(mm: Mm): void {
    assert(mm.users === 0, `${mm.space} is freed while it has users`);
    if (mm.subscriptions.length > 0)
      this.core.kernel.violate('INV-9', `${mm.space} is freed with notifiers registered`);
    const { trace } = this.core.kernel;
    if (trace.wants(mmFree)) trace.emit(mmFree, { space: mm.space });
    this.freePgd(mm);
    this.slab.free(mm);
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  allocPgd(mm: Mm): void {
    try {
      mm.pgd = this.core.bus.frames.alloc(mm.tableOwner, this.core.format.tableOrder) * 4096;
    } catch (error) {
      this.slab.free(mm);
      throw error;
    }
  }

  freePgd(mm: Mm): void {
    this.core.bus.frames.free(mm.pgd / 4096, this.core.format.tableOrder);
  }

  /** The mapping that contains `page`, or null. The caller holds the mmap lock. */
  findVma(mm: Mm, page: number): Vma | null {
    return this.core.mappings.find(mm, page);
  }
}
