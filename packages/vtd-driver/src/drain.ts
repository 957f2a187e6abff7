import { EVERY_PAGE } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { FIRST_STAGE_DID, InvWait256 } from '@iommukit/vtd-spec';
import type { DescriptorBatch } from './descriptor-batch.js';
import type { Master } from './records.js';
import type { Vtd } from './vtd.js';

/** PASIDs in the place of one: all of a device. */
const EVERY_PASID = -1;
/** Later descriptors wait for earlier ones; nobody is told, so the status data means nothing. */
const FENCE = InvWait256.make({ fn: 1, statusData: 2 });

/**
 * Waits until no page request of a (device, PASID) is under way, from the hardware to the answer (VTD-28, IOPF-23). The
 * device has stopped using the PASID and its entry is gone. Never under a lock that a worker or a release takes.
 */
export class Drain {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** Requests of one PASID; 0 stands for those without. */
  *run(master: Master, pasid: number): Coroutine<void> {
    if (!this.isNeeded(master)) return;
    while (yield* this.round(master, pasid)) {}
  }

  /** Every request of a device, of whatever PASID. */
  all(master: Master): Coroutine<void> {
    return this.run(master, EVERY_PASID);
  }

  /** VTD-29. */
  isNeeded({ iopf }: Master): boolean {
    return iopf;
  }

  /** True if requests were lost meanwhile: what the device sends again may be anywhere. */
  *round(master: Master, pasid: number): Coroutine<boolean> {
    const { overflows } = this.vtd.pageRequests.state;
    yield* this.flushArrivals();
    yield* this.awaitRing(master, pasid);
    yield* this.flushFaultQueue(master);
    yield* this.flushHardware(master, pasid);
    return yield* this.mustRepeat(overflows);
  }

  /** What the unit has received is in the ring, or lost: a request may be on its way there while the ring is looked at. */
  *flushArrivals(): Coroutine<void> {
    const { queue } = this.vtd;
    yield* queue.submitAndSync(queue.batch(), true);
  }

  /** VTD-28a: nothing in the ring matches. Whether the thread is through is asked after the ring was looked at, so: */
  *awaitRing(master: Master, pasid: number): Coroutine<void> {
    for (;;) {
      const mark = this.rearm();
      if (!(yield* this.isInRing(master, pasid))) return;
      yield* this.awaitPass(mark);
    }
  }

  /** Passes that end from here on count, also if they end before they are waited for. */
  rearm(): number {
    return this.vtd.pageRequests.state.passes;
  }

  awaitPass(mark: number): Coroutine<void> {
    return this.vtd.pageRequests.awaitPass(mark);
  }

  *isInRing(master: Master, pasid: number): Coroutine<boolean> {
    const { pageRequests } = this.vtd;
    const words = new Uint32Array(pageRequests.entryBytes / 4);
    const { head, tail } = yield* pageRequests.readPointers();
    for (let at = head; at !== tail; at = pageRequests.next(at)) {
      yield* pageRequests.loadEntry(at, words);
      const request = pageRequests.read(words);
      if (this.matches(master, pasid, request.rid, request.pasid)) return true;
    }
    return false;
  }

  /** Another device's requests of the same PASID are none of this one's business. */
  matches({ device }: Master, wanted: number, rid: number, pasid: number | null): boolean {
    return device.streams.includes(rid) && (wanted === EVERY_PASID || (pasid ?? 0) === wanted);
  }

  /** VTD-28b: what was reported is answered. */
  flushFaultQueue({ device }: Master): Coroutine<void> {
    return this.vtd.iopf.flush(device);
  }

  /** VTD-28c: the answers have left the unit, and nothing that the device has cached is left of the PASID. */
  *flushHardware(master: Master, pasid: number): Coroutine<void> {
    const { queue } = this.vtd;
    const batch = queue.batch();
    this.addFence(batch);
    this.addIotlb(batch, master, pasid);
    yield* this.vtd.invalidation.addDevicePages(batch, master, Math.max(0, pasid), EVERY_PAGE);
    yield* queue.submitAndSync(batch, true);
  }

  addFence(batch: DescriptorBatch): void {
    batch.add(FENCE);
  }

  addIotlb(batch: DescriptorBatch, { domain }: Master, pasid: number): void {
    const { invalidation } = this.vtd;
    if (pasid > 0) invalidation.addPasid(batch, FIRST_STAGE_DID, pasid);
    else if (domain !== null) invalidation.addDomain(batch, domain.did);
  }

  /** VTD-28d: an overflow may have swallowed requests, which the device sends again. The thread clears it. */
  *mustRepeat(overflows: number): Coroutine<boolean> {
    const { pageRequests } = this.vtd;
    const mark = this.rearm();
    if (!(yield* pageRequests.overflowed())) return pageRequests.state.overflows !== overflows;
    yield* this.awaitPass(mark);
    return true;
  }
}
