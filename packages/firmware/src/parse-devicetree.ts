import type { DeviceTree } from './devicetree.js';
import { type FdtHeader, readHeader } from './fdt-header.js';
import { FirmwareError } from './firmware-error.js';
import { FlatDeviceTree } from './flat-device-tree.js';
import { FlatNode, type PropertyTable } from './flat-node.js';
import type { AddressRange } from './platform-description.js';
import { join64 } from './properties.js';

const BEGIN_NODE = 1;
const END_NODE = 2;
const PROP = 3;
const NOP = 4;
const END = 9;

/** Nodes are nested at most this deep (the root is 0); real trees reach about 10. */
export const MAX_DEPTH = 64;
/** A name has at most this many characters; the specification allows 31. */
export const MAX_NAME = 255;

/**
 * Reads a flattened devicetree, version 16 or 17 (Devicetree Specification, chapter 5). Throws `FirmwareError` and
 * nothing else, whatever the bytes are; time and memory stay proportional to their number. Bytes behind the tree's own
 * size are ignored. The tree's values are views: do not write to `bytes` while the tree is in use.
 */
export function parseDevicetree(bytes: Uint8Array): DeviceTree {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = readHeader(bytes, view);
  const reservations = readReservations(view, header);
  return new StructureReader(bytes, view, header).read(reservations);
}

/** The memory reservation block: pairs of 64-bit numbers, ended by a pair of zeros (5.3). */
function readReservations(view: DataView, header: FdtHeader): AddressRange[] {
  const ranges: AddressRange[] = [];
  for (let at = header.reservations; at + 16 <= header.totalSize; at += 16) {
    const base = join64(view.getUint32(at), view.getUint32(at + 4));
    const bytes = join64(view.getUint32(at + 8), view.getUint32(at + 12));
    if (base === 0 && bytes === 0) return ranges;
    if (base === null || bytes === null || base > 2 ** 53 - bytes) {
      throw new FirmwareError(
        'ERANGE',
        'memory reservations',
        at,
        `entry ${ranges.length} ends behind 2^53`,
        'no machine has such addresses',
      );
    }
    ranges.push({ base, bytes });
  }
  throw new FirmwareError(
    'EBADHEADER',
    'memory reservations',
    header.reservations,
    'the block is not ended by a pair of zeros',
    'the file is damaged: take it from its source again',
  );
}

/** One pass over the structure block (5.4). */
class StructureReader {
  protected readonly table: PropertyTable;
  protected readonly nodes: FlatNode[] = [];
  protected readonly phandles = new Map<number, FlatNode>();
  /** Offset in the strings block → name: names are shared, and each is decoded once. */
  protected readonly names = new Map<number, string>();

  constructor(
    protected readonly bytes: Uint8Array,
    protected readonly view: DataView,
    protected readonly header: FdtHeader,
  ) {
    this.table = { bytes, names: [], offsets: [], lengths: [] };
  }

  read(reservations: readonly AddressRange[]): DeviceTree {
    const { view, header, nodes } = this;
    const end = header.structEnd;
    let at = header.struct;
    let node: FlatNode | null = null;
    let siblings: FlatNode[][] = [];
    for (;;) {
      if (at + 4 > end) throw this.damaged(at, node, 'the structure block ends without FDT_END');
      const token = view.getUint32(at);
      if (token === PROP) {
        if (node === null) throw this.damaged(at, node, 'a property stands outside of every node');
        if (siblings[node.depth + 1] !== undefined && siblings[node.depth + 1].length > 0) {
          throw this.damaged(at, node, 'a property follows a child node');
        }
        at = this.property(at, node);
      } else if (token === BEGIN_NODE) {
        const nameEnd = this.endOfName(at + 4, end, node);
        const depth: number = node === null ? 0 : node.depth + 1;
        if (depth > MAX_DEPTH) {
          throw new FirmwareError(
            'EDEPTH',
            this.pathOf(node),
            at,
            `more than ${MAX_DEPTH} nodes are nested`,
            'no machine is described like this',
          );
        }
        const name = this.text(at + 4, nameEnd, node);
        if (node === null && nodes.length > 0) throw this.damaged(at, node, 'there is a second root node');
        if (node === null ? name !== '' : name === '') {
          throw this.badName(at + 4, node, node === null ? 'the root node has a name' : 'a node has no name');
        }
        node = new FlatNode(name, node, at, depth, this.table);
        nodes.push(node);
        if (siblings[depth] === undefined) siblings[depth] = [];
        siblings[depth].push(node);
        at = (nameEnd + 4) & ~3; // past the NUL, to the next word
      } else if (token === END_NODE) {
        if (node === null) throw this.damaged(at, node, 'FDT_END_NODE without a node');
        this.checkProperties(node);
        const children: FlatNode[] | undefined = siblings[node.depth + 1];
        if (children !== undefined && children.length > 0) {
          this.checkNames(node, children);
          node.children = children;
          siblings[node.depth + 1] = [];
        }
        node = node.parent;
        at += 4;
      } else if (token === NOP) {
        at += 4;
      } else if (token === END) {
        if (node !== null) throw this.damaged(at, node, 'FDT_END inside a node');
        if (nodes.length === 0) throw this.damaged(at, node, 'there is no root node');
        siblings = [];
        return new FlatDeviceTree(header.version, header.bootCpu, nodes, this.phandles, reservations);
      } else {
        throw this.damaged(at, node, `0x${token.toString(16)} is no token`);
      }
    }
  }

  /** FDT_PROP: length, offset of the name, value. Returns where the next token stands. */
  protected property(at: number, node: FlatNode): number {
    const { view, header, table } = this;
    const value = at + 12;
    if (value > header.structEnd) throw this.damaged(at, node, 'a property is cut off');
    const length = view.getUint32(at + 4);
    if (length > header.structEnd - value) {
      throw this.damaged(at + 4, node, `a property of ${length} bytes leaves the structure block`);
    }
    const nameOffset = view.getUint32(at + 8);
    const name = this.names.get(nameOffset) ?? this.propertyName(nameOffset, at + 8, node);
    table.names.push(name);
    table.offsets.push(value);
    table.lengths.push(length);
    node.count++;
    if (name === 'phandle' || name === 'linux,phandle') this.phandle(value, length, name, node);
    return value + length + (-length & 3);
  }

  protected phandle(value: number, length: number, name: string, node: FlatNode): void {
    const where = `${node.path}:${name}`;
    const phandle = length === 4 ? this.view.getUint32(value) : 0;
    if (phandle === 0 || phandle === 0xffffffff) {
      throw new FirmwareError(
        'EBADPROPERTY',
        where,
        value,
        'a phandle is one word, neither 0 nor 0xffffffff',
        'give the node a legal phandle',
      );
    }
    const other = this.phandles.get(phandle);
    if (other !== undefined && other !== node) {
      throw new FirmwareError(
        'EDUPLICATE',
        where,
        value,
        `${other.path} has phandle 0x${phandle.toString(16)} too`,
        'make phandles unique',
      );
    }
    this.phandles.set(phandle, node);
  }

  /** The names of properties are NUL-terminated in the strings block and may share tails. */
  protected propertyName(nameOffset: number, at: number, node: FlatNode): string {
    const start = this.header.strings + nameOffset;
    if (start >= this.header.stringsEnd) {
      throw this.damaged(at, node, `a property's name lies ${nameOffset} bytes into the strings block, behind its end`);
    }
    const name = this.text(start, this.endOfName(start, this.header.stringsEnd, node), node);
    if (name === '') throw this.badName(at, node, 'a property has no name');
    this.names.set(nameOffset, name);
    return name;
  }

  /** Where the name's NUL stands. */
  protected endOfName(start: number, limit: number, node: FlatNode | null): number {
    const stop = Math.min(limit, start + MAX_NAME + 1);
    let at = start;
    while (at < stop && this.bytes[at] !== 0) at++;
    if (at < stop) return at;
    throw this.badName(start, node, at < limit ? `a name has more than ${MAX_NAME} characters` : 'a name does not end');
  }

  protected text(start: number, end: number, node: FlatNode | null): string {
    let text = '';
    for (let at = start; at < end; at++) {
      const byte = this.bytes[at];
      if (byte <= 0x20 || byte >= 0x7f || byte === 0x2f)
        throw this.badName(at, node, `a name contains the byte 0x${byte.toString(16)}`);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  protected checkProperties(node: FlatNode): void {
    const { first, count } = node;
    const { names, offsets } = this.table;
    if (count <= 16) {
      for (let i = first + 1; i < first + count; i++) {
        for (let j = first; j < i; j++)
          if (names[i] === names[j]) throw this.duplicate(node, names[i], offsets[i], 'property');
      }
      return;
    }
    const seen = new Set<string>();
    for (let i = first; i < first + count; i++) {
      if (seen.has(names[i])) throw this.duplicate(node, names[i], offsets[i], 'property');
      seen.add(names[i]);
    }
  }

  protected checkNames(parent: FlatNode, children: readonly FlatNode[]): void {
    if (children.length < 2) return;
    const seen = new Set<string>();
    for (const child of children) {
      if (seen.has(child.name)) throw this.duplicate(parent, child.name, child.offset, 'child');
      seen.add(child.name);
    }
  }

  protected duplicate(node: FlatNode, name: string, at: number, what: string): FirmwareError {
    return new FirmwareError('EDUPLICATE', node.path, at, `the ${what} ${name} is there twice`, 'keep one of them');
  }

  protected damaged(at: number, node: FlatNode | null, problem: string): FirmwareError {
    return new FirmwareError(
      'EBADSTRUCT',
      this.pathOf(node),
      at,
      problem,
      'the file is damaged: take it from its source again',
    );
  }

  protected badName(at: number, node: FlatNode | null, problem: string): FirmwareError {
    return new FirmwareError(
      'EBADNAME',
      this.pathOf(node),
      at,
      problem,
      `names are 1 to ${MAX_NAME} printable ASCII characters without '/'`,
    );
  }

  /** The place of an error: the innermost open node. */
  protected pathOf(node: FlatNode | null): string {
    return node === null ? 'structure block' : node.path;
  }
}
