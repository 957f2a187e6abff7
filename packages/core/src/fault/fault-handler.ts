import type { PageRequest } from '../faults.js';
import type { FaultData } from './fault-data.js';

/** Takes a device's page requests: an IOPF queue. Its methods run in one step, with the device's fault lock held. */
export interface FaultHandler {
  /**
   * Takes one request over. `ticket` names the group that a last request closes, for {@link FaultReports.answer}.
   * @returns true if the caller's reference to `data` is the group's from now on (IOPF-18)
   * @throws IommuError ENOMEM, EINVAL when it refuses; nothing of the request's group is kept then (IOPF-8)
   */
  queueFault(data: FaultData, request: PageRequest, ticket: number): boolean;
  /** The last request of a group was refused before it came here: what was kept of the group goes (IOPF-8). */
  abandonGroup(data: FaultData, group: number): void;
}
