import type { OutputField } from './output-field.js';

/** The levels that any format here has; arrays by level have level -1 first. */
export const LEVELS = [-1, 0, 1, 2, 3] as const;

/** The level of every format's last tables. */
export const LAST_LEVEL = 3;

/** What a format's declarations say about a tree of tables. */
export interface Shape {
  readonly name: string;
  /** log2 of the page. */
  readonly pageShift: number;
  /** Index bits that a full table resolves. */
  readonly bitsPerLevel: number;
  readonly addressBits: number;
  /** Bits of the addresses that user space has. */
  readonly userBits: number;
  readonly outputBits: number;
  readonly rootLevel: number;
  /** Entries of the top-level table. */
  readonly rootEntries: number;
  /** Where a leaf's address stands, by level from -1 on; null where no leaf may be. */
  readonly outputs: readonly (OutputField | null)[];
  /** Where a table's address stands. */
  readonly next: OutputField;
  /** Entries of a contiguous group, by level from -1 on; 0: none. */
  readonly groups: readonly number[];
}

/** A tree of tables with equally many entries each but the top one: the part of a format that is arithmetic. */
export class RadixFormat {
  readonly name: string;
  readonly pageShift: number;
  readonly pageOrder: number;
  readonly pageFrames: number;
  readonly addressBits: number;
  readonly pageEnd: number;
  readonly outputBits: number;
  readonly rootLevel: number;
  readonly leafLevel: number = LAST_LEVEL;
  readonly tableOrder: number;
  readonly rootOrder: number;
  /** Entries of a full table. */
  readonly entries: number;
  /** By level + 1, as the arrays below: pages that an entry covers. */
  readonly spans: readonly number[];
  readonly outputs: readonly (OutputField | null)[];
  readonly groups: readonly number[];
  readonly orders: readonly (readonly number[])[];
  readonly next: OutputField;

  constructor(shape: Shape) {
    const { pageShift, bitsPerLevel } = shape;
    this.name = shape.name;
    this.pageShift = pageShift;
    this.pageOrder = pageShift - 12;
    this.pageFrames = 2 ** this.pageOrder;
    this.addressBits = shape.addressBits;
    this.pageEnd = 2 ** (shape.userBits - 12);
    this.outputBits = shape.outputBits;
    this.rootLevel = shape.rootLevel;
    this.tableOrder = this.pageOrder;
    this.rootOrder = Math.max(0, Math.ceil(Math.log2((shape.rootEntries * 8) / 4096)));
    this.entries = 2 ** bitsPerLevel;
    this.spans = LEVELS.map((level) => 2 ** (this.pageOrder + bitsPerLevel * (LAST_LEVEL - level)));
    this.outputs = shape.outputs;
    this.groups = shape.groups;
    this.next = shape.next;
    this.orders = LEVELS.map((level) => this.ordersAt(level));
  }

  ordersAt(level: number): readonly number[] {
    if (this.outputs[level + 1] === null) return [];
    const order = Math.log2(this.span(level));
    const group = this.groupEntries(level);
    return group === 0 ? [order] : [order, order + Math.log2(group)];
  }

  span(level: number): number {
    return this.spans[level + 1]!;
  }

  leafOrders(level: number): readonly number[] {
    return this.orders[level + 1]!;
  }

  groupEntries(level: number): number {
    return this.groups[level + 1]!;
  }

  offset(page: number, level: number): number {
    return (Math.floor(page / this.spans[level + 1]!) % this.entries) * 8;
  }

  tableOf(entry: Uint32Array): number {
    return this.next.get(entry);
  }

  frameOf(entry: Uint32Array, level = LAST_LEVEL): number {
    return this.outputs[level + 1]!.get(entry);
  }
}
