import type { AddressRange, PlatformDescription, PlatformIommu, PlatformPciHost } from '@iommukit/firmware';
import { IommuError, type MemoryRegion, type Setting } from '@iommukit/kernel';

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

const CHUNK = 2 * 1024 * 1024;

/** RAM that may be handed out: the description's, less what firmware keeps, in whole 2 MiB blocks. */
export function usableMemory(platform: PlatformDescription): readonly MemoryRegion[] {
  const regions = platform.memory.flatMap((range) => without(range, platform.reserved)).flatMap(inChunks);
  if (regions.length > 0) return regions;
  throw new IommuError('ENODEV', `the platform '${platform.model}' has no usable RAM`, {
    remedy: 'describe at least 2 MiB of memory, aligned to 2 MiB',
  });
}

function without(range: AddressRange, reserved: readonly AddressRange[]): readonly AddressRange[] {
  let parts = [range];
  for (const hole of reserved) {
    parts = parts.flatMap((part) => {
      const end = part.base + part.bytes;
      const holeEnd = hole.base + hole.bytes;
      if (hole.base >= end || holeEnd <= part.base) return [part];
      const low = { base: part.base, bytes: hole.base - part.base };
      const high = { base: holeEnd, bytes: end - holeEnd };
      return [low, high].filter((piece) => piece.bytes > 0);
    });
  }
  return parts;
}

function inChunks({ base, bytes }: AddressRange): readonly MemoryRegion[] {
  const first = Math.ceil(base / CHUNK) * CHUNK;
  const end = Math.floor((base + bytes) / CHUNK) * CHUNK;
  return end > first ? [{ base: first, bytes: end - first }] : [];
}

/** The IOMMUs of a description. */
export function iommusOf(platform: PlatformDescription): readonly PlatformIommu[] {
  return platform.nodes.filter((node) => node.kind === 'iommu');
}

/** The PCI root complexes of a description. */
export function pciHostsOf(platform: PlatformDescription): readonly PlatformPciHost[] {
  return platform.nodes.filter((node) => node.kind === 'pci-host');
}
