import type { Mutex } from '@iommukit/kernel';
import type { Device } from '../device.js';
import type { PageRequest } from '../faults.js';
import type { IommuDriver } from '../iommu-driver.js';
import type { FaultHandler } from './fault-handler.js';

/** A page request whose group is not complete, or one of a group that is. */
export interface PartialFault {
  readonly request: PageRequest;
}

/** Where a device's requests go, and its answers. */
export interface FaultRoute {
  readonly device: Device;
  /** Sends the answers. */
  readonly driver: IommuDriver;
  /** Takes the requests: the device's fault queue. */
  readonly handler: FaultHandler;
  /** The innermost of the fault locks: incomplete groups, and who may answer (IOPF-21). */
  readonly lock: Mutex;
}

/** What the kernel keeps of a device whose page faults are handled: one while it is on a fault queue. */
export interface FaultData {
  readonly route: FaultRoute;
  /** The queue's reference, one for each report under way, and one for each group that is being handled (IOPF-18). */
  users: number;
  /** False from the removal on: nothing is accepted any more. */
  attached: boolean;
  /** Requests whose group is not complete, in order of arrival (IOPF-2). */
  readonly partial: PartialFault[];
}

/** One group that waits for its answer. */
export interface PendingGroup {
  readonly data: FaultData;
  /** The request that closed it: what the answer must match (IOPF-6, IOPF-7). */
  readonly request: PageRequest;
  /** Tells groups apart that use the same index one after the other. */
  readonly ticket: number;
}
