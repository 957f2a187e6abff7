import type { DeviceTreeNode } from './devicetree.js';
import type { AddressRange } from './platform-description.js';
import { exact, needed, propertyError, u32, word } from './properties.js';

/** How many 32-bit cells an address and a size take among a node's children (Devicetree Specification 2.3.5). */
export interface Cells {
  readonly address: number;
  readonly size: number;
}

/** The node's #address-cells and #size-cells; 2 and 1 when it does not say. Throws EBADPROPERTY above 4. */
export function cellsOf(bus: DeviceTreeNode): Cells {
  return { address: cells(bus, '#address-cells', 2), size: cells(bus, '#size-cells', 1) };
}

function cells(bus: DeviceTreeNode, property: string, fallback: number): number {
  const count = u32(bus, property, fallback);
  if (count <= 4) return count;
  throw propertyError('EBADPROPERTY', bus, property, `${count} cells`, 'addresses have 0 to 4 cells');
}

/**
 * The node's `reg` in the address space of its parent, honouring the parent's #address-cells and #size-cells; empty
 * when there is none. `bytes` is 0 where #size-cells is 0. Throws EBADPROPERTY, ERANGE, ENOTSUP (addresses of more
 * than 64 bits).
 */
export function reg(node: DeviceTreeNode): AddressRange[] {
  if (node.parent === null || !node.has('reg')) return [];
  const { address, size } = cellsOf(node.parent);
  const value = needed(node, 'reg');
  const stride = (address + size) * 4;
  if (stride === 0 || value.length % stride !== 0) {
    throw propertyError(
      'EBADPROPERTY',
      node,
      'reg',
      `${value.length} bytes are no list of ${address}-cell addresses with ${size}-cell sizes`,
      'make reg fit #address-cells and #size-cells of the parent',
    );
  }
  const ranges: AddressRange[] = [];
  for (let at = 0; at < value.length / 4; at += address + size) {
    const base = cellsNumber(node, 'reg', value, at, address);
    const bytes = cellsNumber(node, 'reg', value, at + address, size);
    ranges.push(range(node, 'reg', base, bytes));
  }
  return ranges;
}

/**
 * The number in `count` cells from word `at` on. Throws ERANGE above 2^53, ENOTSUP when there are more than two cells.
 */
export function cellsNumber(
  node: DeviceTreeNode,
  property: string,
  value: Uint8Array,
  at: number,
  count: number,
): number {
  if (count === 0) return 0;
  if (count === 1) return word(value, at);
  if (count === 2) return exact(node, property, word(value, at), word(value, at + 1));
  throw propertyError(
    'ENOTSUP',
    node,
    property,
    `a number of ${count} cells`,
    'numbers of one and two cells are read here',
  );
}

/** A range whose end is exact too. Throws ERANGE. */
export function range(node: DeviceTreeNode, property: string, base: number, bytes: number): AddressRange {
  if (base <= 2 ** 53 - bytes) return { base, bytes };
  throw propertyError(
    'ERANGE',
    node,
    property,
    `0x${base.toString(16)} + 0x${bytes.toString(16)} ends above 2^53`,
    'correct the base or the size',
  );
}
