import type { Coroutine } from '@iommukit/kernel';
import type { Device } from '../device.js';
import type { PageRequest } from '../faults.js';

/** Takes a device's page requests: an IOPF queue. */
export interface FaultHandler {
  /**
   * Takes one request over. Once it has, it returns without a further preemption point, so that the report is recorded
   * before anybody can answer it.
   * @throws IommuError ENOMEM, EINVAL when it refuses; nothing of the request's group is kept then (IOPF-8)
   */
  queueFault(device: Device, request: PageRequest): Coroutine<void>;
  /** The last request of a group was refused before it came here: what was kept of the group goes (IOPF-8). */
  abandonGroup(device: Device, group: number): Coroutine<void>;
}
