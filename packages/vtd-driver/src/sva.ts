import type { Mm, SvaHandle, Undo } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { firstStageRefusals } from './probe.js';
import type { Bond, Master, Svm } from './records.js';
import { SvaNotifiers } from './sva-notifiers.js';

/** Devices use the page tables of processes: bind and unbind (sva-core.md 6). */
export class Sva extends SvaNotifiers {
  // ── bind ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** SVA-5: the notifier before the entry, the device on its list before the entry is live, the driver told after that. */
  *newBond(master: Master, mm: Mm, withoutPasid = false): Coroutine<Bond> {
    const undo: Undo[] = [];
    try {
      const svm = yield* this.getSvm(mm, undo, withoutPasid);
      const bond = this.allocBond(master, mm, svm);
      undo.push(() => this.unwindBond(bond));
      if (!withoutPasid) {
        bond.pasid = this.allocPasid(master, mm);
        undo.push(() => this.unwindPasid(bond));
      }
      yield* this.reserveEntry(bond);
      this.announce(bond);
      undo.push(() => this.unwindAnnouncement(bond));
      yield* this.installEntry(bond, undo);
      this.linkBond(bond);
      return bond;
    } catch (error) {
      while (undo.length > 0) yield* undo.pop()!();
      throw error;
    }
  }

  /**
   * The same for the device's requests without PASID, whose entry is that of PASID 0 (VTD-40): one address space a device. No
   * DMA domain comes in between: the lock under which they come and go is held.
   */
  *bindWithoutPasid(master: Master, mm: Mm): Coroutine<SvaHandle> {
    const moving = yield* this.vtd.dmaDomains.lock.acquire();
    try {
      const lock = yield* this.binding.acquire();
      try {
        this.checkWithoutPasid(master, mm);
        const { untagged } = master;
        return untagged !== null ? this.getBond(untagged) : yield* this.newBond(master, mm, true);
      } finally {
        lock.release();
      }
    } finally {
      moving.release();
    }
  }

  /** Reasons against it: the unit cannot, or these requests go somewhere already. */
  checkWithoutPasid({ device, domain, untagged }: Master, mm: Mm): void {
    const { core, cpu, features, mode, name } = this.vtd;
    const [refusal] = firstStageRefusals(features, mode, cpu, core.format);
    if (refusal !== undefined) throw new IommuError('ENODEV', `${name}: ${refusal.reason}`, { rule: refusal.rule });
    const other = domain?.name ?? (untagged === null || untagged.mm === mm ? null : untagged.mm.space);
    if (other === null) return;
    throw new IommuError('EBUSY', `requests of ${device.name} without PASID go to ${other}`, {
      rule: 'VTD-40',
      remedy: domain === null ? 'unbind that first' : 'detach the device from its domain first',
    });
  }

  /** The unit's record of the mm; a new one is registered, unless the mm is dying (SVA-6). */
  *getSvm(mm: Mm, undo: Undo[], withoutPasid = false): Coroutine<Svm> {
    const present = this.findSvm(mm, withoutPasid);
    if (present !== null) return present;
    const svm = this.allocSvm(mm, withoutPasid);
    undo.push(() => this.unwindSvm(svm));
    yield* this.register(svm);
    undo.push(() => this.unwindNotifier(svm));
    return svm;
  }

  /** SVA-6: nobody would ever take away what is stored after the release. */
  checkAlive({ mm, cleared }: Svm): void {
    if (!cleared) return;
    throw new IommuError('EINVAL', `${mm.space} is dead: its last user is gone`, {
      rule: 'SVA-6',
      remedy: 'hold mm_users for the call',
    });
  }

  allocBond(master: Master, mm: Mm, svm: Svm): Bond {
    const bond = this.bonds.alloc({ device: master.device, mm, master, svm });
    bond.faults = this.vtd.deviceFeatures.useFaults(master);
    return bond;
  }

  /** Any PASID that the device can send, but 0 (VTD-40, VTD-41, SVA-2, IOASID-19). */
  allocPasid(master: Master, mm: Mm): number {
    return this.vtd.core.sva.allocPasid(mm, 1, this.maxPasid(master));
  }

  maxPasid({ pasidBits }: Master): number {
    return 2 ** pasidBits - 1;
  }

  /** Under the address space's lock, so that no callback runs between the list and the entry. */
  *installEntry(bond: Bond, undo: Undo[]): Coroutine<void> {
    const lock = yield* this.lockSvm(bond.svm);
    try {
      this.checkAlive(bond.svm);
      this.listDevice(bond);
      undo.push(() => this.unwindListing(bond));
      undo.push(() => this.unwindEntry(bond));
      yield* this.publishEntry(bond);
    } finally {
      this.unlockSvm(lock);
    }
  }

  // ── a bind that failed, in reverse ─────────────────────────────────────────────────────────────────────────────

  *unwindEntry(bond: Bond): Coroutine<void> {
    const lock = yield* this.lockSvm(bond.svm);
    try {
      yield* this.removeEntry(bond);
    } finally {
      this.unlockSvm(lock);
    }
  }

  *unwindListing(bond: Bond): Coroutine<void> {
    const lock = yield* this.lockSvm(bond.svm);
    this.unlistDevice(bond);
    this.markDead(bond.svm);
    this.unlockSvm(lock);
  }

  *unwindAnnouncement(bond: Bond): Coroutine<void> {
    this.withdraw(bond);
  }

  *unwindPasid({ mm }: Bond): Coroutine<void> {
    this.freePasid(mm);
  }

  *unwindNotifier(svm: Svm): Coroutine<void> {
    this.markDead(svm);
    yield* this.unregister(svm);
  }

  *unwindSvm(svm: Svm): Coroutine<void> {
    this.freeSvm(svm);
  }

  // ── unbind ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Drops one reference; the last one takes the device off the address space (SVA-12). The device has stopped (VTD-43). */
  *unbind(handle: SvaHandle): Coroutine<void> {
    const bond = handle as Bond;
    const lock = yield* this.binding.acquire();
    try {
      if (!this.putBond(bond)) return;
      const { svm, mm } = bond;
      this.unlinkBond(bond);
      yield* this.detachEntry(bond);
      yield* this.drainPageRequests(bond);
      this.withdraw(bond);
      if (!svm.withoutPasid) this.freePasid(mm);
      this.freeBond(bond);
      yield* this.putSvm(svm);
    } finally {
      lock.release();
    }
  }

  /** The entry goes, and the device off the list that callbacks walk, in one locked section (SVA-23). */
  *detachEntry(bond: Bond): Coroutine<void> {
    const lock = yield* this.lockSvm(bond.svm);
    try {
      yield* this.removeEntry(bond);
      this.unlistDevice(bond);
      this.markDead(bond.svm);
    } finally {
      this.unlockSvm(lock);
    }
  }

  /**
   * No request of the device for the PASID is under way any more (VTD-28, VTD-29). After the entry is gone, and without the
   * lock that a release takes: it may be a fault worker that waits for it (MM-8, SVA-12).
   */
  *drainPageRequests({ master, pasid, faults }: Bond): Coroutine<void> {
    if (faults !== null) yield* this.vtd.drain.run(master, pasid);
  }
}
