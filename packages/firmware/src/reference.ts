import type { DeviceTree, DeviceTreeNode } from './devicetree.js';
import { propertyError, u32, u32s } from './properties.js';

/** A reference of a property to another node, with the cells that follow it. */
export interface Reference {
  readonly node: DeviceTreeNode;
  readonly cells: readonly number[];
}

/** The node that a property's phandle names. Throws ENOPHANDLE. */
export function target(tree: DeviceTree, node: DeviceTreeNode, property: string, phandle: number): DeviceTreeNode {
  const found = tree.byPhandle(phandle);
  if (found !== null) return found;
  throw propertyError(
    'ENOPHANDLE',
    node,
    property,
    `no node has phandle 0x${phandle.toString(16)}`,
    'name a node that exists',
  );
}

/**
 * A list of phandles, each followed by as many cells as `cellsProperty` of the node it names says (`iommus` with
 * `#iommu-cells`, `interrupts-extended` with `#interrupt-cells`). Throws ENOPHANDLE, EBADPROPERTY.
 */
export function references(
  tree: DeviceTree,
  node: DeviceTreeNode,
  property: string,
  cellsProperty: string,
): Reference[] {
  const words = u32s(node, property);
  const list: Reference[] = [];
  for (let at = 0; at < words.length; ) {
    const named = target(tree, node, property, words[at]);
    const count = cellCount(node, property, named, cellsProperty);
    if (at + 1 + count > words.length) {
      throw propertyError(
        'EBADPROPERTY',
        node,
        property,
        `the last entry is shorter than the ${count} cells of ${named.path}`,
        'complete it',
      );
    }
    list.push({ node: named, cells: words.slice(at + 1, at + 1 + count) });
    at += 1 + count;
  }
  return list;
}

/** How many cells `named` wants behind a reference; throws ENOPHANDLE when it is no such node. */
export function cellCount(
  node: DeviceTreeNode,
  property: string,
  named: DeviceTreeNode,
  cellsProperty: string,
): number {
  if (named.has(cellsProperty)) return u32(named, cellsProperty);
  throw propertyError(
    'ENOPHANDLE',
    node,
    property,
    `${named.path} has no ${cellsProperty}`,
    'name a node of the right kind',
  );
}
