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

const bond = (name: string): TracePoint<BondRecord> => tracepoint(name, (r) => `dev=${r.dev} pasid=${r.pasid}`);
const pasid = (name: string): TracePoint<PasidRecord> => tracepoint(name, (r) => `pasid=${r.pasid}`);

/** A new bond, its PASID entry written (sva-core.md 8). */
export const vtdBindAlloc = bond('vtd_bind_alloc');
/** One more reference to a bond. */
export const vtdBindGet = bond('vtd_bind_get');
/** One reference less, not the last. */
export const vtdUnbindPut = bond('vtd_unbind_put');
/** The last reference of a bond was dropped. */
export const vtdUnbindFree = bond('vtd_unbind_free');
/** A notifier for a new (unit, mm). */
export const vtdMnAlloc = pasid('vtd_mn_alloc');
/** One more device on a notifier's list. */
export const vtdMnGet = pasid('vtd_mn_get');
/** One device less, not the last. */
export const vtdMnPut = pasid('vtd_mn_put');
/** The last device of a notifier is gone. */
export const vtdMnFree = pasid('vtd_mn_free');
/** The release callback did its work. */
export const vtdMmRelease = tracepoint<ReleaseRecord>('vtd_mm_release', (r) => `pasid=${r.pasid}`);

const range = (name: string): TracePoint<InvalidateRecord> =>
  tracepoint(name, (r) => `pasid=${r.pasid} start=0x${r.start.toString(16)} end=0x${r.end.toString(16)}`);

/** The invalidate callback runs for [start, end). */
export const vtdMmInvalidate = range('vtd_mm_invalidate');
/** What a device used of the kernel's own addresses, [start, end), is flushed (SVA-20). */
export const vtdSupervisorFlush = range('vtd_supervisor_flush');

/** An entry that should be empty is neither present nor zero (VTD-21). */
export const vtdEntryLeft = bond('vtd_entry_left');
