import type { PlatformDescription, PlatformIommu, PlatformIommuMapping, PlatformPciHost } from '@iommukit/firmware';
import { IommuError } from '@iommukit/kernel';
import { parseBdf } from '@iommukit/pci-ats';
import { freeWindow } from './free-window.js';
import { iommusOf } from './platform.js';

/** Every bus has 256 requester ids. */
const BUS = 256;

/** An IOMMU beside those of a platform. */
export interface AddedUnit {
  /** The first part of its name in the description: `narrow` becomes `narrow@fed91000`. */
  readonly name: string;
  /** PCI functions that are behind it, and no longer behind another one: `0000:00:04.0`. */
  readonly behind: readonly string[];
}

/** A platform with one IOMMU more. */
export interface WithUnit {
  readonly platform: PlatformDescription;
  readonly unit: PlatformIommu;
}

/**
 * A platform with one IOMMU more: like its first one, with registers where nothing else is. The streams of the functions behind it
 * keep their numbers.
 * @throws IommuError ENODEV for a platform without IOMMU, ENOSPC without room for registers, EINVAL for what is no PCI function
 */
export function withUnit(platform: PlatformDescription, { name, behind }: AddedUnit): WithUnit {
  const [model] = iommusOf(platform);
  if (model === undefined) {
    throw new IommuError('ENODEV', `${name}: the platform has no IOMMU that it could be like`, {
      remedy: 'choose another platform',
    });
  }
  const base = freeWindow(platform, model.base + model.bytes, model.bytes);
  const full = `${name}@${base.toString(16)}`;
  const numbers = iommusOf(platform).flatMap(({ interrupts }) => interrupts.map(({ number }) => number));
  const next = Math.max(...numbers, -1) + 1;
  const interrupts = model.interrupts.map((line, i) => ({ ...line, number: next + i }));
  const unit: PlatformIommu = { ...model, name: full, path: `/${full}`, base, interrupts };
  const nodes = platform.nodes.map((node) => (node.kind === 'pci-host' ? reroute(node, unit, behind) : node));
  return { platform: { ...platform, nodes: [...nodes, unit] }, unit };
}

/** A root complex sends these functions' requests to another unit. */
function reroute(host: PlatformPciHost, unit: PlatformIommu, behind: readonly string[]): PlatformPciHost {
  const rids = behind.filter((at) => isBelow(host, at)).map(parseBdf);
  const iommuMap = rids.reduce((map, rid) => map.flatMap((entry) => split(entry, rid, unit)), host.iommuMap);
  return { ...host, iommuMap };
}

function isBelow({ segment, busRange }: PlatformPciHost, at: string): boolean {
  const bus = Math.floor(parseBdf(at) / BUS);
  return Number.parseInt(at, 16) === segment && bus >= busRange[0] && bus <= busRange[1];
}

/** A piece of a map without one requester id, and the piece for that. */
function split(entry: PlatformIommuMapping, rid: number, { path }: PlatformIommu): readonly PlatformIommuMapping[] {
  const { ridBase, streamBase, length } = entry;
  const at = rid - ridBase;
  if (at < 0 || at >= length) return [entry];
  const piece = (from: number, end: number, iommu: string): PlatformIommuMapping => ({
    ridBase: ridBase + from,
    iommu,
    streamBase: streamBase + from,
    length: end - from,
  });
  const pieces = [piece(0, at, entry.iommu), piece(at, at + 1, path), piece(at + 1, length, entry.iommu)];
  return pieces.filter((part) => part.length > 0);
}
