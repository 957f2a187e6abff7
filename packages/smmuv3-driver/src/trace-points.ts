import { svaPoints } from '@iommukit/core';
import { tracepoint } from '@iommukit/kernel';

/** A queue that overflowed: `PRIQ`, `EVTQ`. */
export interface OverflowRecord {
  readonly smmu: string;
  readonly queue: string;
}

/** What bind, unbind and callbacks tell: `smmu_bind_alloc`, `smmu_mm_release` … (sva-core.md 8). */
export const smmuSva = svaPoints('smmu');

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
