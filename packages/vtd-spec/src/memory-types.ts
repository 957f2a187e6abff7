import { bit, bits, reg64, ro, wide } from '@iommukit/bitfield';

const options = { ref: 'vtd.md 1.1', gaps: 'reserved-zero' } as const;
const types = { types: wide(63, 0, 'a memory type a byte') };

/** Memory type ranges: what there is; only with ECAP.MTS. */
export const MTRRCAP = reg64('MTRRCAP', 0x100, options, { value: ro(wide(63, 0, 'bits not described')) });
/** Memory type ranges: the default. */
export const MTRRDEF = reg64('MTRRDEF', 0x108, options, {
  type: bits(7, 0, 'default type'),
  fe: bit(10, 'fixed ranges enabled'),
  e: bit(11, 'ranges enabled'),
});

const fixed = (name: string, offset: number) => reg64(`MTRR_FIX${name}`, offset, options, types);

/** Memory types of the fixed ranges, in address order. */
export const MTRR_FIXED = [
  fixed('64K_00000', 0x120),
  fixed('16K_80000', 0x128),
  fixed('16K_A0000', 0x130),
  fixed('4K_C0000', 0x138),
  fixed('4K_C8000', 0x140),
  fixed('4K_D0000', 0x148),
  fixed('4K_D8000', 0x150),
  fixed('4K_E0000', 0x158),
  fixed('4K_E8000', 0x160),
  fixed('4K_F0000', 0x168),
  fixed('4K_F8000', 0x170),
] as const;

const RANGES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] as const;
const undescribed = { value: wide(63, 0, 'bits not described') };

/** Bases of the variable memory type ranges. */
export const MTRR_PHYSBASE = RANGES.map((n) => reg64(`MTRR_PHYSBASE${n}`, 0x180 + 16 * n, options, undescribed));
/** Masks of the variable memory type ranges. */
export const MTRR_PHYSMASK = RANGES.map((n) => reg64(`MTRR_PHYSMASK${n}`, 0x188 + 16 * n, options, undescribed));
