import type { CaseBuilder } from '../case-builder.js';
import type { SmmuMapping } from './tables.js';

/** RAM ends before this address and nothing else is there. */
export const NOWHERE = 0x100_0000_0000n;
const ADDRESS = 0xffff_ffff_f000n;
/** Output bits above the 44 that the machine has. */
const TOO_WIDE = 0xf000_0000_0000n;

type Change = (b: CaseBuilder, word: bigint, size: bigint) => bigint | null;

const outside: Change = (_b, word, size) => (word & ~ADDRESS) | (NOWHERE & ~(size - 1n));

const LEAF: readonly Change[] = [
  (_b, word) => word & ~1n,
  (_b, word) => word ^ 2n,
  (_b, word) => word & ~0x400n,
  (_b, word) => word & ~0x400n,
  (_b, word) => word | 0x80n,
  (_b, word) => word | 0x80n,
  (b, word) => (b.chance(20) ? word & ~0x40n : null),
  (_b, word) => word & ~0x800n,
  (_b, word) => word | (3n << 53n),
  (_b, word) => word | (0xfn << 55n),
  (_b, word) => word | 0x1cn,
  (b, word) => word | b.bitOf(TOO_WIDE),
  outside,
];

const TABLE: readonly Change[] = [
  (_b, word) => word & ~1n,
  (_b, word) => word & ~2n,
  (_b, word) => word | (2n << 61n),
  (_b, word) => word | (1n << 63n),
  (_b, word) => word | (3n << 59n),
  (_b, word) => word | 0xffcn,
  (_b, word) => word | (0xffn << 51n),
  (b, word) => word | b.bitOf(TOO_WIDE),
  outside,
];

/** Another word for a descriptor of a mapping. */
export function changedDescriptor(b: CaseBuilder, mapping: SmmuMapping, level: number): bigint {
  const word = b.load(mapping.entries.get(level)!);
  const size = 1n << BigInt(mapping.tables.granule.levelShift[level]!);
  const leaf = level === mapping.leaf;
  for (;;) {
    const changed = b.pick(leaf ? LEAF : TABLE)(b, word, leaf ? size : 1n << BigInt(mapping.tables.granule.shift));
    if (changed !== null) return changed;
  }
}
