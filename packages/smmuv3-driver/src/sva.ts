import type { Mm, SvaHandle, Undo } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { withoutPasidRefusals } from './probe.js';
import type { Bond, Master, NotifierObject } from './records.js';
import { SvaNotifiers } from './sva-notifiers.js';

/** Devices use the page tables of processes: bind and unbind (sva-core.md 6). */
export class Sva extends SvaNotifiers {
  // ── bind ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** SVA-5: everything is ready before the entry goes live, and the driver hears of the PASID after that. */
  *newBond(master: Master, mm: Mm, withoutPasid = false): Coroutine<Bond> {
    const undo: Undo[] = [];
    try {
      const object = yield* this.getNotifier(master, mm, withoutPasid);
      undo.push(() => this.unwindNotifier(object));
      this.addUser(object);
      undo.push(() => this.unwindUser(object));
      const bond = this.allocBond(master, mm, object);
      undo.push(() => this.unwindBond(bond));
      if (!withoutPasid) {
        bond.pasid = this.allocPasid(master, mm);
        undo.push(() => this.unwindPasid(bond));
        this.announce(bond);
      }
      if (object.users === 1) yield* this.installEntry(object, undo);
      if (withoutPasid) yield* this.openStreams(bond, undo);
      this.linkBond(bond);
      return bond;
    } catch (error) {
      while (undo.length > 0) yield* undo.pop()!();
      throw error;
    }
  }

  /**
   * The same for the device's requests without PASID, whose descriptor is 0 (S1DSS): one address space a device, at its home.
   * No DMA domain comes in between: the lock under which they come and go is held.
   */
  *bindWithoutPasid(master: Master, mm: Mm): Coroutine<SvaHandle> {
    const { dmaDomains, domains } = this.smmu;
    const moving = yield* dmaDomains.lock.acquire();
    try {
      this.checkWithoutPasid(master, mm);
      yield* domains.needHome(master);
      try {
        return yield* this.bindAtHome(master, mm);
      } catch (error) {
        yield* domains.dropHome(master);
        throw error;
      }
    } finally {
      moving.release();
    }
  }

  *bindAtHome(master: Master, mm: Mm): Coroutine<SvaHandle> {
    const lock = yield* this.lock.acquire();
    try {
      const { untagged } = master;
      return untagged !== null ? this.getBond(untagged) : yield* this.newBond(master, mm, true);
    } finally {
      lock.release();
    }
  }

  /** Reasons against it: the SMMU cannot, or these requests go somewhere already. */
  checkWithoutPasid({ device, domain, home, untagged }: Master, mm: Mm): void {
    const { core, cpu, features, name } = this.smmu;
    const [refusal] = withoutPasidRefusals(features, cpu, core.format);
    if (refusal !== undefined) throw new IommuError('ENODEV', `${name}: ${refusal.reason}`, { rule: refusal.rule });
    const away = domain !== home ? domain : null;
    const other = away?.name ?? (untagged === null || untagged.mm === mm ? null : untagged.mm.space);
    if (other === null) return;
    throw new IommuError('EBUSY', `requests of ${device.name} without PASID go to ${other}`, {
      rule: 'SMMU-28',
      remedy: away === null ? 'unbind that first' : 'detach the device from its domain first',
    });
  }

  /** The descriptor is in place; now the device's streams lead there. */
  *openStreams({ master, object }: Bond, undo: Undo[]): Coroutine<void> {
    undo.push(() => this.smmu.domains.close(master, object.domain));
    yield* this.smmu.domains.open(master, object.domain);
  }

  allocBond(master: Master, mm: Mm, object: NotifierObject): Bond {
    const bond = this.bonds.alloc({ device: master.device, mm, master, object });
    bond.faults = this.smmu.deviceFeatures.useFaults(master);
    return bond;
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

  // ── unbind ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Drops one reference; the last one takes the device off the address space (SVA-12). The device has stopped. */
  *unbind(handle: SvaHandle): Coroutine<void> {
    const bond = handle as Bond;
    if (bond.object.withoutPasid) return yield* this.unbindWithoutPasid(bond);
    if (bond.faults !== null) yield* this.drainPageRequests(bond.master);
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
      yield* this.putNotifier(object);
    } finally {
      lock.release();
    }
  }

  /** The streams first, which lead to the descriptor; then all as for a PASID. The device has stopped. */
  *unbindWithoutPasid(bond: Bond): Coroutine<void> {
    const { dmaDomains, domains } = this.smmu;
    const { master } = bond;
    if (bond.faults !== null) yield* this.drainPageRequests(master);
    const moving = yield* dmaDomains.lock.acquire();
    try {
      const lock = yield* this.lock.acquire();
      try {
        if (this.putBond(bond)) yield* this.endWithoutPasid(bond);
      } finally {
        lock.release();
      }
      yield* domains.dropHome(master);
    } finally {
      moving.release();
    }
  }

  *endWithoutPasid(bond: Bond): Coroutine<void> {
    const { master, object } = bond;
    yield* this.smmu.domains.close(master, object.domain);
    if (object.users === 1) {
      yield* this.removeEntry(object);
      yield* this.releaseEntry(object);
    }
    this.freeBond(bond);
    yield* this.putNotifier(object);
  }

  /**
   * No request of the device is under way any more: first what the hardware holds, then what is being handled. Before the
   * SVA lock: a worker that drops the last user of an mm needs it (MM-8, SVA-12).
   */
  *drainPageRequests(master: Master): Coroutine<void> {
    yield* this.flushHardwareQueue(master);
    yield* this.flushFaultQueue(master);
  }

  *flushHardwareQueue(master: Master): Coroutine<void> {
    if (master.stalls) yield* this.smmu.events.flush();
    if (master.pri) yield* this.smmu.pageRequests.flush();
  }

  flushFaultQueue({ device }: Master): Coroutine<void> {
    return this.smmu.iopf.flush(device);
  }
}
