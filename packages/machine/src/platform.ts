import type { CpuFeatures } from '@iommukit/core';
import type { PlatformDescription, PlatformDevice, PlatformIommu, PlatformPciHost } from '@iommukit/firmware';
import type { Setting } from '@iommukit/kernel';

/** A device that the overlay plugs in: a PCI function, or a device on the platform bus. */
export interface EndpointDescription {
  /** `0000:00:03.0`; on the platform bus name and address of the registers, `accelerator@a000000`. */
  readonly at: string;
  /** The name of its hardware module. */
  readonly model: string;
  readonly capabilities: Readonly<Record<string, Setting>>;
  /** StreamIDs of a platform device; a PCI function has those of its root complex. */
  readonly streams?: readonly number[];
  /** The IOMMU that a platform device's streams are of, by its name; needed where the platform has several. */
  readonly iommu?: string;
  /** Width in bits of the PASIDs that a platform device sends (`pasid-num-bits`). */
  readonly pasidBits?: number;
  /** A platform device's transactions may be stalled (`dma-can-stall`). */
  readonly stall?: boolean;
  /** A PCI function that firmware says is outside: it gets no ATS. */
  readonly untrusted?: boolean;
}

/** True for a device on the platform bus. */
export function isOnPlatformBus({ at }: EndpointDescription): boolean {
  return at.includes('@');
}

/** What firmware does not say: what things can do, and what is plugged in. */
export interface PlatformOverlay {
  /** Overrides the root complexes' `ats-supported`; undefined leaves them as they are. */
  readonly atsSupported?: boolean;
  readonly endpoints: readonly EndpointDescription[];
  /** Capabilities of every IOMMU model; what is absent has the model's default. */
  readonly iommu: Readonly<Record<string, Setting>>;
  /** Capabilities of single IOMMUs, by their names in the description; above those of {@link iommu}. */
  readonly iommus?: Readonly<Record<string, Readonly<Record<string, Setting>>>>;
  /** What the CPUs can do; what is absent has core's default. */
  readonly cpu?: Partial<CpuFeatures>;
}

/** The IOMMUs of a description. */
export function iommusOf(platform: PlatformDescription): readonly PlatformIommu[] {
  return platform.nodes.filter((node) => node.kind === 'iommu');
}

/** The PCI root complexes of a description. */
export function pciHostsOf(platform: PlatformDescription): readonly PlatformPciHost[] {
  return platform.nodes.filter((node) => node.kind === 'pci-host');
}

/** The devices behind IOMMUs on the platform bus of a description. */
export function platformDevicesOf(platform: PlatformDescription): readonly PlatformDevice[] {
  return platform.nodes.filter((node) => node.kind === 'device');
}
