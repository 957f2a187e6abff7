import type { FaultData, PageRequest, PartialFault } from '@iommukit/core';

/** One page request on a queue. */
export type IopfFault = PartialFault;

/** A complete group: its requests in order of arrival, the last one inside the group itself (IOPF-3, IOPF-10). */
export interface IopfGroup {
  /** The device's fault data; the group holds a reference (IOPF-18). */
  readonly data: FaultData;
  /** Requests before the last; each freed on its own. */
  readonly faults: IopfFault[];
  /** The request that closed the group: the answer is built from it (IOPF-6). */
  readonly last: PageRequest;
  /** Names the group, whoever uses its index later. */
  readonly ticket: number;
}
