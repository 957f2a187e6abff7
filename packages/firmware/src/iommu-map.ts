import type { DeviceTree, DeviceTreeNode } from './devicetree.js';
import { propertyError, u32, u32s } from './properties.js';
import { cellCount, references, target } from './reference.js';

/** One entry of `iommu-map`: requester IDs [ridBase, ridBase + length) → streams from `streamBase` on at `iommu`. */
export interface IommuMapEntry {
  readonly ridBase: number;
  readonly iommu: DeviceTreeNode;
  readonly streamBase: number;
  readonly length: number;
}

/** One entry of `msi-map`: requester IDs → device ids from `idBase` on at an MSI controller. */
export interface MsiMapEntry {
  readonly ridBase: number;
  readonly controller: DeviceTreeNode;
  readonly idBase: number;
  readonly length: number;
}

interface MapEntry {
  readonly ridBase: number;
  readonly node: DeviceTreeNode;
  readonly outBase: number;
  readonly length: number;
}

/**
 * The bridge's `iommu-map`: four cells an entry (pci-iommu binding). Empty when it has none. Throws ENOPHANDLE when an
 * entry names no IOMMU, EOVERLAP when two entries hold one requester ID, EBADPROPERTY, ENOTSUP.
 */
export function iommuMap(tree: DeviceTree, bridge: DeviceTreeNode): IommuMapEntry[] {
  return ridMap(tree, bridge, 'iommu-map', '#iommu-cells', iommuMapMask(bridge)).map((entry) => ({
    ridBase: entry.ridBase,
    iommu: entry.node,
    streamBase: entry.outBase,
    length: entry.length,
  }));
}

/** A requester ID is ANDed with this before it is looked up in `iommu-map`; all ones when the bridge does not say. */
export function iommuMapMask(bridge: DeviceTreeNode): number {
  return u32(bridge, 'iommu-map-mask', 0xffffffff);
}

/** The bridge's `msi-map`, as `iommuMap` (pci-msi binding). Throws the same. */
export function msiMap(tree: DeviceTree, bridge: DeviceTreeNode): MsiMapEntry[] {
  const mask = u32(bridge, 'msi-map-mask', 0xffffffff);
  return ridMap(tree, bridge, 'msi-map', null, mask).map((entry) => ({
    ridBase: entry.ridBase,
    controller: entry.node,
    idBase: entry.outBase,
    length: entry.length,
  }));
}

/**
 * The IOMMU and stream number of a requester ID below `bridge`, or null when it goes past every IOMMU. Throws as
 * `iommuMap`.
 */
export function streamOf(
  tree: DeviceTree,
  bridge: DeviceTreeNode,
  rid: number,
): { iommu: DeviceTreeNode; stream: number } | null {
  const masked = (rid & iommuMapMask(bridge)) >>> 0;
  for (const { ridBase, iommu, streamBase, length } of iommuMap(tree, bridge)) {
    if (masked >= ridBase && masked < ridBase + length) return { iommu, stream: streamBase + (masked - ridBase) };
  }
  return null;
}

/** A platform device's `iommus`: per IOMMU the stream numbers in order. Throws ENOPHANDLE, EBADPROPERTY, ENOTSUP. */
export function iommus(tree: DeviceTree, node: DeviceTreeNode): { iommu: DeviceTreeNode; streams: number[] }[] {
  if (!node.has('iommus')) return [];
  const byIommu = new Map<DeviceTreeNode, number[]>();
  for (const { node: iommu, cells } of references(tree, node, 'iommus', '#iommu-cells')) {
    if (cells.length > 1) throw wide(node, 'iommus', iommu, cells.length);
    const streams = byIommu.get(iommu) ?? [];
    streams.push(...cells);
    byIommu.set(iommu, streams);
  }
  return Array.from(byIommu, ([iommu, streams]) => ({ iommu, streams }));
}

function ridMap(
  tree: DeviceTree,
  bridge: DeviceTreeNode,
  property: string,
  cellsProperty: string | null,
  mask: number,
): MapEntry[] {
  if (!bridge.has(property)) return [];
  const words = u32s(bridge, property);
  if (words.length % 4 !== 0) {
    throw propertyError(
      'EBADPROPERTY',
      bridge,
      property,
      `${words.length} cells are no list of four-cell entries`,
      'an entry is rid-base, phandle, base, length',
    );
  }
  const entries: MapEntry[] = [];
  for (let at = 0; at < words.length; at += 4) {
    const [ridBase, phandle, outBase, length] = words.slice(at, at + 4);
    const node = target(tree, bridge, property, phandle);
    if (cellsProperty !== null) {
      const count = cellCount(bridge, property, node, cellsProperty);
      if (count !== 1) throw wide(bridge, property, node, count);
    }
    const place = `entry ${at / 4}`;
    if (length === 0) throw propertyError('EBADPROPERTY', bridge, property, `${place} is empty`, 'give it a length');
    if (ridBase + length > 2 ** 32 || outBase + length > 2 ** 32) {
      throw propertyError(
        'EBADPROPERTY',
        bridge,
        property,
        `${place} runs past 2^32`,
        'correct its base or its length',
      );
    }
    if ((ridBase & ~mask) !== 0) {
      throw propertyError(
        'EBADPROPERTY',
        bridge,
        property,
        `${place} starts at an ID that the mask 0x${mask.toString(16)} hides`,
        'correct the entry or the mask',
      );
    }
    entries.push({ ridBase, node, outBase, length });
  }
  const sorted = [...entries].sort((a, b) => a.ridBase - b.ridBase);
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i - 1].ridBase + sorted[i - 1].length <= sorted[i].ridBase) continue;
    throw propertyError(
      'EOVERLAP',
      bridge,
      property,
      `two entries hold the requester ID 0x${sorted[i].ridBase.toString(16)}`,
      'make the entries disjoint',
    );
  }
  return entries;
}

function wide(node: DeviceTreeNode, property: string, iommu: DeviceTreeNode, count: number) {
  return propertyError(
    'ENOTSUP',
    node,
    property,
    `${iommu.path} identifies a stream by ${count} cells`,
    'streams of one cell are read here',
  );
}
