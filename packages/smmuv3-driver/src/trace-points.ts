import { type TracePoint, tracepoint } from '@iommukit/kernel';

/** A device and the PASID it uses. */
export interface BondRecord {
  readonly dev: string;
  readonly pasid: number;
}

/** A PASID whose address space has something to tell. */
export interface PasidRecord {
  readonly pasid: number;
}

/** An address space that dies, and which of its notifiers tells (not printed: a PASID may have several). */
export interface ReleaseRecord extends PasidRecord {
  readonly notifier: number;
}

/** An invalidated range, half-open. */
export interface InvalidateRecord {
  readonly pasid: number;
  readonly start: bigint;
  readonly end: bigint;
}

/** A queue that overflowed: `PRIQ`, `EVTQ`. */
export interface OverflowRecord {
  readonly smmu: string;
  readonly queue: string;
}

const bond = (name: string): TracePoint<BondRecord> => tracepoint(name, (r) => `dev=${r.dev} pasid=${r.pasid}`);
const pasid = (name: string): TracePoint<PasidRecord> => tracepoint(name, (r) => `pasid=${r.pasid}`);

/** A new bond, its context descriptor written (sva-core.md 8). */
export const smmuBindAlloc = bond('smmu_bind_alloc');
/** One more reference to a bond. */
export const smmuBindGet = bond('smmu_bind_get');
/** One reference less, not the last. */
export const smmuUnbindPut = bond('smmu_unbind_put');
/** The last reference of a bond was dropped. */
export const smmuUnbindFree = bond('smmu_unbind_free');
/** A notifier object for a new (domain, mm). */
export const smmuMnAlloc = pasid('smmu_mn_alloc');
/** One more user of a notifier object. */
export const smmuMnGet = pasid('smmu_mn_get');
/** One user less, not the last. */
export const smmuMnPut = pasid('smmu_mn_put');
/** The last user of a notifier object is gone. */
export const smmuMnFree = pasid('smmu_mn_free');
/** The release callback did its work. */
export const smmuMmRelease = tracepoint<ReleaseRecord>('smmu_mm_release', (r) => `pasid=${r.pasid}`);

/** The invalidate callback runs for [start, end). */
export const smmuMmInvalidate = tracepoint<InvalidateRecord>(
  'smmu_mm_invalidate',
  (r) => `pasid=${r.pasid} start=0x${r.start.toString(16)} end=0x${r.end.toString(16)}`,
);

/** Records were lost. */
export const smmuOverflow = tracepoint<OverflowRecord>(
  'smmu_overflow',
  (r) => `${r.smmu}: ${r.queue} overflow detected -- ${r.queue === 'PRIQ' ? 'requests' : 'events'} lost`,
);

/** A context of the SMMU's own moved to another ASID: a process has its old one on the CPUs (TLB-7). */
export const smmuAsidSeize = tracepoint<{ readonly smmu: string; readonly asid: number; readonly moved: number }>(
  'smmu_asid_seize',
  (r) => `${r.smmu}: asid=${r.asid} moved=${r.moved}`,
);
