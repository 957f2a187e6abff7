import { bondPoint, type InvalidateRecord, svaPoints } from '@iommukit/core';
import { tracepoint } from '@iommukit/kernel';

/** What bind, unbind and callbacks tell: `vtd_bind_alloc`, `vtd_mm_release` … (sva-core.md 8). */
export const vtdSva = svaPoints('vtd');

/** What a device used of the kernel's own addresses, [start, end), is flushed (SVA-20). */
export const vtdSupervisorFlush = tracepoint<InvalidateRecord>(
  'vtd_supervisor_flush',
  (r) => `pasid=${r.pasid} start=0x${r.start.toString(16)} end=0x${r.end.toString(16)}`,
);

/** An entry that should be empty is neither present nor zero (VTD-21). */
export const vtdEntryLeft = bondPoint('vtd_entry_left');
