import type { Mm } from '@iommukit/core';
import { type Coroutine, Spinlock } from '@iommukit/kernel';
import { FIRST_STAGE_DID } from '@iommukit/vtd-spec';
import type { Bond, Svm } from './records.js';
import { SvaCallbacks } from './sva-callbacks.js';
import { SvmNotifier } from './svm-notifier.js';

/** Address spaces and their notifiers: one per (unit, mm), walking the list of the devices that use it (SVA-4). */
export abstract class SvaNotifiers extends SvaCallbacks {
  /** The address space as the unit knows it, or null. */
  findSvm(mm: Mm, withoutPasid = false): Svm | null {
    return this.mapOf(withoutPasid).get(mm) ?? null;
  }

  mapOf(withoutPasid: boolean): Map<Mm, Svm> {
    return withoutPasid ? this.untaggedByMm : this.byMm;
  }

  allocSvm(mm: Mm, withoutPasid = false): Svm {
    const did = withoutPasid ? this.vtd.dmaDomains.allocDid() : FIRST_STAGE_DID;
    try {
      const lock = new Spinlock(this.vtd.kernel, 'vtd svm');
      const svm = this.svms.alloc({ mm, withoutPasid, did, bonds: [], lock });
      this.mapOf(withoutPasid).set(mm, svm);
      return svm;
    } catch (error) {
      if (withoutPasid) this.vtd.dmaDomains.dids.free(did);
      throw error;
    }
  }

  /** From here on its callbacks come. It holds mm_count, never mm_users (MM-7, MN-1). @throws IommuError EINVAL, ENOMEM */
  *register(svm: Svm): Coroutine<void> {
    svm.subscription = yield* this.vtd.core.notifiers.register(new SvmNotifier(this), svm.mm, svm);
  }

  /** No callback comes any more, and none is under way when this returns (MN-3). The release that it calls finds nothing. */
  unregister({ subscription }: Svm): Coroutine<void> {
    return this.vtd.core.notifiers.unregister(subscription!);
  }

  /** One more device on the list that callbacks walk, before its entry is live (SVA-5). */
  listDevice(bond: Bond): void {
    const { bonds } = bond.svm;
    bonds.push(bond);
    if (!this.tracing) return;
    this.vtd.kernel.trace.emit(bonds.length === 1 ? this.points.mnAlloc : this.points.mnGet, { pasid: bond.pasid });
  }

  unlistDevice(bond: Bond): void {
    const { bonds } = bond.svm;
    bonds.splice(bonds.indexOf(bond), 1);
    if (!this.tracing) return;
    this.vtd.kernel.trace.emit(bonds.length === 0 ? this.points.mnFree : this.points.mnPut, { pasid: bond.pasid });
  }

  /** SVA-23: its last device is gone; a release that is on its way finds nothing to do. */
  markDead(svm: Svm): void {
    if (svm.bonds.length === 0) svm.cleared = true;
  }

  /** An address space without devices is forgotten: the notifier, then the record that callbacks use. */
  *putSvm(svm: Svm): Coroutine<void> {
    if (svm.bonds.length > 0) return;
    yield* this.unregister(svm);
    this.freeSvm(svm);
  }

  freeSvm(svm: Svm): void {
    this.mapOf(svm.withoutPasid).delete(svm.mm);
    // Nothing is cached under the number any more: its entries were flushed as they went (TLB-5).
    if (svm.withoutPasid) this.vtd.dmaDomains.dids.free(svm.did);
    this.svms.free(svm);
  }
}
