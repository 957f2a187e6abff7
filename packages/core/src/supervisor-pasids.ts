import type { Coroutine } from '@iommukit/kernel';
import type { Device } from './device.js';
import type { IommuDriver } from './iommu-driver.js';
import type { Mm } from './mm/mm.js';

/** A device's use of the kernel's own addresses, as its driver holds it. */
export interface SupervisorHandle {
  readonly device: Device;
  /** The PASID to tag privileged requests with. */
  readonly pasid: number;
}

/**
 * What an IOMMU's driver has besides {@link IommuDriver} where devices may use the kernel's own addresses. Nobody tells an IOMMU
 * when kernel mappings change: devices use the static 1:1 map alone, and what they had there is flushed by who gave it (SVA-20).
 */
export interface SupervisorPasids {
  /**
   * Lets a device use the kernel's addresses: one handle a device, counted.
   * @throws IommuError EINVAL if a process is given, ENODEV with the reason, ENOSPC, EOVERFLOW, ENOMEM
   */
  bindSupervisor(device: Device, mm?: Mm | null): Coroutine<SupervisorHandle>;
  /** Drops one reference of the handle; the device has stopped using the PASID. */
  unbindSupervisor(handle: SupervisorHandle): Coroutine<void>;
  /** The kernel address of memory that somebody owns. @throws IommuError EFAULT for anything else, ENOMEM */
  mapSupervisor(pa: number, bytes: number): Coroutine<bigint>;
  /** A kernel address may go to a device. @throws IommuError EFAULT outside the 1:1 map, ENOMEM */
  useSupervisor(address: bigint, bytes: number): Coroutine<void>;
  /** The memory is not the devices' any more: when this returns nothing of these addresses is cached (as after a DMA unmap). */
  unmapSupervisor(address: bigint, bytes: number): Coroutine<void>;
  /** Takes memory that is mapped page by page, outside the 1:1 map. @throws IommuError ENOMEM */
  allocPieces(pages: number): Coroutine<bigint>;
  /** Unmaps and frees it; no IOMMU hears of it (TLB-6). @throws IommuError EINVAL for what is not mapped */
  freePieces(address: bigint, pages: number): Coroutine<void>;
}

/** The IOMMU's driver if it has supervisor PASIDs, else null. */
export function supervisorPasids(iommu: IommuDriver): SupervisorPasids | null {
  const driver = iommu as IommuDriver & Partial<SupervisorPasids>;
  return typeof driver.bindSupervisor === 'function' ? (driver as IommuDriver & SupervisorPasids) : null;
}
