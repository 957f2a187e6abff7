import { NO_PASID, type PageSpan, type Subscription, spanOf } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { DescriptorBatch } from './descriptor-batch.js';
import type { Bond, Master, Svm } from './records.js';
import { SvaEntries } from './sva-entries.js';

/** What an address space tells the devices that use it, and what a fault in it asks for. */
export abstract class SvaCallbacks extends SvaEntries {
  /**
   * The address space dies: nothing of it may be reached when this returns (SVA-8). Devices may still be running. Called by
   * whoever drops the last user, a fault worker as well: nothing here sleeps or waits for faults (MN-10, IOPF-12).
   */
  *release(subscription: Subscription): Coroutine<void> {
    const svm = subscription.data as Svm;
    const lock = yield* this.lockSvm(svm);
    try {
      if (this.isCleared(svm)) return this.markCleared(svm);
      for (const bond of this.devicesOf(svm)) yield* this.quiesce(bond);
      this.markCleared(svm);
      this.traceRelease(subscription);
    } finally {
      this.unlockSvm(lock);
    }
  }

  /** MN-7: released already, or without devices: unregistering calls release too (MN-3). */
  isCleared({ cleared, bonds }: Svm): boolean {
    return cleared || bonds.length === 0;
  }

  /** One device's entry (TLB-1, VTD-17): each step is waited for, in this order. */
  *quiesce(bond: Bond): Coroutine<void> {
    yield* this.quiesceEntry(bond);
    yield* this.flushPasidCache(bond);
    yield* this.flushIotlb(bond);
    yield* this.flushDevTlbs(bond);
    yield* this.eraseQuiesced(bond);
  }

  /** Not before the flushes are through. */
  markCleared(svm: Svm): void {
    svm.cleared = true;
  }

  traceRelease(subscription: Subscription): void {
    const { id: notifier } = subscription;
    if (this.tracing)
      this.vtd.kernel.trace.emit(this.points.mmRelease, { pasid: this.pasidOf(subscription), notifier });
  }

  /** The PASID of the requests that reach the address space: 0 stands for those without one. */
  pasidOf({ mm, data }: Subscription): number {
    return (data as Svm).withoutPasid ? NO_PASID : mm.pasid;
  }

  /** Bytes [start, end) changed: no older translation is used when this returns (MN-18). Must not sleep (MN-10). */
  *invalidateRange(subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    const svm = subscription.data as Svm;
    const pasid = this.pasidOf(subscription);
    if (!svm.withoutPasid && !this.vtd.core.sva.hasPasid(subscription.mm)) return;
    const lock = yield* this.lockSvm(svm);
    try {
      if (svm.bonds.length === 0) return;
      if (this.tracing) this.vtd.kernel.trace.emit(this.points.mmInvalidate, { pasid, start, end });
      yield* this.flushRange(this.devicesOf(svm), this.rangeOf(start, end));
    } finally {
      this.unlockSvm(lock);
    }
  }

  /** What callbacks walk: every device that uses the address space (SVA-4). */
  devicesOf(svm: Svm): readonly Bond[] {
    return svm.bonds;
  }

  /** MN-17, VTD-25: the end is exclusive. Pages of the unit have 4 KiB, whatever the CPUs' have. */
  rangeOf(start: bigint, end: bigint): PageSpan {
    return spanOf(start, end);
  }

  /** IOTLB first, then every device's TLB, in one batch: the queue executes in order, and a wait follows (VTD-23). */
  *flushRange(bonds: readonly Bond[], range: PageSpan): Coroutine<void> {
    const { queue } = this.vtd;
    const batch = queue.batch();
    this.addIotlbRange(batch, bonds[0]!, range);
    for (const bond of bonds) yield* this.addDevTlbRange(batch, bond, range);
    if (batch.count === 0) queue.giveBack(batch);
    else yield* queue.submitAndSync(batch);
  }

  /** The PASID's translations have one tag, whatever the device. */
  addIotlbRange(batch: DescriptorBatch, bond: Bond, range: PageSpan): void {
    this.vtd.invalidation.addPasidPages(batch, this.did(bond), bond.pasid, range);
  }

  addDevTlbRange(batch: DescriptorBatch, { master, pasid }: Bond, range: PageSpan): Coroutine<void> {
    return this.vtd.invalidation.addDevicePages(batch, master, pasid, range);
  }

  /**
   * What is cached of one page for a device, before its fault there is answered with SUCCESS (MN-14): the fault may have
   * made the page writable without telling anybody. The answer keeps the bond alive: unbind waits for it.
   */
  *flushForResponse(master: Master, pasid: number, page: number): Coroutine<void> {
    for (const bond of master.bonds.values()) {
      if (bond.pasid === pasid) return yield* this.flushRange([bond], { first: page, last: page });
    }
  }
}
