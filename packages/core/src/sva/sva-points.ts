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

/** What an IOMMU driver tells of bonds and notifiers: `smmu_bind_alloc`, `vtd_bind_alloc` (sva-core.md 8). */
export interface SvaPoints {
  /** A new bond, its entry written. */
  readonly bindAlloc: TracePoint<BondRecord>;
  /** One more reference to a bond. */
  readonly bindGet: TracePoint<BondRecord>;
  /** One reference less, not the last. */
  readonly unbindPut: TracePoint<BondRecord>;
  /** The last reference of a bond was dropped. */
  readonly unbindFree: TracePoint<BondRecord>;
  /** A notifier that had no user has one. */
  readonly mnAlloc: TracePoint<PasidRecord>;
  /** One more user of a notifier. */
  readonly mnGet: TracePoint<PasidRecord>;
  /** One user less, not the last. */
  readonly mnPut: TracePoint<PasidRecord>;
  /** The last user of a notifier is gone. */
  readonly mnFree: TracePoint<PasidRecord>;
  /** The release callback did its work. */
  readonly mmRelease: TracePoint<ReleaseRecord>;
  /** The invalidate callback runs for [start, end). */
  readonly mmInvalidate: TracePoint<InvalidateRecord>;
}

/** A point that tells of a device and a PASID. */
export const bondPoint = (name: string): TracePoint<BondRecord> =>
  tracepoint(name, (r) => `dev=${r.dev} pasid=${r.pasid}`);

const pasidPoint = (name: string): TracePoint<PasidRecord> => tracepoint(name, (r) => `pasid=${r.pasid}`);

/** The points of the driver whose names begin with `prefix`. */
export function svaPoints(prefix: string): SvaPoints {
  return {
    bindAlloc: bondPoint(`${prefix}_bind_alloc`),
    bindGet: bondPoint(`${prefix}_bind_get`),
    unbindPut: bondPoint(`${prefix}_unbind_put`),
    unbindFree: bondPoint(`${prefix}_unbind_free`),
    mnAlloc: pasidPoint(`${prefix}_mn_alloc`),
    mnGet: pasidPoint(`${prefix}_mn_get`),
    mnPut: pasidPoint(`${prefix}_mn_put`),
    mnFree: pasidPoint(`${prefix}_mn_free`),
    mmRelease: tracepoint<ReleaseRecord>(`${prefix}_mm_release`, (r) => `pasid=${r.pasid}`),
    mmInvalidate: tracepoint<InvalidateRecord>(
      `${prefix}_mm_invalidate`,
      (r) => `pasid=${r.pasid} start=0x${r.start.toString(16)} end=0x${r.end.toString(16)}`,
    ),
  };
}
