import { type Coroutine, IommuError, type Slab, WaitQueue } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from '../mm/mm.js';
import type { MmuNotifierOps, Subscription } from './mmu-notifier.js';
import { SleepableReaders } from './sleepable-readers.js';

const NO_OPS: MmuNotifierOps = {
  *release() {},
  *invalidateRange() {},
};

/** Tells secondary MMUs what happens to an address space (MN-1 …). */
export class MmuNotifiers {
  readonly core: Core;
  readonly slab: Slab<Subscription>;
  /** Sections in which callbacks run. */
  readonly readers: SleepableReaders;
  /** Puts whose grace period is not over, by sequence number. */
  readonly frees = new Set<number>();
  readonly state = { sequence: 0, made: 0 };
  readonly freed: WaitQueue;

  constructor(core: Core) {
    const { kernel } = core;
    this.core = core;
    this.slab = kernel.slab<Subscription>('mmu notifier', {
      id: 0,
      ops: NO_OPS,
      mm: null as unknown as Mm,
      data: null,
      users: 0,
      listed: false,
    });
    this.readers = new SleepableReaders(kernel, 'notifier callbacks');
    this.freed = new WaitQueue(kernel, 'freed notifiers');
    kernel.checkpoints.keep(this.state);
    kernel.checkpoints.add({ save: () => () => this.frees.clear() });
  }

  // ── for secondary MMUs ─────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The subscription of (`ops`, `mm`) with one more user; a new one is made by `make`, which attaches its data, and
   * registered (MN-2). Takes the mmap lock for write, so no callback runs meanwhile.
   * @throws IommuError EINVAL when the address space is dying (SVA-6), ENOMEM; whatever `make` throws
   */
  *get(ops: MmuNotifierOps, mm: Mm, make: (subscription: Subscription) => Coroutine<void>): Coroutine<Subscription> {
    const lock = yield* mm.mmapLock.write();
    try {
      this.requireUsers(mm);
      const present = this.find(ops, mm);
      if (present !== null) {
        present.users++;
        return present;
      }
      const subscription = this.slab.alloc({ id: ++this.state.made, ops, mm, users: 1 });
      yield* this.makeData(subscription, make);
      this.link(subscription);
      return subscription;
    } finally {
      lock.release();
    }
  }

  /**
   * Drops a user. The last one takes the subscription off the list and frees it after a grace period, with its
   * mm_count; release is not called: the owner has removed every translation before (MN-4). May be called from release.
   */
  put(subscription: Subscription): void {
    if (--subscription.users > 0) return;
    this.unlink(subscription);
    this.freeLater(subscription);
  }

  /**
   * Registers a subscription of its own, whoever else has one (MN-1).
   * @throws IommuError EINVAL when the address space is dying, ENOMEM
   */
  *register(ops: MmuNotifierOps, mm: Mm, data: unknown): Coroutine<Subscription> {
    const lock = yield* mm.mmapLock.write();
    try {
      this.requireUsers(mm);
      const subscription = this.slab.alloc({ id: ++this.state.made, ops, mm, data, users: 1 });
      this.link(subscription);
      return subscription;
    } finally {
      lock.release();
    }
  }

  /** Calls release if it is still listed, takes it off the list, and waits for every running callback (MN-3). */
  *unregister(subscription: Subscription): Coroutine<void> {
    if (subscription.listed) yield* this.releaseAndUnlink(subscription);
    yield* this.readers.synchronize();
    this.free(subscription);
  }

  /** Waits until everything that was put before is freed: before the memory that holds the ops goes (MN-5, SVA-17). */
  synchronize(): Coroutine<void> {
    const mine = [...this.frees];
    return this.freed.wait(() => !mine.some((sequence) => this.frees.has(sequence)));
  }

  // ── for the address space ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * The address space dies: every release, an empty list, and a wait for releases that others started (MM-5 3a, MN-9).
   */
  *release(mm: Mm): Coroutine<void> {
    if (mm.subscriptions.length > 0) {
      const token = this.readers.enter();
      yield* this.callReleases(mm);
      yield* this.core.kernel.point(mm.subscriptionsWord, true);
      this.emptyList(mm);
      this.readers.leave(token);
    }
    yield* this.awaitReleases();
  }

  /**
   * Tells listeners that copy entries that bytes [start, end) are about to change (MN-11).
   * @returns false when one would have to sleep and must not (`blockable` false): then all are told the end at once
   */
  *rangeStart(mm: Mm, start: bigint, end: bigint, blockable: boolean): Coroutine<boolean> {
    if (mm.subscriptions.length === 0) return true;
    const token = this.readers.enter();
    const told: Subscription[] = [];
    let willing = true;
    for (const subscription of [...mm.subscriptions]) {
      if (!subscription.listed) continue;
      willing = yield* this.startOne(subscription, start, end, blockable);
      if (!willing) break;
      told.push(subscription);
    }
    if (!willing) for (const subscription of told) yield* this.endOne(subscription, start, end);
    this.readers.leave(token);
    return willing;
  }

  /** Tells the same listeners that the change is done. */
  *rangeEnd(mm: Mm, start: bigint, end: bigint): Coroutine<void> {
    if (mm.subscriptions.length === 0) return;
    const token = this.readers.enter();
    for (const subscription of [...mm.subscriptions]) {
      if (subscription.listed) yield* this.endOne(subscription, start, end);
    }
    this.readers.leave(token);
  }

  /**
   * Tells every listener that translations of bytes [start, end) changed; returns when none uses an older one (MN-18).
   */
  *invalidateRange(mm: Mm, start: bigint, end: bigint): Coroutine<void> {
    if (mm.subscriptions.length === 0) return;
    const { kernel } = this.core;
    const token = this.readers.enter();
    yield* kernel.point(mm.subscriptionsWord, false);
    const { pasid } = mm;
    const first = Number(start >> 12n);
    const last = Number((end - 1n) >> 12n);
    if (pasid !== this.core.sva.unset) kernel.observer.invalidating(pasid, first, last);
    for (const subscription of [...mm.subscriptions]) {
      if (subscription.listed) yield* this.invalidateOne(subscription, start, end);
    }
    if (pasid !== this.core.sva.unset && mm.pasid === pasid) kernel.observer.invalidated(pasid, first, last);
    this.readers.leave(token);
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  *startOne(subscription: Subscription, start: bigint, end: bigint, blockable: boolean): Coroutine<boolean> {
    const { ops } = subscription;
    return ops.rangeStart === undefined ? true : yield* ops.rangeStart(subscription, start, end, blockable);
  }

  *endOne(subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    const { ops } = subscription;
    if (ops.rangeEnd !== undefined) yield* ops.rangeEnd(subscription, start, end);
  }

  invalidateOne(subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    return subscription.ops.invalidateRange(subscription, start, end);
  }

  /** MN-1: a dead address space cannot be listened to; its release has been. */
  requireUsers(mm: Mm): void {
    if (mm.users > 0) return;
    throw new IommuError('EINVAL', `${mm.space} is dying: its last user is gone`, {
      rule: 'SVA-6',
      remedy: 'hold mm_users for the call',
    });
  }

  find(ops: MmuNotifierOps, mm: Mm): Subscription | null {
    return mm.subscriptions.find((subscription) => subscription.ops === ops) ?? null;
  }

  *makeData(subscription: Subscription, make: (subscription: Subscription) => Coroutine<void>): Coroutine<void> {
    try {
      yield* make(subscription);
    } catch (error) {
      this.slab.free(subscription);
      throw error;
    }
  }

  link(subscription: Subscription): void {
    const { mm } = subscription;
    this.core.mms.grab(mm);
    this.core.kernel.touch(mm.subscriptionsWord, true);
    mm.subscriptions.push(subscription);
    subscription.listed = true;
  }

  unlink(subscription: Subscription): void {
    if (!subscription.listed) return;
    const { mm } = subscription;
    this.core.kernel.touch(mm.subscriptionsWord, true);
    mm.subscriptions.splice(mm.subscriptions.indexOf(subscription), 1);
    subscription.listed = false;
  }

  freeLater(subscription: Subscription): void {
    const sequence = this.state.sequence++;
    this.frees.add(sequence);
    this.readers.call(() => {
      this.free(subscription);
      this.frees.delete(sequence);
      this.core.kernel.touch(this.freed.footprint, true);
      this.freed.wake();
    });
  }

  free(subscription: Subscription): void {
    const { mm, ops } = subscription;
    ops.free?.(subscription);
    this.slab.free(subscription);
    this.core.mms.drop(mm);
  }

  *releaseAndUnlink(subscription: Subscription): Coroutine<void> {
    const { mm } = subscription;
    const token = this.readers.enter();
    // Oracles judge a PASID as a whole: with other listeners left, one release says nothing about it.
    if (mm.subscriptions.length === 1) yield* this.callReleases(mm);
    else yield* subscription.ops.release(subscription);
    yield* this.core.kernel.point(mm.subscriptionsWord, true);
    this.unlink(subscription);
    this.readers.leave(token);
  }

  *callReleases(mm: Mm): Coroutine<void> {
    const { kernel } = this.core;
    yield* kernel.point(mm.subscriptionsWord, false);
    const { pasid } = mm;
    if (pasid !== this.core.sva.unset) kernel.observer.releasing(pasid);
    for (const subscription of [...mm.subscriptions]) {
      if (subscription.listed) yield* subscription.ops.release(subscription);
    }
    // A PASID that was freed meanwhile is no longer this address space's.
    if (pasid !== this.core.sva.unset && mm.pasid === pasid) kernel.observer.released(pasid);
  }

  emptyList(mm: Mm): void {
    for (const subscription of [...mm.subscriptions]) this.unlink(subscription);
  }

  /** MN-9: a release that somebody else started has returned before any page is freed. */
  awaitReleases(): Coroutine<void> {
    return this.readers.synchronize();
  }
}
