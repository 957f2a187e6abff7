import type { Coroutine } from '@iommukit/kernel';
import type { Device } from './device.js';
import type { PageResponse } from './faults.js';
import type { Mm } from './mm/mm.js';

/** What a device can be enabled for; IOPF first where the device relies on it (FEAT-1). */
export type Feature = 'iopf' | 'sva';

/** A bond as its owner holds it: one handle per (device, mm), counted (SVA-3). */
export interface SvaHandle {
  readonly device: Device;
  readonly mm: Mm;
  /** The PASID to tag requests with. */
  readonly pasid: number;
}

/** An IOMMU's driver, to the rest of the kernel. */
export interface IommuDriver {
  /** Resets the hardware and makes it ready. */
  start(): Coroutine<void>;
  /**
   * Takes a device under this IOMMU. @throws IommuError ERANGE for a StreamID out of range, EINVAL for one that is
   * taken
   */
  probeDevice(device: Device): Coroutine<void>;
  /** Lets go of a device. @throws IommuError EBUSY while features are enabled */
  releaseDevice(device: Device): Coroutine<void>;
  /**
   * @throws IommuError ENODEV when the hardware lacks it (with the reason), EINVAL for SVA before IOPF, EBUSY when
   * enabled already
   */
  enable(device: Device, feature: Feature): Coroutine<void>;
  /** @throws IommuError EINVAL when not enabled, EBUSY while bonds exist or SVA relies on it */
  disable(device: Device, feature: Feature): Coroutine<void>;
  /**
   * Lets the device use the process's page tables. The caller holds mm_users for the call (SVA-1).
   * @throws IommuError ENODEV (feature off), ENOSPC (no PASID), EOVERFLOW (the mm's PASID does not fit), EINVAL (mm
   * dying), ESRCH, ENOMEM
   */
  bind(device: Device, mm: Mm): Coroutine<SvaHandle>;
  /** Drops one reference of the handle; the device has stopped using the PASID (SVA-12). */
  unbind(handle: SvaHandle): Coroutine<void>;
  /** Sends a group's answer to the device. */
  respond(device: Device, response: PageResponse): Coroutine<void>;
}
