import { EVERY_PAGE, type PageSpan } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { coveringRange } from '@iommukit/pci-ats';
import {
  CONTEXT_GRANULARITY,
  ContextCacheInv256,
  DeviceTlbInv256,
  encodeDeviceTlbRange,
  FULL_ORDER,
  IOTLB_GRANULARITY,
  IotlbInv256,
  PASID_CACHE_GRANULARITY,
  PASID_IOTLB_GRANULARITY,
  PasidCacheInv,
  PasidDeviceTlbInv,
  PasidIotlbInv,
} from '@iommukit/vtd-spec';
import type { DescriptorBatch } from './descriptor-batch.js';
import type { Master } from './records.js';
import type { Vtd } from './vtd.js';

/** 2^`order` pages of 4 KiB around the byte address `base`: what one descriptor covers. */
export interface Span {
  readonly base: number;
  readonly order: number;
}

/** Fields of a type 2 descriptor. */
interface IotlbValues {
  readonly g: number;
  readonly did?: number;
  readonly am?: number;
  readonly ih?: number;
  readonly addr?: number;
}

const ONE_PASID = PasidCacheInv.make({ g: PASID_CACHE_GRANULARITY.PASID });
const EVERY_PASID = PasidCacheInv.make({ g: PASID_CACHE_GRANULARITY.GLOBAL });
const PASID_TRANSLATIONS = PasidIotlbInv.make({ g: PASID_IOTLB_GRANULARITY.PASID });
const PASID_PAGES = PasidIotlbInv.make({ g: PASID_IOTLB_GRANULARITY.PAGE });
const PASID_DEVICE = PasidDeviceTlbInv.make();
const DEVICE = DeviceTlbInv256.make();
const ONE_CONTEXT = ContextCacheInv256.make({ g: CONTEXT_GRANULARITY.DEVICE });
const EVERY_CONTEXT = ContextCacheInv256.make({ g: CONTEXT_GRANULARITY.GLOBAL });

/** What the hardware and the devices have to forget. The methods that return coroutines are through when they have. */
export class Invalidation {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  // ── structures ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** The context entry of a requester; in scalable mode hardware does not look at `did`. */
  context(did: number, sid: number): Coroutine<void> {
    const batch = this.vtd.queue.batch();
    const at = batch.add(ONE_CONTEXT);
    ContextCacheInv256.f.did.set(batch.words, did, at);
    ContextCacheInv256.f.sid.set(batch.words, sid, at);
    return this.vtd.queue.submitAndSync(batch);
  }

  everyContext(): Coroutine<void> {
    return this.one(EVERY_CONTEXT);
  }

  /** The PASID entry of a PASID, of whatever device. */
  pasid(did: number, pasid: number): Coroutine<void> {
    const batch = this.vtd.queue.batch();
    const at = batch.add(ONE_PASID);
    PasidCacheInv.f.did.set(batch.words, did, at);
    PasidCacheInv.f.pasid.set(batch.words, pasid, at);
    return this.vtd.queue.submitAndSync(batch);
  }

  everyPasid(): Coroutine<void> {
    return this.one(EVERY_PASID);
  }

  // ── translations of PASIDs: first stage ────────────────────────────────────────────────────────────────────────

  /** Every translation of a PASID. */
  pasidTranslations(did: number, pasid: number): Coroutine<void> {
    const batch = this.vtd.queue.batch();
    this.addPasid(batch, did, pasid);
    return this.vtd.queue.submitAndSync(batch);
  }

  addPasid(batch: DescriptorBatch, did: number, pasid: number): void {
    const at = batch.add(PASID_TRANSLATIONS);
    PasidIotlbInv.f.did.set(batch.words, did, at);
    PasidIotlbInv.f.pasid.set(batch.words, pasid, at);
  }

  /**
   * Some pages of a PASID. Neither CAP.PSI nor CAP.MAMV is asked: pages of the first stage can always be selected (VTD-22).
   * Leaf and tables alike: IH is 0 (VTD-27).
   */
  addPasidPages(batch: DescriptorBatch, did: number, pasid: number, range: PageSpan): void {
    const { base, order } = this.spanOf(range);
    if (order >= FULL_ORDER) return this.addPasid(batch, did, pasid);
    const at = batch.add(PASID_PAGES);
    PasidIotlbInv.f.did.set(batch.words, did, at);
    PasidIotlbInv.f.pasid.set(batch.words, pasid, at);
    PasidIotlbInv.f.am.set(batch.words, order, at);
    PasidIotlbInv.f.addr.set(batch.words, base, at);
  }

  /** The smallest aligned power of two that covers a range (vtd.md 3.12 c), in 64 bits (VTD-24). */
  spanOf({ first, last }: PageSpan): Span {
    const { page, order } = coveringRange(first, last);
    return { base: page * 4096, order };
  }

  // ── translations of domains: second stage ──────────────────────────────────────────────────────────────────────

  everyTranslation(): Coroutine<void> {
    return this.iotlb({ g: IOTLB_GRANULARITY.GLOBAL });
  }

  /** Every translation of a domain. */
  domain(did: number): Coroutine<void> {
    return this.iotlb({ g: IOTLB_GRANULARITY.DOMAIN, did });
  }

  addDomain(batch: DescriptorBatch, did: number): void {
    batch.add(this.iotlbWords({ g: IOTLB_GRANULARITY.DOMAIN, did }));
  }

  /** Some pages of a domain: all of it where the unit cannot select so many (VTD-22). */
  domainPages(did: number, range: PageSpan, leaf = false): Coroutine<void> {
    const { psi, mamv } = this.vtd.features;
    const { base, order } = this.spanOf(range);
    if (!psi || order > mamv) return this.domain(did);
    return this.iotlb({ g: IOTLB_GRANULARITY.PAGE, did, am: order, ih: leaf ? 1 : 0, addr: base });
  }

  iotlb(values: IotlbValues): Coroutine<void> {
    return this.one(this.iotlbWords(values));
  }

  iotlbWords(values: IotlbValues): Uint32Array {
    const { dwd, drd } = this.vtd.features;
    return IotlbInv256.make({ ...values, dw: dwd ? 1 : 0, dr: drd ? 1 : 0 });
  }

  // ── device TLBs ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Everything that a device caches of a PASID; 0 stands for its requests without one (VTD-18). */
  *devicePasid(master: Master, pasid: number): Coroutine<void> {
    const { queue } = this.vtd;
    const batch = queue.batch();
    yield* this.addDevicePages(batch, master, pasid, EVERY_PAGE);
    if (batch.count === 0) queue.giveBack(batch);
    else yield* queue.submitAndSync(batch);
  }

  /** Everything that a device caches without PASID. */
  device(master: Master): Coroutine<void> {
    return this.devicePasid(master, 0);
  }

  /** Nothing goes to a device without ATS, or one that was pulled out (vtd.md 3.13). */
  reaches({ ats, gone }: Master): boolean {
    return ats && !gone;
  }

  /** What a device caches of some pages of a PASID; 0 stands for its requests without one. After the IOTLB (VTD-23). */
  *addDevicePages(batch: DescriptorBatch, master: Master, pasid: number, range: PageSpan): Coroutine<void> {
    if (!this.reaches(master)) return;
    const { addr, s } = this.deviceSpan(this.spanOf(range));
    // VTD-26: some devices miss one.
    for (let times = master.twice ? 2 : 1; times > 0; times--) {
      yield* this.addDeviceSpan(batch, master, pasid, addr, s);
    }
  }

  *addDeviceSpan(batch: DescriptorBatch, master: Master, pasid: number, addr: number, s: number): Coroutine<void> {
    for (const sid of master.device.streams) {
      if (batch.full) yield* this.vtd.queue.flush(batch);
      if (pasid === 0) this.addDevice(batch, sid, master.depth, addr, s);
      else this.addPasidDevice(batch, sid, pasid, master.depth, addr, s);
    }
  }

  /** ADDR and S that stand for 2^order pages (TLB-3, vtd.md 3.12 b). */
  deviceSpan({ base, order }: Span): { readonly addr: number; readonly s: number } {
    return encodeDeviceTlbRange(base, order);
  }

  addPasidDevice(batch: DescriptorBatch, sid: number, pasid: number, mip: number, addr: number, s: number): void {
    const f = PasidDeviceTlbInv.f;
    const at = batch.add(PASID_DEVICE);
    f.mip.set(batch.words, mip, at);
    f.sid.set(batch.words, sid, at);
    f.pasid.set(batch.words, pasid, at);
    f.addr.set(batch.words, addr, at);
    f.s.set(batch.words, s, at);
  }

  addDevice(batch: DescriptorBatch, sid: number, mip: number, addr: number, s: number): void {
    const f = DeviceTlbInv256.f;
    const at = batch.add(DEVICE);
    f.mip.set(batch.words, mip, at);
    f.sid.set(batch.words, sid, at);
    f.addr.set(batch.words, addr, at);
    f.s.set(batch.words, s, at);
  }

  /** One descriptor by itself. */
  one(descriptor: Uint32Array): Coroutine<void> {
    const batch = this.vtd.queue.batch();
    batch.add(descriptor);
    return this.vtd.queue.submitAndSync(batch);
  }
}
