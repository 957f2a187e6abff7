import type { CaseBuilder } from '../case-builder.js';
import { PS, shiftOfLevel, type VtdMapping } from './tables.js';

/** RAM ends before this address and nothing else is there. */
export const NOWHERE = 0x8_0000_0000n;
/** A page of the interrupt range. */
const INTERRUPTS = 0xfee0_0000n;
const ADDRESS = 0xf_ffff_ffff_f000n;
/** Bits of an address above the 48 that the machines have. */
const TOO_WIDE = 0xf_0000_0000_0000n;

/** A way to change an entry. `null`: it does not apply there. */
type Change = (b: CaseBuilder, word: bigint, level: number, leaf: boolean) => bigint | null;

/** Address bits of a large page that must be 0. */
const lowBits = (level: number, lowest: bigint): bigint => (1n << shiftOfLevel(level)) - (1n << lowest);

const FIRST: readonly Change[] = [
  (_b, word) => word & ~1n,
  (_b, word) => word & ~2n,
  (_b, word) => word & ~4n,
  (_b, word) => word | 0x20n,
  (_b, word, _level, leaf) => (leaf ? word | 0x60n : null),
  (_b, word) => word | (1n << 63n),
  (_b, word) => word | 0xe00n | (0x7ffn << 52n) | 0x18n,
  (b, word) => word | b.bitOf(TOO_WIDE),
  (b, word, level, leaf) => (leaf && level > 1 ? word | b.bitOf(lowBits(level, 13n)) : null),
  (_b, word, level, leaf) => (!leaf && level >= 4 ? word | PS : null),
  (_b, word, _level, leaf) => (leaf ? null : (word & ~ADDRESS) | NOWHERE),
  (_b, word, level, leaf) => (leaf ? (word & ~ADDRESS) | (NOWHERE & ~((1n << shiftOfLevel(level)) - 1n)) : null),
  (_b, word, level, leaf) => (leaf && level === 1 ? (word & ~ADDRESS) | INTERRUPTS : null),
];

const SECOND: readonly Change[] = [
  (_b, word) => word & ~3n,
  (_b, word) => word & ~2n,
  (_b, word) => word & ~1n,
  (_b, word) => word | 4n,
  (_b, word) => (word & ~3n) | 4n,
  (_b, word) => word | (0x3ffn << 52n) | 0x400n,
  (_b, word, _level, leaf) => (leaf ? word | 0x78n : word | 0x78n),
  (b, word) => word | b.bitOf(TOO_WIDE),
  (_b, word) => word | 0x800n,
  (_b, word) => word | (1n << 62n),
  (_b, word) => word | (1n << 63n),
  (_b, word) => word | 0x300n,
  (b, word, level, leaf) => (leaf && level > 1 ? word | b.bitOf(lowBits(level, 12n)) : null),
  (_b, word, level, leaf) => (!leaf && level >= 4 ? word | PS : null),
  (_b, word, _level, leaf) => (leaf ? null : (word & ~ADDRESS) | NOWHERE),
  (_b, word, level, leaf) => (leaf ? (word & ~ADDRESS) | (NOWHERE & ~((1n << shiftOfLevel(level)) - 1n)) : null),
  (_b, word, level, leaf) => (leaf && level === 1 ? (word & ~ADDRESS) | INTERRUPTS : null),
];

/** Another word for an entry of a mapping: a right less, a flag, a reserved bit, an address that is nowhere, … */
export function changedEntry(b: CaseBuilder, mapping: VtdMapping, level: number): bigint {
  const word = b.load(mapping.entries.get(level)!);
  const changes = mapping.stage === 'first' ? FIRST : SECOND;
  for (;;) {
    const changed = b.pick(changes)(b, word, level, level === mapping.leaf);
    if (changed !== null) return changed;
  }
}
