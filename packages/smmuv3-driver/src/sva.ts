import { type Mm, NO_PASID, type Subscription, type SvaHandle } from '@iommukit/core';
import { type Coroutine, IommuError, Mutex, type Slab } from '@iommukit/kernel';
import { type PageRange, pagesOf } from './page-range.js';
import type { Bond, Domain, Master, NotifierObject, SharedContext } from './records.js';
import type { Smmu } from './smmu.js';
import * as trace from './trace-points.js';

/** Undoes one step of a bind that failed later. */
type Undo = () => Coroutine<void>;

/** Devices use the page tables of processes: bind, unbind, and what the address space tells in between (sva-core.md 6). */
export class Sva {
  readonly smmu: Smmu;
  readonly bonds: Slab<Bond>;
  readonly objects: Slab<NotifierObject>;
  /** The SVA lock: bonds, notifier objects, and the descriptors at their PASIDs. Never held while faults are flushed. */
  readonly lock: Mutex;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.lock = new Mutex(smmu.kernel, 'smmuv3 sva');
    this.bonds = smmu.kernel.slab<Bond>('sva bond', {
      device: null as unknown as Bond['device'],
      mm: null as unknown as Mm,
      master: null as unknown as Master,
      object: null as unknown as NotifierObject,
      pasid: NO_PASID,
      refs: 1,
    });
    this.objects = smmu.kernel.slab<NotifierObject>('smmuv3 notifier object', {
      domain: null as unknown as Domain,
      context: null as unknown as SharedContext,
      asid: 0,
      cleared: false,
      users: 0,
      subscription: null,
    });
  }

  // ── bind ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One handle per (device, mm) (SVA-3). The caller holds mm_users for the call (SVA-1). */
  *bind(master: Master, mm: Mm): Coroutine<SvaHandle> {
    const lock = yield* this.lock.acquire();
    try {
      this.checkEnabled(master);
      const present = this.findBond(master, mm);
      return present !== null ? this.getBond(present) : yield* this.newBond(master, mm);
    } finally {
      lock.release();
    }
  }

  /** SVA-5: everything is ready before the entry goes live, and the driver hears of the PASID after that. */
  *newBond(master: Master, mm: Mm): Coroutine<Bond> {
    const undo: Undo[] = [];
    try {
      const object = yield* this.getNotifier(master, mm);
      undo.push(() => this.unwindNotifier(object));
      const bond = this.allocBond(master, mm, object);
      undo.push(() => this.unwindBond(bond));
      bond.pasid = this.allocPasid(master, mm);
      undo.push(() => this.unwindPasid(bond));
      this.announce(bond);
      if (object.users === 1) yield* this.installEntry(object, undo);
      this.linkBond(bond);
      return bond;
    } catch (error) {
      while (undo.length > 0) yield* undo.pop()!();
      throw error;
    }
  }

  /** SVA-1. */
  checkEnabled(master: Master): void {
    if (master.sva) return;
    throw new IommuError('ENODEV', `SVA is not enabled on ${master.device.name}`, {
      rule: 'SVA-1',
      remedy: "enable the device's sva feature first",
    });
  }

  findBond(master: Master, mm: Mm): Bond | null {
    return master.bonds.get(mm) ?? null;
  }

  getBond(bond: Bond): Bond {
    bond.refs++;
    if (this.tracing) this.smmu.kernel.trace.emit(trace.smmuBindGet, { dev: bond.device.name, pasid: bond.pasid });
    return bond;
  }

  /** The notifier object of (domain, mm), made and registered if there is none, with one more user (SVA-4). */
  *getNotifier(master: Master, mm: Mm): Coroutine<NotifierObject> {
    const domain = master.domain!;
    const ops = this.notifierOps(master);
    const subscription = yield* this.smmu.core.notifiers.get(ops, mm, (made) => this.makeNotifierObject(domain, made));
    const object = subscription.data as NotifierObject;
    object.users++;
    if (this.tracing) {
      const point = object.users === 1 ? trace.smmuMnAlloc : trace.smmuMnGet;
      this.smmu.kernel.trace.emit(point, { pasid: mm.pasid });
    }
    return object;
  }

  /** What makes a notifier the domain's own (MN-2). */
  notifierOps(master: Master): Domain['notifier'] {
    return master.domain!.notifier;
  }

  /** Makes the owner's part of a notifier, complete before it is registered: callbacks may come at once. */
  *makeNotifierObject(domain: Domain, subscription: Subscription): Coroutine<void> {
    const object = this.objects.alloc({ domain, subscription });
    try {
      object.context = this.smmu.sharedContexts.get(subscription.mm);
      object.asid = object.context.asid;
    } catch (error) {
      this.unwindNotifierObject(object);
      throw error;
    }
    subscription.data = object;
  }

  allocBond(master: Master, mm: Mm, object: NotifierObject): Bond {
    return this.bonds.alloc({ device: master.device, mm, master, object });
  }

  /** Any PASID that the domain has a descriptor for, but 0 (SVA-2, IOASID-2, IOASID-19). */
  allocPasid(master: Master, mm: Mm): number {
    return this.smmu.core.sva.allocPasid(mm, 1, 2 ** master.domain!.contexts.bits - 1);
  }

  /** The first bond of a (domain, mm) stores the entry; it serves every device of the domain. */
  *installEntry(object: NotifierObject, undo: Undo[]): Coroutine<void> {
    yield* this.reserveEntry(object);
    undo.push(() => this.unwindReservation(object));
    undo.push(() => this.unwindEntry(object));
    yield* this.publishEntry(object);
  }

  reserveEntry({ domain, context }: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.reserve(domain, context.mm.pasid);
  }

  publishEntry({ domain, context }: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.write(domain, context.mm.pasid, this.smmu.sharedContexts.live(context, domain));
  }

  /** From here on the device may reach the address space. */
  announce({ device, mm, pasid }: Bond): void {
    for (const sid of device.streams) this.smmu.kernel.observer.bound(sid, pasid, mm.space);
  }

  linkBond(bond: Bond): void {
    bond.master.bonds.set(bond.mm, bond);
    if (this.tracing) this.smmu.kernel.trace.emit(trace.smmuBindAlloc, { dev: bond.device.name, pasid: bond.pasid });
  }

  // ── a bind that failed, in reverse ─────────────────────────────────────────────────────────────────────────────

  unwindEntry(object: NotifierObject): Coroutine<void> {
    return this.removeEntry(object);
  }

  unwindReservation(object: NotifierObject): Coroutine<void> {
    return this.releaseEntry(object);
  }

  *unwindPasid(bond: Bond): Coroutine<void> {
    this.withdraw(bond);
    this.freePasid(bond.mm);
  }

  *unwindBond(bond: Bond): Coroutine<void> {
    this.bonds.free(bond);
  }

  *unwindNotifier(object: NotifierObject): Coroutine<void> {
    if (this.dropUser(object)) {
      this.markDead(object);
      this.unwindContext(object);
    }
    this.unwindRegistration(object);
  }

  unwindContext(object: NotifierObject): void {
    this.putContext(object);
  }

  unwindRegistration(object: NotifierObject): void {
    this.putRegistration(object);
  }

  unwindNotifierObject(object: NotifierObject): void {
    this.objects.free(object);
  }

  // ── unbind ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Drops one reference; the last one takes the device off the address space (SVA-12). The device has stopped. */
  *unbind(handle: SvaHandle): Coroutine<void> {
    const bond = handle as Bond;
    yield* this.drainPageRequests(bond.master);
    const lock = yield* this.lock.acquire();
    try {
      if (!this.putBond(bond)) return;
      const { object, mm } = bond;
      this.unlinkBond(bond);
      if (object.users === 1) {
        yield* this.removeEntry(object);
        yield* this.releaseEntry(object);
      }
      this.withdraw(bond);
      this.freePasid(mm);
      this.freeBond(bond);
      this.putNotifier(object);
    } finally {
      lock.release();
    }
  }

  /**
   * No request of the device is under way any more: first what the hardware holds, then what is being handled. Before the
   * SVA lock: a worker that drops the last user of an mm needs it (MM-8, SVA-12).
   */
  *drainPageRequests(master: Master): Coroutine<void> {
    if (!master.iopf) return;
    yield* this.flushHardwareQueue(master);
    yield* this.flushFaultQueue();
  }

  *flushHardwareQueue(master: Master): Coroutine<void> {
    if (master.stalls) yield* this.smmu.events.flush();
    else yield* this.smmu.pageRequests.flush();
  }

  flushFaultQueue(): Coroutine<void> {
    return this.smmu.iopf.flush();
  }

  /** True if it was the last reference. */
  putBond(bond: Bond): boolean {
    if (--bond.refs === 0) return true;
    if (this.tracing) this.smmu.kernel.trace.emit(trace.smmuUnbindPut, { dev: bond.device.name, pasid: bond.pasid });
    return false;
  }

  unlinkBond(bond: Bond): void {
    bond.master.bonds.delete(bond.mm);
  }

  /** SMMU-11: clear, then forget; nothing is left to forget after a release (SVA-13). */
  *removeEntry(object: NotifierObject): Coroutine<void> {
    yield* this.clearEntry(object);
    if (!object.cleared) yield* this.flushAll(object);
    this.markDead(object);
  }

  clearEntry({ domain, context }: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.clear(domain, context.mm.pasid);
  }

  *flushAll(object: NotifierObject): Coroutine<void> {
    yield* this.flushIotlb(object);
    yield* this.flushDevTlbs(object);
  }

  /** SVA-23: a release that waits for the lock finds nothing to do; the PASID may be somebody else's by then. */
  markDead(object: NotifierObject): void {
    object.cleared = true;
  }

  /** Gives back the room for the entry. */
  releaseEntry({ domain, context }: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.release(domain, context.mm.pasid);
  }

  withdraw({ device, pasid }: Bond): void {
    for (const sid of device.streams) this.smmu.kernel.observer.unbound(sid, pasid);
  }

  /** The mm's PASID with one reference less. Nothing in any table or cache names it any more (SVA-15). */
  freePasid(mm: Mm): void {
    this.smmu.core.sva.freePasid(mm);
  }

  freeBond(bond: Bond): void {
    if (this.tracing) this.smmu.kernel.trace.emit(trace.smmuUnbindFree, { dev: bond.device.name, pasid: bond.pasid });
    this.bonds.free(bond);
  }

  /** One user less. The last one lets go of the ASID. */
  putNotifier(object: NotifierObject): void {
    if (this.dropUser(object)) this.putContext(object);
    this.putRegistration(object);
  }

  /** True if it was the last. */
  dropUser(object: NotifierObject): boolean {
    const last = --object.users === 0;
    if (this.tracing) {
      const point = last ? trace.smmuMnFree : trace.smmuMnPut;
      this.smmu.kernel.trace.emit(point, { pasid: object.subscription!.mm.pasid });
    }
    return last;
  }

  putContext(object: NotifierObject): void {
    this.smmu.sharedContexts.put(object.context);
  }

  /** The notifier is put, not unregistered: no release comes of this (MN-4). */
  putRegistration(object: NotifierObject): void {
    this.smmu.core.notifiers.put(object.subscription!);
  }

  /** The notifier's grace period is over: no callback uses the object any more (SVA-14). */
  freeNotifierObject(subscription: Subscription): void {
    this.objects.free(subscription.data as NotifierObject);
  }

  // ── what the address space tells ───────────────────────────────────────────────────────────────────────────────

  /** The address space dies: nothing of it may be reached when this returns (SVA-8, SMMU-10). The order is TLB-1's. */
  *release(subscription: Subscription): Coroutine<void> {
    const object = subscription.data as NotifierObject;
    const lock = yield* this.lock.acquire();
    try {
      if (object.cleared) return;
      yield* this.quiesceEntry(object);
      yield* this.flushIotlb(object);
      yield* this.flushDevTlbs(object);
      this.markCleared(object);
      this.traceRelease(subscription.mm);
    } finally {
      lock.release();
    }
  }

  /** No new walks; the entry stays valid, so that what the device still sends ends quietly (SVA-9). */
  quiesceEntry({ domain, context }: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.write(domain, context.mm.pasid, this.smmu.sharedContexts.quiesced(context, domain));
  }

  flushIotlb({ asid }: NotifierObject): Coroutine<void> {
    return this.smmu.invalidation.tlbAsid(asid);
  }

  /** Last: a device would refill from what is cached above. What it has translated already stops only here (TLB-2). */
  flushDevTlbs({ domain, subscription }: NotifierObject): Coroutine<void> {
    return this.smmu.invalidation.atcPasid(domain, subscription!.mm.pasid);
  }

  /** SVA-13: unbind need not invalidate again. Not before the flushes are through. */
  markCleared(object: NotifierObject): void {
    object.cleared = true;
  }

  traceRelease(mm: Mm): void {
    if (this.tracing) this.smmu.kernel.trace.emit(trace.smmuMmRelease, { pasid: mm.pasid });
  }

  /** Bytes [start, end) changed: no older translation is used when this returns (MN-18). Must not sleep (MN-10). */
  *invalidateRange(subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    const object = subscription.data as NotifierObject;
    const { pasid } = subscription.mm;
    // No entry was live yet, so nothing is cached; and 0 is no tag (TLB-10).
    if (pasid === NO_PASID) return;
    if (this.tracing) this.smmu.kernel.trace.emit(trace.smmuMmInvalidate, { pasid, start, end });
    const range = this.rangeOf(start, end);
    yield* this.flushIotlbRange(object, range);
    yield* this.flushDevTlbRange(object, pasid, range);
  }

  /** MN-17: the end is exclusive. */
  rangeOf(start: bigint, end: bigint): PageRange {
    return pagesOf(start, end);
  }

  flushIotlbRange({ asid }: NotifierObject, range: PageRange): Coroutine<void> {
    return this.smmu.invalidation.tlbRange(asid, range);
  }

  /** After the IOTLB's flush is complete (SMMU-19). */
  flushDevTlbRange({ domain }: NotifierObject, pasid: number, range: PageRange): Coroutine<void> {
    return this.smmu.invalidation.atcRange(domain, pasid, range);
  }

  get tracing(): boolean {
    return this.smmu.kernel.trace.on;
  }
}
