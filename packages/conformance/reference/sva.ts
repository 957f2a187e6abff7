import type { Mm, MmuNotifierOps, Subscription, SvaHandle } from '@iommukit/core';
import { type Coroutine, IommuError, Mutex, type Slab, type TracePoint } from '@iommukit/kernel';
import type { DeviceRecord } from './devices.js';
import type { ReferenceDriver } from './driver.js';
import * as trace from './trace-points.js';

/** A device and an address space that it uses. */
export interface Bond extends SvaHandle {
  readonly record: DeviceRecord;
  readonly streams: readonly number[];
  pasid: number;
  /** How many binds it stands for (SVA-3). */
  refs: number;
  /** Nothing of it is in any table or cache: its process has died, or it was unbound. */
  over: boolean;
  subscription: Subscription;
}

/** Bind, unbind, and what address spaces tell (sva-core.md 6). */
export class Sva {
  readonly driver: ReferenceDriver;
  readonly slab: Slab<Bond>;
  readonly lock: Mutex;

  constructor(driver: ReferenceDriver) {
    const { kernel } = driver;
    this.driver = driver;
    this.lock = new Mutex(kernel, 'reference sva');
    this.slab = kernel.slab<Bond>('reference bond', {
      device: null as unknown as Bond['device'],
      mm: null as unknown as Mm,
      record: null as unknown as DeviceRecord,
      streams: [],
      pasid: 0,
      refs: 1,
      over: false,
      subscription: null as unknown as Subscription,
    });
  }

  // ── bind and unbind ────────────────────────────────────────────────────────────────────────────────────────────

  /** One handle a (device, mm), counted (SVA-3). The caller holds mm_users for the call (SVA-1). */
  *bind(record: DeviceRecord, mm: Mm): Coroutine<Bond> {
    const lock = yield* this.lock.acquire();
    try {
      const { name } = record.device;
      if (!record.sva) throw new IommuError('ENODEV', `SVA is not enabled on ${name}`, { rule: 'SVA-1' });
      const present = record.bonds.get(mm);
      if (present === undefined) return yield* this.newBond(record, mm);
      present.refs++;
      this.tell(trace.referenceBindGet, present);
      return present;
    } finally {
      lock.release();
    }
  }

  /** SVA-5: the address space is listened to before a device can use it. */
  *newBond(record: DeviceRecord, mm: Mm): Coroutine<Bond> {
    const { core, model, kernel } = this.driver;
    const { device } = record;
    const subscription = yield* core.notifiers.get(record.notifier, mm, (made) => this.makeBond(record, made));
    const bond = subscription.data as Bond;
    try {
      bond.pasid = core.sva.allocPasid(mm, 1, 2 ** record.pasidBits - 1);
    } catch (error) {
      core.notifiers.put(subscription);
      throw error;
    }
    record.bonds.set(mm, bond);
    this.tell(trace.referenceBindAlloc, bond);
    const row = { pgd: mm.pgd, format: core.format, quiet: false };
    for (const stream of device.streams) {
      kernel.observer.bound(stream, bond.pasid, mm.space, device.name, this.driver.name);
      yield* model.table.set(stream, bond.pasid, row);
    }
    return bond;
  }

  *makeBond(record: DeviceRecord, subscription: Subscription): Coroutine<void> {
    const { device } = record;
    const { mm } = subscription;
    subscription.data = this.slab.alloc({ record, device, streams: device.streams, mm, subscription });
  }

  /** The last of the binds ends the bond (SVA-12). The device has stopped using the PASID. */
  *unbind(handle: SvaHandle): Coroutine<void> {
    const bond = handle as Bond;
    // What it asked for is answered first, outside the lock: a worker may drop the last user of the mm (MM-8).
    if (bond.record.iopf) yield* this.driver.iopf.flush(bond.device);
    const lock = yield* this.lock.acquire();
    try {
      if (--bond.refs === 0) yield* this.endBond(bond);
      else this.tell(trace.referenceUnbindPut, bond);
    } finally {
      lock.release();
    }
  }

  /** The PASID is free for others when nothing names it any more (SVA-15). */
  *endBond(bond: Bond): Coroutine<void> {
    const { core, model, kernel } = this.driver;
    const { mm, pasid, streams, record } = bond;
    for (const stream of streams) yield* model.table.clear(stream, pasid);
    yield* this.forget(bond);
    for (const stream of streams) kernel.observer.unbound(stream, pasid, bond.device.name, this.driver.name);
    record.bonds.delete(mm);
    core.sva.freePasid(mm);
    this.tell(trace.referenceUnbindFree, bond);
    core.notifiers.put(bond.subscription);
  }

  // ── what address spaces tell ───────────────────────────────────────────────────────────────────────────────────

  notifierOps(): MmuNotifierOps {
    return {
      release: (subscription) => this.release(subscription),
      invalidateRange: (subscription, start, end) => this.invalidateRange(subscription, start, end),
      free: (subscription) => this.slab.free(subscription.data as Bond),
    };
  }

  /** The address space dies: the device reaches nothing of it when this returns, and ends quietly (SVA-8, SVA-11). */
  *release({ data }: Subscription): Coroutine<void> {
    const bond = data as Bond;
    const { model, core } = this.driver;
    const lock = yield* this.lock.acquire();
    try {
      if (bond.over) return;
      const row = { pgd: 0, format: core.format, quiet: true };
      for (const stream of bond.streams) yield* model.table.set(stream, bond.pasid, row);
      yield* this.forget(bond);
      const told = { pasid: bond.pasid, notifier: bond.subscription.id };
      this.driver.kernel.trace.emit(trace.referenceMmRelease, told);
    } finally {
      lock.release();
    }
  }

  /** Bytes [start, end) changed: the device uses nothing older when this returns (MN-17, MN-18). */
  *invalidateRange({ data }: Subscription, start: bigint, end: bigint): Coroutine<void> {
    const { streams, pasid, over } = data as Bond;
    if (over || pasid === 0) return;
    this.driver.kernel.trace.emit(trace.referenceMmInvalidate, { pasid, start, end });
    const [first, last] = [Number(start >> 12n), Number((end - 1n) >> 12n)];
    yield* this.driver.model.invalidations.pages(streams, pasid, first, last);
  }

  tell(point: TracePoint<trace.BondRecord>, { device, pasid }: Bond): void {
    this.driver.kernel.trace.emit(point, { dev: device.name, pasid });
  }

  /** Only when the device has forgotten everything the bond is over: until then others' invalidations are sent too. */
  *forget(bond: Bond): Coroutine<void> {
    if (!bond.over) yield* this.driver.model.invalidations.all(bond.streams, bond.pasid);
    bond.over = true;
  }
}
