import type { DeviceTree, DeviceTreeNode } from './devicetree.js';
import type { FlatNode } from './flat-node.js';
import type { AddressRange } from './platform-description.js';
import { string } from './properties.js';

/** The tree as the parser makes it. */
export class FlatDeviceTree implements DeviceTree {
  readonly root: FlatNode;
  protected aliasMap: ReadonlyMap<string, string> | null = null;

  constructor(
    readonly version: number,
    readonly bootCpu: number,
    readonly nodes: readonly FlatNode[],
    protected readonly phandles: ReadonlyMap<number, FlatNode>,
    readonly reservations: readonly AddressRange[],
  ) {
    this.root = nodes[0];
  }

  byPhandle(phandle: number): DeviceTreeNode | null {
    return this.phandles.get(phandle) ?? null;
  }

  aliases(): ReadonlyMap<string, string> {
    if (this.aliasMap === null) {
      const map = new Map<string, string>();
      const node = childNamed(this.root, 'aliases');
      // A node may carry a phandle; everything else in /aliases is text.
      for (const name of node?.properties.keys() ?? []) {
        if (node !== null && name !== 'phandle' && name !== 'linux,phandle') map.set(name, string(node, name));
      }
      this.aliasMap = map;
    }
    return this.aliasMap;
  }

  find(path: string): DeviceTreeNode | null {
    const steps = path.split('/').filter((step) => step !== '');
    let node: DeviceTreeNode | null = this.root;
    if (!path.startsWith('/')) {
      const target = this.aliases().get(steps.shift() ?? '');
      node = target?.startsWith('/') ? this.find(target) : null; // an alias of an alias is not legal
    }
    for (const step of steps) {
      if (node === null) return null;
      node = childNamed(node, step);
    }
    return node;
  }
}

function childNamed(node: DeviceTreeNode, name: string): DeviceTreeNode | null {
  let short: DeviceTreeNode | null = null;
  let shorts = 0;
  for (const child of node.children) {
    if (child.name === name) return child;
    if (child.name.startsWith(`${name}@`)) {
      short = child;
      shorts++;
    }
  }
  return shorts === 1 ? short : null;
}
