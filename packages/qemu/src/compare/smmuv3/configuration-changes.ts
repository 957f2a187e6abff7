import type { CaseBuilder } from '../case-builder.js';
import { NOWHERE } from './entry-changes.js';

type Change = (b: CaseBuilder, words: bigint[]) => void;

const field =
  (word: number, hi: number, lo: number, values: readonly number[]): Change =>
  (b, words) => {
    const mask = ((1n << BigInt(hi - lo + 1)) - 1n) << BigInt(lo);
    words[word] = (words[word]! & ~mask) | (BigInt(b.pick(values)) << BigInt(lo));
  };
const pointer =
  (word: number, mask: bigint, value: bigint): Change =>
  (_b, words) => {
    words[word] = (words[word]! & ~mask) | value;
  };

// Never to bypass: an address would lead to whatever the machine has there.
const STE: readonly Change[] = [
  field(0, 0, 0, [0]),
  field(0, 3, 1, [0, 1, 3]),
  field(0, 63, 59, [1, 5]),
  field(0, 5, 4, [1, 2, 3]),
  pointer(0, 0xff_ffff_ffff_ffc0n, NOWHERE),
  field(1, 31, 30, [1, 2, 3]),
  field(1, 1, 0, [1, 2, 3]),
  field(1, 27, 27, [1]),
  field(1, 19, 19, [1]),
  field(1, 29, 28, [1, 2]),
  field(1, 45, 44, [0, 2, 3]),
  field(1, 49, 46, [5, 10, 15]),
  field(1, 23, 20, [15]),
];

const CD: readonly Change[] = [
  field(0, 31, 31, [0]),
  field(0, 41, 41, [0]),
  field(0, 5, 0, [10, 15, 17, 20, 25, 32, 39, 40, 48, 63]),
  field(0, 7, 6, [3]),
  field(0, 14, 14, [1]),
  field(0, 30, 30, [0, 1]),
  // Not 6 and 7: QEMU ends itself.
  field(0, 34, 32, [0, 1, 2, 4, 5]),
  field(0, 35, 35, [1]),
  field(0, 36, 36, [1]),
  field(0, 38, 38, [1]),
  field(0, 15, 15, [1]),
  field(0, 43, 42, [1, 2, 3]),
  field(0, 44, 44, [1]),
  field(0, 45, 45, [0]),
  field(0, 46, 46, [0]),
  field(0, 47, 47, [0]),
  field(0, 63, 48, [0x55, 0x1234]),
  pointer(1, 0xf_ffff_ffff_fff0n, NOWHERE),
  field(1, 51, 44, [1, 16, 128]),
  field(1, 0, 0, [1]),
  field(1, 1, 1, [1]),
];

/** Other words for an STE or a CD. */
export function changedSmmuStructure(b: CaseBuilder, kind: 'ste' | 'cd', address: number): bigint[] {
  const words = Array.from({ length: 8 }, (_, i) => b.load(address + i * 8));
  b.pick(kind === 'ste' ? STE : CD)(b, words);
  return words.map((word) => BigInt.asUintN(64, word));
}
