import type { Device, PageRequest } from '@iommukit/core';

/** One page request on a queue. */
export interface IopfFault {
  readonly request: PageRequest;
}

/** A complete group: its requests in order of arrival, the last one inside the group itself (IOPF-3, IOPF-10). */
export interface IopfGroup {
  readonly device: Device;
  /** Requests before the last; each freed on its own. */
  readonly faults: IopfFault[];
  /** The request that closed the group: the answer is built from it (IOPF-6). */
  readonly last: PageRequest;
}

/** A device on a queue. */
export interface IopfDevice {
  readonly device: Device;
  /** Requests whose group is not complete, in order of arrival. */
  readonly partial: IopfFault[];
}
