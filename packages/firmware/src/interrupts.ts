import type { DeviceTree, DeviceTreeNode } from './devicetree.js';
import type { InterruptType, PlatformInterrupt } from './platform-description.js';
import { propertyError, strings, u32, u32s } from './properties.js';
import { cellCount, references, target } from './reference.js';

/** The first of a GIC's cells (arm,gic-v3 binding). */
const GIC_TYPES: readonly InterruptType[] = ['spi', 'ppi', 'espi', 'eppi'];

/**
 * The node's wired interrupts, named by `interrupt-names` (arm,gic-v3 binding for controllers of three and more cells:
 * type, number, flags; with two cells: number, flags; with one: number). Empty when it has none. Throws EBADPROPERTY,
 * ENOPHANDLE, and ENOTSUP when the lines go through an interrupt map.
 */
export function interrupts(tree: DeviceTree, node: DeviceTreeNode): PlatformInterrupt[] {
  const names = node.has('interrupt-names') ? strings(node, 'interrupt-names') : [];
  // interrupts-extended takes precedence where a node has both (Devicetree Specification 2.4.1).
  if (node.has('interrupts-extended')) {
    const property = 'interrupts-extended';
    const list = references(tree, node, property, '#interrupt-cells');
    return list.map((entry, i) => decode(node, property, names[i] ?? '', entry.cells, 0, entry.cells.length));
  }
  if (!node.has('interrupts')) return [];
  const controller = interruptParent(tree, node);
  const stride = cellCount(node, 'interrupts', controller, '#interrupt-cells');
  if (!controller.has('interrupt-controller') && controller.has('interrupt-map')) {
    throw propertyError(
      'ENOTSUP',
      node,
      'interrupts',
      `${controller.path} routes them through an interrupt map`,
      'such interrupts are not read here',
    );
  }
  const words = u32s(node, 'interrupts');
  if (stride === 0 || words.length % stride !== 0) {
    throw propertyError(
      'EBADPROPERTY',
      node,
      'interrupts',
      `${words.length} cells are no list of ${stride}-cell interrupts of ${controller.path}`,
      'complete the last one',
    );
  }
  const list: PlatformInterrupt[] = [];
  for (let at = 0; at < words.length; at += stride) {
    list.push(decode(node, 'interrupts', names[at / stride] ?? '', words, at, stride));
  }
  return list;
}

/**
 * The node that the node's `interrupts` are wired to: its own or an ancestor's interrupt-parent, or an ancestor
 * itself.
 */
export function interruptParent(tree: DeviceTree, node: DeviceTreeNode): DeviceTreeNode {
  for (let at: DeviceTreeNode | null = node; at !== null; at = at.parent) {
    if (at !== node && at.has('#interrupt-cells')) return at;
    if (at.has('interrupt-parent')) return target(tree, at, 'interrupt-parent', u32(at, 'interrupt-parent'));
  }
  throw propertyError(
    'ENOPROPERTY',
    node,
    'interrupt-parent',
    'nothing says which controller its interrupts go to',
    'add interrupt-parent',
  );
}

function decode(
  node: DeviceTreeNode,
  property: string,
  name: string,
  words: readonly number[],
  at: number,
  count: number,
): PlatformInterrupt {
  if (count === 0 || count > 4) {
    throw propertyError(
      'ENOTSUP',
      node,
      property,
      `interrupts of ${count} cells`,
      'interrupts of one to four cells are read here',
    );
  }
  if (count === 1) return { name, type: 'line', number: words[at], trigger: 'level' };
  if (count === 2) return { name, type: 'line', number: words[at], trigger: trigger(node, property, words[at + 1]) };
  const type = GIC_TYPES[words[at]];
  if (type === undefined) {
    throw propertyError('EBADPROPERTY', node, property, `interrupt type ${words[at]}`, 'a GIC knows the types 0 to 3');
  }
  return { name, type, number: words[at + 1], trigger: trigger(node, property, words[at + 2]) };
}

/**
 * Bits 3:0 of the flags: 1 rising edge, 2 falling edge, 4 high level, 8 low level; 0 leaves the controller's default.
 */
function trigger(node: DeviceTreeNode, property: string, flags: number): 'edge' | 'level' {
  const edge = (flags & 3) !== 0;
  const level = (flags & 12) !== 0;
  if (edge && level) {
    throw propertyError(
      'EBADPROPERTY',
      node,
      property,
      `trigger flags 0x${flags.toString(16)} ask for edge and level`,
      'choose one',
    );
  }
  return edge ? 'edge' : 'level';
}
