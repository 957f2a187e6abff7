import { assert, type Coroutine, RwSemaphore, type Slab, Spinlock } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { OpenFile } from '../file/open-file.js';
import { unsetPasid } from '../ioasid/sentinels.js';
import { mmExitMmap, mmFree } from '../tracepoints.js';
import { type Gather, newGather } from './gather.js';
import type { MapOptions } from './mappings.js';
import type { Mm } from './mm.js';
import type { RemapOptions } from './remapping.js';
import type { Vma } from './vma.js';

/** Life and death of address spaces (MM-1 … MM-10). */
export class MmService {
  readonly core: Core;
  readonly slab: Slab<Mm>;
  readonly state = { made: 0 };
  /** Those whose record exists, in order of creation. */
  readonly live = new Set<Mm>();

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
      placeholders: 0,
      mmapLock: null as unknown as RwSemaphore,
      pageTableLock: null as unknown as Spinlock,
      vmas: [],
      subscriptions: [],
    });
    core.kernel.checkpoints.keep(this.state);
    core.kernel.checkpoints.keep({ live: this.live });
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
    this.live.add(mm);
    return mm;
  }

  /**
   * A new address space without mappings, for a child of `parent`: the record is copied as it is, and then made the child's
   * own, field by field (MM-12). @throws IommuError ENOMEM
   */
  duplicate(parent: Mm): Mm {
    const child = this.create();
    this.copyFields(child, parent);
    this.resetPasid(child);
    this.resetNotifiers(child);
    this.resetAsid(child);
    this.resetMappings(child);
    return child;
  }

  // ── the two counters (MM-1) ────────────────────────────────────────────────────────────────────────────────────

  /** One more user, for a caller that holds one. */
  *get(mm: Mm): Coroutine<void> {
    yield* this.core.kernel.named('mmget', mm.usersWord, true);
    if (mm.users === 0) this.core.kernel.violate('INV-9', `a user is added to ${mm.space} after the last has gone`);
    mm.users++;
  }

  /** One more user, for a thread of a process that is one: part of the caller's step (MM-13). */
  share(mm: Mm): void {
    this.core.kernel.touch(mm.usersWord, true);
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
   * Maps `bytes` bytes (rounded up to pages), zero-filled or a file's, as high as possible below the other mappings.
   * @param perm PERM bits
   * @returns the address
   * @throws IommuError EINVAL for 0 bytes, ENOMEM, EEXIST where something is mapped at the address that was asked for
   */
  mmap(mm: Mm, bytes: number, perm: number, file: OpenFile | null = null, options: MapOptions = {}): Coroutine<bigint> {
    return this.core.mappings.mmap(mm, bytes, perm, file, options);
  }

  /**
   * Unmaps [address, address + bytes), splitting mappings at its ends; pages without a mapping are no error.
   * @throws IommuError EINVAL for an address that is not page aligned or 0 bytes, ENOMEM when a mapping cannot be split
   */
  munmap(mm: Mm, address: bigint, bytes: number): Coroutine<void> {
    return this.core.mappings.munmap(mm, address, bytes);
  }

  /**
   * Gives [address, address + bytes) other rights (PERM bits); mappings are split and merged as need be (VMA-2).
   * @throws IommuError EINVAL for what is no range of pages, ENOMEM for a hole in it, or when a mapping cannot be split
   */
  mprotect(mm: Mm, address: bigint, bytes: number, perm: number): Coroutine<void> {
    return this.core.protection.mprotect(mm, address, bytes, perm);
  }

  /**
   * Gives part of one mapping another size; with `mayMove` it gets another address when it does not fit where it is, and its
   * pages with it.
   * @returns the address
   * @throws IommuError EINVAL, EFAULT for a range that is not within one mapping, ENOMEM
   */
  mremap(mm: Mm, address: bigint, oldBytes: number, newBytes: number, options: RemapOptions = {}): Coroutine<bigint> {
    return this.core.remapping.mremap(mm, address, oldBytes, newBytes, options);
  }

  /**
   * Drops the pages of [address, address + bytes): the next access finds zeros, or the file's page.
   * @throws IommuError EINVAL, ENOMEM for a hole in the range (what is mapped was dropped)
   */
  madviseDontneed(mm: Mm, address: bigint, bytes: number): Coroutine<void> {
    return this.core.advice.dontneed(mm, address, bytes);
  }

  /**
   * A child's copy of an address space: one user, no PASID, no notifiers; private pages are shared until somebody writes
   * (MM-12). @throws IommuError ENOMEM
   */
  fork(mm: Mm): Coroutine<Mm> {
    return this.core.forking.fork(mm);
  }

  // ── from outside: the caller has a reference ───────────────────────────────────────────────────────────────────

  /** Moves a page to another frame, in every address space that maps it. False: it cannot be moved. @throws IommuError ENOMEM */
  migrate(mm: Mm, page: number): Coroutine<boolean> {
    return this.core.migration.migrate(mm, page);
  }

  /** Takes a page away: to swap, or back to its file. False: it cannot be. @throws IommuError ENOMEM */
  reclaim(mm: Mm, page: number): Coroutine<boolean> {
    return this.core.reclaim.reclaim(mm, page);
  }

  /** Makes one block of the table of pages around `page`. False: they are no such pages. @throws IommuError ENOMEM */
  collapse(mm: Mm, page: number): Coroutine<boolean> {
    return this.core.collapse.collapse(mm, page);
  }

  /** Takes a victim's private memory; what it touches afterwards is a bus error (MM-14). False: something is left. */
  oomReap(mm: Mm): Coroutine<boolean> {
    return this.core.oomReaper.reap(mm);
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
    for (const vma of mm.vmas) yield* this.core.mappings.clear(mm, vma, vma, gather);
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
    for (const vma of mm.vmas.splice(0)) this.core.vmas.free(vma);
  }

  /** mm_count reached 0 (MM-3). */
  lastReference(mm: Mm): void {
    assert(mm.users === 0, `${mm.space} is freed while it has users`);
    if (mm.subscriptions.length > 0)
      this.core.kernel.violate('INV-9', `${mm.space} is freed with notifiers registered`);
    const { trace } = this.core.kernel;
    if (trace.wants(mmFree)) trace.emit(mmFree, { space: mm.space });
    this.freePgd(mm);
    this.live.delete(mm);
    this.slab.free(mm);
  }

  // ── steps of fork ──────────────────────────────────────────────────────────────────────────────────────────────

  /** What a plain copy of the record gives the child, before it is made the child's own. */
  copyFields(child: Mm, parent: Mm): void {
    child.pasid = parent.pasid;
    child.subscriptions = parent.subscriptions;
    child.asidContext = parent.asidContext;
    child.asidPins = parent.asidPins;
    child.vmas = parent.vmas;
    child.placeholders = parent.placeholders;
    // Stays: what the reaper took from the parent is missing in the child too (MM-14).
    child.unstable = parent.unstable;
  }

  /** A child is bound to nothing (IOASID-3). */
  resetPasid(child: Mm): void {
    child.pasid = this.core.sva.unset;
  }

  /** Nobody listens to the child. */
  resetNotifiers(child: Mm): void {
    child.subscriptions = [];
  }

  /** No CPU has run it, and nobody has pinned its number (ASID-2). */
  resetAsid(child: Mm): void {
    child.asidContext = 0;
    child.asidPins = 0;
  }

  /** Its list is filled mapping by mapping. */
  resetMappings(child: Mm): void {
    child.vmas = [];
    child.placeholders = 0;
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  allocPgd(mm: Mm): void {
    try {
      mm.pgd = this.core.bus.frames.alloc(mm.tableOwner, this.core.format.rootOrder) * 4096;
    } catch (error) {
      this.slab.free(mm);
      throw error;
    }
  }

  freePgd(mm: Mm): void {
    this.core.bus.frames.free(mm.pgd / 4096, this.core.format.rootOrder);
  }

  /**
   * The mapping that contains `page`, or one that grows down to it if the generation lets a device do that (VMA-3); else
   * null. The caller holds the mmap lock.
   */
  findVma(mm: Mm, page: number): Vma | null {
    return this.core.mappings.find(mm, page) ?? this.core.stacks.findExtend(mm, page);
  }
}
