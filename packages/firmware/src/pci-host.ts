import { AddressSpace } from './address-space.js';
import type { DeviceTreeNode } from './devicetree.js';
import type { AddressRange, PciWindow } from './platform-description.js';
import { exact, needed, propertyError, string, u32, u32s, word } from './properties.js';
import { cellsNumber, cellsOf, range } from './reg.js';

/** What a devicetree says about a PCI root complex. */
export interface PciHost {
  /** `linux,pci-domain`; null: the tree leaves the number open. */
  readonly segment: number | null;
  /** First and last bus, as far as the ECAM window reaches. */
  readonly busRange: readonly [number, number];
  /** The first entry of `reg`: configuration space, 1 MiB a bus. */
  readonly ecam: AddressRange;
  readonly windows: readonly PciWindow[];
}

const BUS_BYTES = 2 ** 20;
/** phys.hi bits 25:24 (PCI bus binding to IEEE 1275, 2.2.1.1). */
const SPACES = ['config', 'io', 'mem32', 'mem64'] as const;

/** Whether the node is a PCI root complex: a PCI bus that no PCI bus leads to. Throws EBADPROPERTY. */
export function isPciHost(node: DeviceTreeNode): boolean {
  return isPci(node) && node.parent !== null && !isPci(node.parent);
}

function isPci(node: DeviceTreeNode): boolean {
  return node.has('device_type') && string(node, 'device_type') === 'pci';
}

/**
 * Reads a root complex (pci-host-ecam-generic binding). `space` keeps what is known about the buses above it; one may
 * serve many calls. Throws ENOPROPERTY, EBADPROPERTY, ERANGE, ENOTSUP.
 */
export function pciHost(node: DeviceTreeNode, space = new AddressSpace()): PciHost {
  const [ecam] = space.regions(node);
  if (ecam === undefined)
    throw propertyError('ENOPROPERTY', node, 'reg', 'there is no configuration space', 'add the ECAM window');
  const [low, high] = busRange(node);
  const buses = Math.floor(ecam.bytes / BUS_BYTES);
  if (buses === 0) {
    throw propertyError(
      'EBADPROPERTY',
      node,
      'reg',
      `0x${ecam.bytes.toString(16)} bytes hold no bus`,
      'ECAM takes 1 MiB a bus',
    );
  }
  return {
    segment: segment(node),
    busRange: [low, Math.min(high, low + buses - 1)],
    ecam,
    windows: windows(node, space),
  };
}

function segment(node: DeviceTreeNode): number | null {
  if (!node.has('linux,pci-domain')) return null;
  const number = u32(node, 'linux,pci-domain');
  if (number <= 0xffff) return number;
  throw propertyError(
    'EBADPROPERTY',
    node,
    'linux,pci-domain',
    `segment 0x${number.toString(16)}`,
    'segments have 16 bits',
  );
}

function busRange(node: DeviceTreeNode): readonly [number, number] {
  if (!node.has('bus-range')) return [0, 255];
  const words = u32s(node, 'bus-range');
  const [low, high] = words;
  if (words.length === 2 && low <= high && high <= 255) return [low, high];
  throw propertyError(
    'EBADPROPERTY',
    node,
    'bus-range',
    `<${words.slice(0, 4).join(' ')}>`,
    'give the first and the last bus, at most 255',
  );
}

function windows(node: DeviceTreeNode, space: AddressSpace): PciWindow[] {
  if (node.parent === null || !node.has('ranges')) return [];
  const own = cellsOf(node);
  const above = cellsOf(node.parent);
  if (own.address !== 3) {
    throw propertyError('EBADPROPERTY', node, '#address-cells', `${own.address} cells`, 'a PCI address has 3 cells');
  }
  const value = needed(node, 'ranges');
  const stride = 3 + above.address + own.size;
  if (value.length % (stride * 4) !== 0) {
    throw propertyError(
      'EBADPROPERTY',
      node,
      'ranges',
      `${value.length} bytes are no list of ${stride}-cell windows`,
      'complete the last one',
    );
  }
  const list: PciWindow[] = [];
  for (let at = 0; at < value.length / 4; at += stride) {
    const flags = word(value, at);
    const pci = exact(node, 'ranges', word(value, at + 1), word(value, at + 2));
    const base = cellsNumber(node, 'ranges', value, at + 3, above.address);
    const bytes = cellsNumber(node, 'ranges', value, at + 3 + above.address, own.size);
    range(node, 'ranges', pci, bytes);
    const cpu = space.toCpu(node, node.parent, range(node, 'ranges', base, bytes)).base;
    list.push({ cpu, pci, bytes, space: SPACES[(flags >>> 24) & 3], prefetchable: (flags & 0x40000000) !== 0 });
  }
  return list;
}
