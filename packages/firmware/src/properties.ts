import type { DeviceTreeNode } from './devicetree.js';
import { FirmwareError, type FirmwareErrorCode } from './firmware-error.js';

/** An error about one property of a node: it names `path:property` and where its value lies. */
export function propertyError(
  code: FirmwareErrorCode,
  node: DeviceTreeNode,
  property: string,
  problem: string,
  remedy: string,
): FirmwareError {
  return new FirmwareError(code, `${node.path}:${property}`, node.offsetOf(property), problem, remedy);
}

/** The property's value; throws ENOPROPERTY when the node has none. */
export function needed(node: DeviceTreeNode, property: string): Uint8Array {
  const value = node.value(property);
  if (value !== null) return value;
  throw propertyError('ENOPROPERTY', node, property, 'the property is missing', 'add it to the node');
}

/** A 32-bit word of a value, big-endian; `index` counts words. */
export function word(value: Uint8Array, index: number): number {
  const at = index * 4;
  return ((value[at] << 24) | (value[at + 1] << 16) | (value[at + 2] << 8) | value[at + 3]) >>> 0;
}

/** A property of one 32-bit word; `fallback`, if given, when it is missing. Throws ENOPROPERTY, EBADPROPERTY. */
export function u32(node: DeviceTreeNode, property: string, fallback?: number): number {
  if (fallback !== undefined && !node.has(property)) return fallback;
  const value = needed(node, property);
  if (value.length === 4) return word(value, 0);
  throw propertyError(
    'EBADPROPERTY',
    node,
    property,
    `${value.length} bytes instead of one 32-bit word`,
    'give it one cell',
  );
}

/** A property of 32-bit words; an empty list for an empty property. Throws ENOPROPERTY, EBADPROPERTY. */
export function u32s(node: DeviceTreeNode, property: string): number[] {
  const value = needed(node, property);
  if (value.length % 4 !== 0) {
    throw propertyError(
      'EBADPROPERTY',
      node,
      property,
      `${value.length} bytes are no list of 32-bit words`,
      'give it whole cells',
    );
  }
  const words: number[] = [];
  for (let i = 0; i < value.length / 4; i++) words.push(word(value, i));
  return words;
}

/** A property of one 64-bit number, at most 2^53. Throws ENOPROPERTY, EBADPROPERTY, ERANGE. */
export function u64(node: DeviceTreeNode, property: string, fallback?: number): number {
  if (fallback !== undefined && !node.has(property)) return fallback;
  const value = needed(node, property);
  if (value.length !== 8) {
    throw propertyError(
      'EBADPROPERTY',
      node,
      property,
      `${value.length} bytes instead of one 64-bit number`,
      'give it two cells',
    );
  }
  return exact(node, property, word(value, 0), word(value, 1));
}

/** Two words as one number, or null above 2^53, where numbers stop being exact. */
export function join64(high: number, low: number): number | null {
  return high > 0x20_0000 || (high === 0x20_0000 && low > 0) ? null : high * 2 ** 32 + low;
}

/** Two words as one number; throws ERANGE above 2^53. */
export function exact(node: DeviceTreeNode, property: string, high: number, low: number): number {
  const number = join64(high, low);
  if (number !== null) return number;
  const text = `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
  throw propertyError('ERANGE', node, property, `${text} is above 2^53`, 'addresses and sizes up to 2^53 are read');
}

/** A property of NUL-terminated texts. Throws ENOPROPERTY, EBADPROPERTY. */
export function strings(node: DeviceTreeNode, property: string): string[] {
  const value = needed(node, property);
  const list = texts(value);
  if (list !== null) return list;
  throw propertyError(
    'EBADPROPERTY',
    node,
    property,
    'the value is no list of texts',
    'texts are ASCII, each ended by a NUL',
  );
}

/** A property of one text. Throws ENOPROPERTY, EBADPROPERTY. */
export function string(node: DeviceTreeNode, property: string, fallback?: string): string {
  if (fallback !== undefined && !node.has(property)) return fallback;
  const list = strings(node, property);
  if (list.length === 1) return list[0];
  throw propertyError('EBADPROPERTY', node, property, `${list.length} texts instead of one`, 'give it one text');
}

/** The texts of a value, or null when it is none: printable ASCII, tabs and line feeds, each text ended by a NUL. */
export function texts(value: Uint8Array): string[] | null {
  if (value.length > 0 && value[value.length - 1] !== 0) return null;
  const list: string[] = [];
  let text = '';
  for (const byte of value) {
    if (byte === 0) {
      list.push(text);
      text = '';
    } else if ((byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a) {
      text += String.fromCharCode(byte);
    } else {
      return null;
    }
  }
  return list;
}

/** What the node is compatible with, most specific first; empty when it does not say. Throws EBADPROPERTY. */
export function compatibles(node: DeviceTreeNode): string[] {
  return node.has('compatible') ? strings(node, 'compatible') : [];
}

/** Whether the node is compatible with `name`. Throws EBADPROPERTY when its list is damaged. */
export function compatible(node: DeviceTreeNode, name: string): boolean {
  return compatibles(node).includes(name);
}

/** Whether the node is in use: no `status`, or `okay`. Throws EBADPROPERTY. */
export function enabled(node: DeviceTreeNode): boolean {
  const status = string(node, 'status', 'okay');
  return status === 'okay' || status === 'ok';
}
