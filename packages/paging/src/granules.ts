/** The numbers of one translation granule (smmuv3.md 3.1). Arrays are indexed by level, 0 to 3. */
export interface Granule {
  readonly name: '4K' | '16K' | '64K';
  /** log2 of the page. */
  readonly shift: number;
  /** Index bits that one level resolves; a table holds 2^bitsPerLevel descriptors of 8 bytes. */
  readonly bitsPerLevel: number;
  /** log2 of what one descriptor covers, by level. */
  readonly levelShift: readonly [number, number, number, number];
  /** Whether a block may stand at a level, without 52-bit addresses (DS). */
  readonly blockAt: readonly [boolean, boolean, boolean, boolean];
  /** Descriptors in a contiguous group, by level; 0 where there is none. */
  readonly contiguous: readonly [number, number, number, number];
}

/** The granules of VMSAv8-64 (smmuv3.md 3.1). */
export const GRANULES: Readonly<Record<Granule['name'], Granule>> = {
  '4K': {
    name: '4K',
    shift: 12,
    bitsPerLevel: 9,
    levelShift: [39, 30, 21, 12],
    blockAt: [false, true, true, false],
    contiguous: [0, 16, 16, 16],
  },
  '16K': {
    name: '16K',
    shift: 14,
    bitsPerLevel: 11,
    levelShift: [47, 36, 25, 14],
    blockAt: [false, false, true, false],
    contiguous: [0, 0, 32, 128],
  },
  '64K': {
    name: '64K',
    shift: 16,
    bitsPerLevel: 13,
    levelShift: [55, 42, 29, 16],
    blockAt: [false, false, true, false],
    contiguous: [0, 0, 32, 32],
  },
};

/** The last level of every walk: its descriptors are pages. */
export const LAST_LEVEL = 3;

/** Bytes of a descriptor (smmuv3.md 3.2). */
export const DESCRIPTOR_BYTES = 8;

/** log2 of what one descriptor of a level covers; level -1 exists with 4K pages and 52-bit addresses (smmuv3.md 3.1). */
export const shiftOf = (granule: Granule, level: number): number =>
  granule.shift + granule.bitsPerLevel * (LAST_LEVEL - level);

/**
 * The level at which a stage-1 walk starts: 4 - ceil((64 - T0SZ - shift) / bitsPerLevel) (smmuv3.md 3.1). `inputBits` is
 * 64 - T0SZ; `lowest` is -1 with 52-bit addresses (DS). Throws RangeError when no number of levels resolves that many
 * bits.
 */
export function startLevel(granule: Granule, inputBits: number, lowest: 0 | -1 = 0): number {
  const level = 4 - Math.ceil((inputBits - granule.shift) / granule.bitsPerLevel);
  if (!(level >= lowest && level <= LAST_LEVEL)) {
    throw new RangeError(`${granule.name} granule: no stage-1 walk resolves ${inputBits} address bits`);
  }
  return level;
}

/** Descriptors in the table at the start level: less than a full table when the top level is cut short (smmuv3.md 3.1). */
export const startEntries = (granule: Granule, inputBits: number, lowest: 0 | -1 = 0): number =>
  2 ** (inputBits - shiftOf(granule, startLevel(granule, inputBits, lowest)));
