/** What an entry of a table is. */
export const ENTRY = { ABSENT: 0, TABLE: 1, LEAF: 2 } as const;

/** One of {@link ENTRY}. */
export type EntryKind = 0 | 1 | 2;

/** What a leaf is besides its frame and rights. 0: it was used, and is dirty if it may be written, else clean. */
export const LEAF = {
  /** Not written to. Where it may be, the first write marks it dirty, by hardware or by a fault (PF-5e). */
  CLEAN: 1,
  /** Written to, though it may be read-only by now. */
  DIRTY: 2,
  /** Not accessed yet. */
  OLD: 4,
  /** One of a contiguous group, all of whose members say so. */
  CONTIGUOUS: 8,
} as const;

/**
 * How page tables are written: one granule and address width of one architecture. Entries are 64-bit words [lo, hi]. A
 * page number is address / 4096 and a frame number physical address / 4096, whatever the format's own page size is.
 * Levels count up from the root; the last one is {@link leafLevel}.
 */
export interface AddressSpaceFormat {
  readonly name: string;
  /** log2 of the page size in bytes. */
  readonly pageShift: number;
  /** log2 of the 4 KiB frames that a page takes: the order to allocate. */
  readonly pageOrder: number;
  /** The 4 KiB frames that a page takes. */
  readonly pageFrames: number;
  /** Width of a virtual address in bits. */
  readonly addressBits: number;
  /** The first page number above what user addresses have. */
  readonly pageEnd: number;
  /** True: CPUs that walk such tables mark entries as used and dirty by themselves, all of them. Absent: it depends. */
  readonly markedByCpus?: boolean;
  /** Width of a physical address in bits, at most. */
  readonly outputBits: number;
  /** Level of the top-level table. */
  readonly rootLevel: number;
  /** Level of the tables that hold pages. */
  readonly leafLevel: number;
  /** log2 of the 4 KiB frames that a table takes. */
  readonly tableOrder: number;
  /** log2 of the 4 KiB frames that the top-level table takes. */
  readonly rootOrder: number;
  /** Pages (of 4 KiB) that one entry of a level covers. */
  span(level: number): number;
  /**
   * log2 of the 4 KiB frames that a leaf of a level can map, ascending: one entry, then a contiguous group. Empty where
   * no leaf may stand.
   */
  leafOrders(level: number): readonly number[];
  /** Entries of a contiguous group at a level; 0: there are none. */
  groupEntries(level: number): number;
  /** Byte offset, in a table of this level, of the entry for `page`. */
  offset(page: number, level: number): number;
  kindOf(entry: Uint32Array, level: number): EntryKind;

  /** Writes an entry that points to the table at `frame`. */
  encodeTable(frame: number, out: Uint32Array): void;
  /** The frame of the table that an entry points to. */
  tableOf(entry: Uint32Array): number;

  /**
   * Writes a leaf for what begins at `frame` with PERM bits; `device`: registers, not memory.
   * @param level {@link leafLevel} if left out; elsewhere a block
   * @param flags {@link LEAF} bits
   * @throws an Error when `frame` is not aligned to the leaf, or beyond {@link outputBits}
   */
  encodeLeaf(frame: number, perm: number, device: boolean, out: Uint32Array, level?: number, flags?: number): void;
  /** The first frame of a leaf; `level` as in {@link encodeLeaf}. */
  frameOf(entry: Uint32Array, level?: number): number;
  /** The PERM bits that a leaf gives to user accesses as it stands: no WRITE where hardware must mark it dirty first. */
  permOf(entry: Uint32Array): number;
  /** True if a leaf maps registers. */
  isDevice(entry: Uint32Array): boolean;
  /** True if a leaf was used since it was made {@link LEAF}.OLD. */
  isAccessed(entry: Uint32Array): boolean;
  /** True if a leaf was written to, or may have been. */
  isDirty(entry: Uint32Array): boolean;
  /** True if a leaf may be written, and was not yet. */
  isWritableClean(entry: Uint32Array): boolean;
  /** True if a leaf is one of a contiguous group. */
  isContiguous(entry: Uint32Array): boolean;

  /** Gives a leaf the rights `perm`. What is known about its use stays: a dirty page made read-only is still dirty. */
  setPerm(entry: Uint32Array, perm: number): void;
  /** The {@link LEAF} bits of a leaf: one of CLEAN and DIRTY, and the others. */
  flagsOf(entry: Uint32Array): number;
  /** Makes a leaf OLD or CONTIGUOUS or no longer, and CLEAN or DIRTY if `flags` has one of them. */
  setFlags(entry: Uint32Array, flags: number): void;
  /** Makes a leaf of `level` one of `to` that maps `frame`, all else as it was: how a block is split. */
  resize(entry: Uint32Array, level: number, frame: number, to: number): void;
  /**
   * Marks a leaf as hardware does that manages access flags, and dirty state where the leaf lets it. True if it changed.
   */
  markUsed(entry: Uint32Array, write: boolean): boolean;
}
