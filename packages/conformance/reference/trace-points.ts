import { type TracePoint, tracepoint } from '@iommukit/kernel';

/** A device and the PASID that it uses. */
export interface BondRecord {
  readonly dev: string;
  readonly pasid: number;
}

const bond = (name: string): TracePoint<BondRecord> => tracepoint(name, (r) => `dev=${r.dev} pasid=${r.pasid}`);

/** A new bond: its device may use the PASID from here on. */
export const referenceBindAlloc = bond('reference_bind_alloc');
/** One more bind of a bond. */
export const referenceBindGet = bond('reference_bind_get');
/** One less, not the last. */
export const referenceUnbindPut = bond('reference_unbind_put');
/** The last bind of a bond is undone. */
export const referenceUnbindFree = bond('reference_unbind_free');

/** The process of a PASID died: told by each of its notifiers. */
export const referenceMmRelease = tracepoint<{ readonly pasid: number; readonly notifier: number }>(
  'reference_mm_release',
  (r) => `pasid=${r.pasid}`,
);

/** Bytes [start, end) of a process changed. */
export const referenceMmInvalidate = tracepoint<{
  readonly pasid: number;
  readonly start: bigint;
  readonly end: bigint;
}>('reference_mm_invalidate', (r) => `pasid=${r.pasid} start=0x${r.start.toString(16)} end=0x${r.end.toString(16)}`);
