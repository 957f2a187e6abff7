/** What an entry of a table is. */
export const ENTRY = { ABSENT: 0, TABLE: 1, LEAF: 2 } as const;

/** One of {@link ENTRY}. */
export type EntryKind = 0 | 1 | 2;

/**
 * How page tables are written: one granule and address width of one architecture. Entries are 64-bit words [lo, hi]; a
 * page is address / 4096, a frame physical address / 4096; levels count as the architecture counts them.
 */
export interface AddressSpaceFormat {
  readonly name: string;
  /** log2 of the page size in bytes. */
  readonly pageShift: number;
  /** Width of a virtual address in bits. */
  readonly addressBits: number;
  /** Level of the top-level table. */
  readonly rootLevel: number;
  /** Level of the tables that hold pages. */
  readonly leafLevel: number;
  /** log2 of the 4 KiB frames that a table takes. */
  readonly tableOrder: number;
  /** Pages that one entry of a level covers. */
  span(level: number): number;
  /** Byte offset, in a table of this level, of the entry for `page`. */
  offset(page: number, level: number): number;
  /** Writes an entry that points to the table at `frame`. */
  encodeTable(frame: number, out: Uint32Array): void;
  /** Writes an entry for a page at `frame` with PERM bits; `device`: registers, not memory. */
  encodeLeaf(frame: number, perm: number, device: boolean, out: Uint32Array): void;
  kindOf(entry: Uint32Array, level: number): EntryKind;
  /** The frame that an entry names. */
  frameOf(entry: Uint32Array): number;
  /** The PERM bits that a leaf gives to user accesses. */
  permOf(entry: Uint32Array): number;
  /** True if a leaf maps registers. */
  isDevice(entry: Uint32Array): boolean;
}
