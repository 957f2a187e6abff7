import type { AddressRange } from './platform-description.js';

/** A parsed devicetree: immutable, values are views into the bytes it was parsed from. */
export interface DeviceTree {
  /** The format's version in the header: 16 or 17. */
  readonly version: number;
  /** The physical id (`reg` in /cpus) of the CPU that boots. */
  readonly bootCpu: number;
  readonly root: DeviceTreeNode;
  /** Every node in the order of the file, the root first. */
  readonly nodes: readonly DeviceTreeNode[];
  /** The memory reservation block. */
  readonly reservations: readonly AddressRange[];
  /**
   * The node with that path, or null. A path that starts without '/' starts with an alias. A unit address may be left
   * out where one sibling only has that name.
   */
  find(path: string): DeviceTreeNode | null;
  /** The node with that phandle, or null. */
  byPhandle(phandle: number): DeviceTreeNode | null;
  /** The properties of /aliases: alias → path. Read at the first use; throws EBADPROPERTY when one is not a string. */
  aliases(): ReadonlyMap<string, string>;
}

/** A node of a devicetree. */
export interface DeviceTreeNode {
  /** With its unit address: `pcie@10000000`; '' for the root. */
  readonly name: string;
  /** From the root: `/soc/pcie@10000000`; `/` for the root. */
  readonly path: string;
  readonly parent: DeviceTreeNode | null;
  readonly children: readonly DeviceTreeNode[];
  /** Name → value, in the order of the file; the values are views. */
  readonly properties: ReadonlyMap<string, Uint8Array>;
  /** Where the node begins: byte offset in the file. */
  readonly offset: number;
  /** Whether the node has that property, an empty one too. */
  has(property: string): boolean;
  /** The property's value as a view, or null when the node has none of that name. */
  value(property: string): Uint8Array | null;
  /** Where the property's value begins: byte offset in the file; the node's own offset when there is none. */
  offsetOf(property: string): number;
}
