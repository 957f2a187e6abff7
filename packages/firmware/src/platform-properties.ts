import type { DeviceTreeNode } from './devicetree.js';
import type { PlatformPropertyValue } from './platform-description.js';
import { texts, word } from './properties.js';

/** They place and wire a node, and the description says the same in its own fields. */
const PLUMBING: ReadonlySet<string> = new Set([
  'compatible',
  'interrupt-names',
  'interrupt-parent',
  'interrupts',
  'interrupts-extended',
  'iommus',
  'linux,phandle',
  'phandle',
  'reg',
  'status',
]);

/** The node's properties by the looks of their values; those that place and wire it, and raw bytes, are left out. */
export function platformProperties(node: DeviceTreeNode): Record<string, PlatformPropertyValue> {
  const entries: [string, PlatformPropertyValue][] = [];
  for (const [name, value] of node.properties) {
    const decoded = PLUMBING.has(name) ? null : byLooks(value);
    if (decoded !== null) entries.push([name, decoded]);
  }
  return Object.fromEntries(entries); // makes an own property of `__proto__` too
}

function byLooks(value: Uint8Array): PlatformPropertyValue | null {
  if (value.length === 0) return true;
  const list = texts(value);
  if (list?.every((text) => text !== '')) return list.length === 1 ? list[0] : list;
  if (value.length % 4 !== 0) return null;
  const words: number[] = [];
  for (let i = 0; i < value.length / 4; i++) words.push(word(value, i));
  return words.length === 1 ? words[0] : words;
}
