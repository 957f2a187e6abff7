import { NO_PASID, type PageSpan, type Subscription, spanOf, wholePages } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Master, NotifierObject } from './records.js';
import { SvaEntries } from './sva-entries.js';

/** What an address space tells the domains that use it, and what a fault in it asks for. */
export abstract class SvaCallbacks extends SvaEntries {
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
      this.traceRelease(subscription);
    } finally {
      lock.release();
    }
  }

  /** SVA-13: unbind need not invalidate again. Not before the flushes are through. */
  markCleared(object: NotifierObject): void {
    object.cleared = true;
  }

  traceRelease(subscription: Subscription): void {
    const { id: notifier } = subscription;
    if (this.tracing)
      this.smmu.kernel.trace.emit(this.points.mmRelease, { pasid: this.pasidOf(subscription), notifier });
  }

  /** The PASID of the requests that reach the address space: 0 stands for those without one. */
  pasidOf({ mm, data }: Subscription): number {
    return (data as NotifierObject).withoutPasid ? NO_PASID : mm.pasid;
  }

  /** Bytes [start, end) changed: no older translation is used when this returns (MN-18). Must not sleep (MN-10). */
  *invalidateRange(subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    const object = subscription.data as NotifierObject;
    const pasid = this.pasidOf(subscription);
    // No entry was live yet, so nothing is cached; and 0 is no tag (TLB-10).
    if (!object.withoutPasid && !this.smmu.core.sva.hasPasid(subscription.mm)) return;
    if (this.tracing) this.smmu.kernel.trace.emit(this.points.mmInvalidate, { pasid, start, end });
    const range = this.rangeOf(start, end);
    if (!this.followsCpus()) yield* this.flushIotlbRange(object, range);
    yield* this.flushDevTlbRange(object, pasid, range);
  }

  /** MN-17: the end is exclusive. */
  rangeOf(start: bigint, end: bigint): PageSpan {
    return spanOf(start, end);
  }

  /** MN-15: the CPUs' own maintenance has reached the SMMU before the callback came. It never reaches a device. */
  followsCpus(): boolean {
    return this.smmu.followsCpus;
  }

  flushIotlbRange({ asid }: NotifierObject, range: PageSpan): Coroutine<void> {
    return this.smmu.invalidation.tlbRange(asid, range);
  }

  /** After the IOTLB's flush is complete (SMMU-19). */
  flushDevTlbRange({ domain, withoutPasid }: NotifierObject, pasid: number, range: PageSpan): Coroutine<void> {
    const { invalidation } = this.smmu;
    return withoutPasid ? invalidation.atcUntagged(domain, range) : invalidation.atcRange(domain, pasid, range);
  }

  /**
   * What is cached of one page for a device, before its fault there is answered with SUCCESS (MN-14): the fault may have
   * made the page writable without telling anybody, and a read-only entry would fault again and again. By command, for a
   * CPU may have flushed its own TLB only (MN-15). The answer keeps the bond alive: unbind waits for it.
   */
  *flushForResponse(master: Master, pasid: number, page: number): Coroutine<void> {
    for (const bond of master.bonds.values()) {
      if (bond.pasid !== pasid) continue;
      const { object } = bond;
      const range = wholePages({ first: page, last: page }, this.smmu.cpu.pageShift);
      yield* this.flushIotlbRange(object, range);
      yield* this.flushDevTlbRange(object, pasid, range);
      return;
    }
  }
}
