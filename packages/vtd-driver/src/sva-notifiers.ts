import type { Mm } from '@iommukit/core';
import { type Coroutine, Spinlock } from '@iommukit/kernel';
import type { Bond, Svm } from './records.js';
import { SvaCallbacks } from './sva-callbacks.js';
import { SvmNotifier } from './svm-notifier.js';
import * as trace from './trace-points.js';

/** Address spaces and their notifiers: one per (unit, mm), walking the list of the devices that use it (SVA-4). */
export class SvaNotifiers extends SvaCallbacks {
  /** The address space as the unit knows it, or null. */
  findSvm(mm: Mm): Svm | null {
    return this.byMm.get(mm) ?? null;
  }

  allocSvm(mm: Mm): Svm {
    const svm = this.svms.alloc({ mm, bonds: [], lock: new Spinlock(this.vtd.kernel, 'vtd svm') });
    this.byMm.set(mm, svm);
    return svm;
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
    const { bonds, mm } = bond.svm;
    bonds.push(bond);
    if (!this.tracing) return;
    this.vtd.kernel.trace.emit(bonds.length === 1 ? trace.vtdMnAlloc : trace.vtdMnGet, { pasid: mm.pasid });
  }

  unlistDevice(bond: Bond): void {
    const { bonds, mm } = bond.svm;
    bonds.splice(bonds.indexOf(bond), 1);
    if (!this.tracing) return;
    this.vtd.kernel.trace.emit(bonds.length === 0 ? trace.vtdMnFree : trace.vtdMnPut, { pasid: mm.pasid });
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
    this.byMm.delete(svm.mm);
    this.svms.free(svm);
  }
}
