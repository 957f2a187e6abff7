import type { DeviceTreeNode } from './devicetree.js';
import { propertyError, u32 } from './properties.js';

/**
 * Whether DMA of the node is coherent with the CPUs' caches: `dma-coherent` on it or on a bus above; `dma-noncoherent`
 * ends it.
 */
export function dmaCoherent(node: DeviceTreeNode): boolean {
  for (let at: DeviceTreeNode | null = node; at !== null; at = at.parent) {
    if (at.has('dma-coherent')) return true;
    if (at.has('dma-noncoherent')) return false;
  }
  return false;
}

/**
 * The width of the node's PASIDs in bits, 0 when it sends none. Throws EBADPROPERTY above 20, the widest PASID there
 * is.
 */
export function pasidBits(node: DeviceTreeNode): number {
  const bits = u32(node, 'pasid-num-bits', 0);
  if (bits <= 20) return bits;
  throw propertyError('EBADPROPERTY', node, 'pasid-num-bits', `${bits} bits`, 'a PASID has at most 20');
}

/** Whether the device tolerates stalled transactions (`dma-can-stall`; never for PCI: FEAT-5). */
export function canStall(node: DeviceTreeNode): boolean {
  return node.has('dma-can-stall');
}

/** Whether the root complex passes ATS traffic. */
export function atsSupported(bridge: DeviceTreeNode): boolean {
  return bridge.has('ats-supported');
}
