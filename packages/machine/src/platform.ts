import type { PlatformDescription, PlatformIommu, PlatformPciHost } from '@iommukit/firmware';
import type { Setting } from '@iommukit/kernel';

/** A PCI function that the overlay plugs in. */
export interface EndpointDescription {
  /** `0000:00:03.0`. */
  readonly at: string;
  /** The name of its hardware module. */
  readonly model: string;
  readonly capabilities: Readonly<Record<string, Setting>>;
}

/** What firmware does not say: what things can do, and what is plugged in. */
export interface PlatformOverlay {
  /** Overrides the root complexes' `ats-supported`; undefined leaves them as they are. */
  readonly atsSupported?: boolean;
  readonly endpoints: readonly EndpointDescription[];
  /** Capabilities of every IOMMU model; what is absent has the model's default. */
  readonly iommu: Readonly<Record<string, Setting>>;
}

/** The IOMMUs of a description. */
export function iommusOf(platform: PlatformDescription): readonly PlatformIommu[] {
  return platform.nodes.filter((node) => node.kind === 'iommu');
}

/** The PCI root complexes of a description. */
export function pciHostsOf(platform: PlatformDescription): readonly PlatformPciHost[] {
  return platform.nodes.filter((node) => node.kind === 'pci-host');
}
