import type { Coroutine } from '@iommukit/kernel';
import type { Device } from './device.js';
import type { PageRequest, PageResponse } from './faults.js';
import type { Mm } from './mm/mm.js';

/** What a device can be enabled for; IOPF first where the device relies on it (FEAT-1). */
export type Feature = 'iopf' | 'sva';

/** A bond as its owner holds it: one handle per (device, mm), counted (SVA-3). */
export interface SvaHandle {
  readonly device: Device;
  readonly mm: Mm;
  /** The PASID to tag requests with; {@link NO_PASID} (0) of a bond for requests without one. */
  readonly pasid: number;
}

/** What a bond is for. */
export interface BindOptions {
  /**
   * True: the device's requests without PASID reach the address space; what it asks for must be there, for nobody handles
   * these faults. False (the default): its requests with the PASID of the handle.
   */
  readonly withoutPasid?: boolean;
}

/**
 * A classic DMA domain: addresses of its own for the requests without PASID of the devices that are attached to it. Its
 * devices also share their PASIDs' entries (SVA-4).
 */
export interface DmaDomain {
  /** For people: `domain 1`. */
  readonly name: string;
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
   * dying), ESRCH, ENOMEM; for requests without PASID, which need no feature: ENODEV with the reason when the hardware
   * cannot, EBUSY while they go to a DMA domain or to another address space
   */
  bind(device: Device, mm: Mm, options?: BindOptions): Coroutine<SvaHandle>;
  /** Drops one reference of the handle; the device has stopped using the PASID (SVA-12). */
  unbind(handle: SvaHandle): Coroutine<void>;
  /** Sends a group's answer to the device. */
  respond(device: Device, response: PageResponse): Coroutine<void>;
  /**
   * Forgets the translation of one page before a request for it is answered SUCCESS: asked for with `upgrade` =
   * `flush-before-response` (MN-14).
   */
  flushPage?(device: Device, request: PageRequest): Coroutine<void>;
  /**
   * A DMA domain without mappings and without devices, of a kind that suits `device` (its PASID width, whether it
   * stalls). @throws IommuError ENOMEM, ENOSPC when no tag for its translations is left
   */
  allocDomain(device: Device): Coroutine<DmaDomain>;
  /** Frees a domain with everything that is mapped. @throws IommuError EBUSY while devices are attached */
  freeDomain(domain: DmaDomain): Coroutine<void>;
  /**
   * Sends the device's requests without PASID through the domain, out of whatever domain it was in.
   * @throws IommuError EBUSY while SVA is on (FEAT-6), EINVAL when the domain does not suit the device (FEAT-7)
   */
  attach(device: Device, domain: DmaDomain): Coroutine<void>;
  /** Back to the default: requests without PASID are terminated. @throws IommuError EBUSY while SVA is on (FEAT-6) */
  detach(device: Device): Coroutine<void>;
  /**
   * Maps IOVAs [iova, iova + bytes) to physical addresses from `pa` on with PERM bits; all of it, or nothing.
   * @throws IommuError EINVAL for what is not whole pages, or too high; EEXIST where something is mapped; ENOMEM
   */
  map(domain: DmaDomain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void>;
  /**
   * Unmaps [iova, iova + bytes): when this returns, no device reaches what was mapped (SMMU-19). Holes are no error.
   * @throws IommuError EINVAL for what is not whole pages or would split a block, ENOMEM
   */
  unmap(domain: DmaDomain, iova: bigint, bytes: number): Coroutine<void>;
  /** The physical address that an IOVA stands for, or null. */
  iovaToPhys(domain: DmaDomain, iova: bigint): number | null;
}
