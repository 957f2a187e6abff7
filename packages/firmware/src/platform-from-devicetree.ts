import { AddressSpace } from './address-space.js';
import type { DeviceTree, DeviceTreeNode } from './devicetree.js';
import { atsSupported, canStall, dmaCoherent, pasidBits } from './dma-traits.js';
import { FirmwareError } from './firmware-error.js';
import { interrupts } from './interrupts.js';
import { iommuMap, iommuMapMask, iommus } from './iommu-map.js';
import { isPciHost, pciHost } from './pci-host.js';
import type {
  AddressRange,
  PlatformDescription,
  PlatformDevice,
  PlatformIommu,
  PlatformNode,
  PlatformPciHost,
} from './platform-description.js';
import { platformProperties } from './platform-properties.js';
import { compatibles, enabled, propertyError, string } from './properties.js';
import { reg } from './reg.js';

/**
 * What a devicetree says about the machine, as plain data. An IOMMU is any node with `#iommu-cells`; a device is
 * listed when it has `iommus`; disabled nodes, and what is below them, are left out, as are references to disabled
 * IOMMUs. Throws `FirmwareError` and nothing else, for any tree that `parseDevicetree` returns.
 */
export function platformFromDevicetree(tree: DeviceTree): PlatformDescription {
  return new PlatformReader(tree).read();
}

/** A range that nothing else may touch. */
interface Claim extends AddressRange {
  readonly node: DeviceTreeNode;
}

class PlatformReader {
  protected readonly space = new AddressSpace();
  protected readonly claims: Claim[] = [];
  protected readonly found: { readonly node: DeviceTreeNode; readonly kind: PlatformNode['kind'] }[] = [];
  protected readonly iommuNodes = new Set<DeviceTreeNode>();

  constructor(protected readonly tree: DeviceTree) {}

  read(): PlatformDescription {
    const { root } = this.tree;
    const memory: AddressRange[] = [];
    const reserved: AddressRange[] = [...this.tree.reservations];
    let cpus = 0;
    for (const child of root.children) {
      if (!enabled(child)) continue;
      if (isOfType(child, 'memory')) memory.push(...this.claim(child, reg(child)));
      else if (child.name === 'cpus')
        cpus = child.children.filter((node) => isOfType(node, 'cpu') && enabled(node)).length;
      else if (child.name === 'reserved-memory') reserved.push(...this.reservedMemory(child));
      else this.classify(child);
    }
    const nodes = this.found.map(({ node, kind }) => this.describe(node, kind));
    this.checkClaims();
    return {
      source: 'devicetree',
      model: string(root, 'model', ''),
      cpus,
      memory: memory.sort((a, b) => a.base - b.base),
      reserved,
      nodes: this.numberSegments(nodes),
    };
  }

  /** Finds the nodes that are described, in the order of the tree. The depth is bounded by the parser. */
  protected classify(node: DeviceTreeNode): void {
    const kind = kindOf(node);
    // A gpio expander on a slow bus is an interrupt controller too, but no CPU address leads to it.
    if (kind !== null && (kind !== 'interrupt-controller' || isMapped(node))) this.found.push({ node, kind });
    if (kind === 'iommu') this.iommuNodes.add(node);
    for (const child of node.children) if (enabled(child)) this.classify(child);
  }

  protected describe(node: DeviceTreeNode, kind: PlatformNode['kind']): PlatformNode {
    switch (kind) {
      case 'iommu':
        return this.iommu(node);
      case 'pci-host':
        return this.pciHost(node);
      case 'device':
        return this.device(node);
      case 'interrupt-controller':
        return { kind, ...identity(node), regions: this.space.regions(node) };
      case 'msi-controller':
        return { kind, ...identity(node), ...this.window(node) };
    }
  }

  protected iommu(node: DeviceTreeNode): PlatformIommu {
    const { base, bytes } = this.window(node);
    this.claim(node, [{ base, bytes }]);
    return {
      kind: 'iommu',
      ...identity(node),
      base,
      bytes,
      interrupts: interrupts(this.tree, node),
      coherent: dmaCoherent(node),
      properties: platformProperties(node),
    };
  }

  /** The segment stays -1 where the tree leaves it open, until every root complex is known. */
  protected pciHost(node: DeviceTreeNode): PlatformPciHost {
    const host = pciHost(node, this.space);
    this.claim(node, [host.ecam]);
    return {
      kind: 'pci-host',
      ...identity(node),
      segment: host.segment ?? -1,
      busRange: host.busRange,
      ecam: host.ecam,
      windows: host.windows,
      iommuMap: iommuMap(this.tree, node)
        .filter((entry) => this.iommuNodes.has(entry.iommu))
        .map(({ ridBase, iommu, streamBase, length }) => ({ ridBase, iommu: iommu.path, streamBase, length })),
      iommuMapMask: iommuMapMask(node),
      atsSupported: atsSupported(node),
      coherent: dmaCoherent(node),
    };
  }

  protected device(node: DeviceTreeNode): PlatformDevice {
    const regions = this.space.regions(node);
    return {
      kind: 'device',
      ...identity(node),
      base: regions[0]?.base ?? 0,
      bytes: regions[0]?.bytes ?? 0,
      regions,
      interrupts: interrupts(this.tree, node),
      iommus: iommus(this.tree, node)
        .filter(({ iommu }) => this.iommuNodes.has(iommu))
        .map(({ iommu, streams }) => ({ iommu: iommu.path, streams })),
      pasidBits: pasidBits(node),
      canStall: canStall(node),
      coherent: dmaCoherent(node),
      properties: platformProperties(node),
    };
  }

  /** The node's first register window, which it must have. */
  protected window(node: DeviceTreeNode): AddressRange {
    const [first] = this.space.regions(node);
    if (first === undefined)
      throw propertyError('ENOPROPERTY', node, 'reg', 'the node has no register window', 'add reg');
    if (first.bytes === 0)
      throw propertyError('EBADPROPERTY', node, 'reg', 'the register window is empty', 'give it a size');
    return first;
  }

  protected reservedMemory(node: DeviceTreeNode): AddressRange[] {
    return node.children.filter(enabled).flatMap((child) => this.space.regions(child));
  }

  protected claim(node: DeviceTreeNode, ranges: readonly AddressRange[]): AddressRange[] {
    const solid = ranges.filter((range) => range.bytes > 0);
    for (const { base, bytes } of solid) this.claims.push({ base, bytes, node });
    return solid;
  }

  /** RAM, IOMMUs and configuration spaces must be apart from one another. */
  protected checkClaims(): void {
    const claims = this.claims.sort((a, b) => a.base - b.base);
    for (let i = 1; i < claims.length; i++) {
      const before = claims[i - 1];
      const { node, base } = claims[i];
      if (before.base + before.bytes <= base) continue;
      throw propertyError(
        'EOVERLAP',
        node,
        'reg',
        `0x${base.toString(16)} belongs to ${before.node.path} too`,
        'make the ranges disjoint',
      );
    }
  }

  /** Gives root complexes without a number the lowest free ones, and refuses two with the same buses in one segment. */
  protected numberSegments(nodes: readonly PlatformNode[]): PlatformNode[] {
    const hosts = nodes.filter((node): node is PlatformPciHost => node.kind === 'pci-host');
    const taken = new Set(hosts.map((host) => host.segment));
    let next = 0;
    const numbered = new Map<PlatformNode, PlatformPciHost>();
    for (const host of hosts) {
      if (host.segment >= 0) {
        numbered.set(host, host);
        continue;
      }
      while (taken.has(next)) next++;
      numbered.set(host, { ...host, segment: next++ });
    }
    const sorted = [...numbered.values()].sort((a, b) => a.segment - b.segment || a.busRange[0] - b.busRange[0]);
    for (let i = 1; i < sorted.length; i++) {
      const [before, host] = [sorted[i - 1], sorted[i]];
      if (before.segment !== host.segment || before.busRange[1] < host.busRange[0]) continue;
      const offset = this.tree.find(host.path)?.offset ?? null;
      const problem = `bus ${host.busRange[0]} of segment ${host.segment} belongs to ${before.path} too`;
      throw new FirmwareError('EDUPLICATE', host.path, offset, problem, 'give each root complex its linux,pci-domain');
    }
    return nodes.map((node) => numbered.get(node) ?? node);
  }
}

function kindOf(node: DeviceTreeNode): PlatformNode['kind'] | null {
  if (node.has('#iommu-cells')) return 'iommu';
  if (isPciHost(node)) return 'pci-host';
  if (node.has('iommus')) return 'device';
  if (node.has('interrupt-controller')) return 'interrupt-controller';
  if (node.has('msi-controller')) return 'msi-controller';
  return null;
}

function identity(node: DeviceTreeNode): { name: string; path: string; compatible: string[] } {
  return { name: node.name, path: node.path, compatible: compatibles(node) };
}

function isOfType(node: DeviceTreeNode, type: string): boolean {
  return node.has('device_type') && string(node, 'device_type') === type;
}

/** Whether every bus above the node is memory-mapped. */
function isMapped(node: DeviceTreeNode): boolean {
  for (let bus = node.parent; bus !== null && bus.parent !== null; bus = bus.parent)
    if (!bus.has('ranges')) return false;
  return true;
}
