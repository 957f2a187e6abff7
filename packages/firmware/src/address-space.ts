import type { DeviceTreeNode } from './devicetree.js';
import { FirmwareError } from './firmware-error.js';
import type { AddressRange } from './platform-description.js';
import { needed, propertyError } from './properties.js';
import { cellsNumber, cellsOf, range, reg } from './reg.js';

interface BusWindow {
  readonly child: number;
  readonly parent: number;
  readonly bytes: number;
}

/** One to one: the bus has an empty `ranges`. */
const IDENTITY = 'identity';

/**
 * Translates addresses of nested buses to CPU addresses through every `ranges` on the way up (Devicetree Specification
 * 2.3.8). Keeps each bus's windows sorted, so that a hostile tree cannot make it search for long.
 */
export class AddressSpace {
  protected readonly buses = new Map<DeviceTreeNode, readonly BusWindow[] | typeof IDENTITY>();

  /**
   * The node's `reg` as CPU addresses. Throws what `reg` throws, and ENOTSUP when a bus on the way is not
   * memory-mapped.
   */
  regions(node: DeviceTreeNode): AddressRange[] {
    const own = reg(node);
    if (own.length === 0 || node.parent === null || node.parent.parent === null) return own;
    return own.map((region) => this.toCpu(node, node.parent, region));
  }

  /** A range in the address space of `bus`'s children as CPU addresses; `node` is whom an error names. */
  toCpu(node: DeviceTreeNode, bus: DeviceTreeNode | null, region: AddressRange): AddressRange {
    let { base } = region;
    for (let at = bus; at !== null && at.parent !== null; at = at.parent) {
      const windows = this.windows(at);
      if (windows === IDENTITY) continue;
      const window = lastStartingAt(windows, base);
      if (window === null || base + region.bytes > window.child + window.bytes) {
        throw new FirmwareError(
          'EBADPROPERTY',
          `${at.path}:ranges`,
          at.offsetOf('ranges'),
          `no window holds 0x${base.toString(16)} + 0x${region.bytes.toString(16)} of ${node.path}`,
          'add a window that holds all of it',
        );
      }
      base = window.parent + (base - window.child);
    }
    return { base, bytes: region.bytes };
  }

  protected windows(bus: DeviceTreeNode): readonly BusWindow[] | typeof IDENTITY {
    let windows = this.buses.get(bus);
    if (windows === undefined) {
      windows = readWindows(bus);
      this.buses.set(bus, windows);
    }
    return windows;
  }
}

function readWindows(bus: DeviceTreeNode): readonly BusWindow[] | typeof IDENTITY {
  if (!bus.has('ranges')) {
    throw propertyError(
      'ENOTSUP',
      bus,
      'ranges',
      'the bus is not memory-mapped: it has no ranges',
      'nodes below it cannot have CPU addresses',
    );
  }
  const value = needed(bus, 'ranges');
  if (value.length === 0 || bus.parent === null) return IDENTITY;
  const own = cellsOf(bus);
  const above = cellsOf(bus.parent);
  const stride = own.address + above.address + own.size;
  if (value.length % (stride * 4) !== 0) {
    throw propertyError(
      'EBADPROPERTY',
      bus,
      'ranges',
      `${value.length} bytes are no list of ${stride}-cell windows`,
      'make ranges fit #address-cells and #size-cells',
    );
  }
  const windows: BusWindow[] = [];
  for (let at = 0; at < value.length / 4; at += stride) {
    const child = cellsNumber(bus, 'ranges', value, at, own.address);
    const parent = cellsNumber(bus, 'ranges', value, at + own.address, above.address);
    const bytes = cellsNumber(bus, 'ranges', value, at + own.address + above.address, own.size);
    range(bus, 'ranges', child, bytes);
    range(bus, 'ranges', parent, bytes);
    windows.push({ child, parent, bytes });
  }
  windows.sort((a, b) => a.child - b.child);
  for (let i = 1; i < windows.length; i++) {
    if (windows[i - 1].child + windows[i - 1].bytes <= windows[i].child) continue;
    throw propertyError(
      'EOVERLAP',
      bus,
      'ranges',
      `two windows hold 0x${windows[i].child.toString(16)}`,
      'make the windows disjoint',
    );
  }
  return windows;
}

/** The window with the largest start that is not above `address`. */
function lastStartingAt(windows: readonly BusWindow[], address: number): BusWindow | null {
  let low = 0;
  let high = windows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (windows[middle].child <= address) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? null : windows[low - 1];
}
