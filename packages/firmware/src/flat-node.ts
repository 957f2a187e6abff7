import type { DeviceTreeNode } from './devicetree.js';

/** All properties of a tree as columns, in the order of the file; a node owns a run of rows. */
export interface PropertyTable {
  readonly bytes: Uint8Array;
  readonly names: string[];
  readonly offsets: number[];
  readonly lengths: number[];
}

const NO_CHILDREN: readonly FlatNode[] = Object.freeze([]);

/** A node as the parser makes it: a run of rows in the property table; views and maps are made when asked for. */
export class FlatNode implements DeviceTreeNode {
  children: readonly FlatNode[] = NO_CHILDREN;
  /** The node's rows in the table: [first, first + count). */
  readonly first: number;
  count = 0;
  protected pathText: string | null = null;
  protected map: ReadonlyMap<string, Uint8Array> | null = null;

  constructor(
    readonly name: string,
    readonly parent: FlatNode | null,
    readonly offset: number,
    readonly depth: number,
    protected readonly table: PropertyTable,
  ) {
    this.first = table.names.length;
  }

  get path(): string {
    this.pathText ??=
      this.parent === null ? '/' : this.parent.parent === null ? `/${this.name}` : `${this.parent.path}/${this.name}`;
    return this.pathText;
  }

  get properties(): ReadonlyMap<string, Uint8Array> {
    if (this.map === null) {
      const map = new Map<string, Uint8Array>();
      for (let row = this.first; row < this.first + this.count; row++) map.set(this.table.names[row], this.view(row));
      this.map = map;
    }
    return this.map;
  }

  has(property: string): boolean {
    return this.row(property) >= 0;
  }

  value(property: string): Uint8Array | null {
    const row = this.row(property);
    return row < 0 ? null : this.view(row);
  }

  offsetOf(property: string): number {
    const row = this.row(property);
    return row < 0 ? this.offset : this.table.offsets[row];
  }

  protected view(row: number): Uint8Array {
    const start = this.table.offsets[row];
    return this.table.bytes.subarray(start, start + this.table.lengths[row]);
  }

  protected row(property: string): number {
    if (this.count > 32) return this.rowOfMany(property);
    const { names } = this.table;
    const end = this.first + this.count;
    for (let row = this.first; row < end; row++) if (names[row] === property) return row;
    return -1;
  }

  protected rows: ReadonlyMap<string, number> | null = null;

  /** A node may have as many properties as the file has room for: looking one up must not scan them. */
  protected rowOfMany(property: string): number {
    if (this.rows === null) {
      const rows = new Map<string, number>();
      for (let row = this.first; row < this.first + this.count; row++) rows.set(this.table.names[row], row);
      this.rows = rows;
    }
    return this.rows.get(property) ?? -1;
  }
}
