import { powerOfTwo } from '@iommukit/kernel';
import {
  ENTRY_BYTES,
  L1_BYTES,
  L1STD,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
  STRTAB_FMT,
  STRTAB_SPLIT,
} from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';

const L1STD_RESERVED_SPAN = 12;

/** {@link leafSteAddress} of a stream that has no place. */
export const L1STD_INVALID = -1;

/** Where a stream's STE lies (smmuv3.md 1.7, 2.1), or the level-1 descriptor in front of it; `at` is -1 for a stream beyond the table. */
export function steAddress(smmu: SmmuV3, stream: number): { readonly at: number; readonly twoLevel: boolean } {
  const { registers, capabilities } = smmu;
  const shape = registers.get(STRTAB_BASE_CFG.offset);
  const bits = STRTAB_BASE_CFG.f.log2size.of(shape);
  const base = registers.address(STRTAB_BASE);
  if (!(stream >= 0 && stream < powerOfTwo(Math.min(bits, capabilities.sidBits)))) return { at: -1, twoLevel: false };
  const twoLevel = capabilities.stream2l && STRTAB_BASE_CFG.f.fmt.of(shape) === STRTAB_FMT.TWO_LEVEL;
  if (!twoLevel) return { at: base - (base % powerOfTwo(bits + 6)) + stream * ENTRY_BYTES, twoLevel };
  const split = splitOf(shape);
  const first = Math.floor(stream / powerOfTwo(split));
  return { at: base - (base % Math.max(ENTRY_BYTES, powerOfTwo(bits - split + 3))) + first * L1_BYTES, twoLevel };
}

/** Where the STE lies that a level-1 descriptor leads to (2.1); {@link L1STD_INVALID}: the descriptor is invalid or too short. */
export function leafSteAddress(smmu: SmmuV3, stream: number, words: Uint32Array): number {
  const split = splitOf(smmu.registers.get(STRTAB_BASE_CFG.offset));
  const second = stream % powerOfTwo(split);
  const span = L1STD.f.span.get(words);
  if (span === 0 || span >= L1STD_RESERVED_SPAN || span > split + 1 || second >= powerOfTwo(span - 1))
    return L1STD_INVALID;
  const leaf = L1STD.f.l2Ptr.get(words);
  return leaf - (leaf % (ENTRY_BYTES * powerOfTwo(span - 1))) + second * ENTRY_BYTES;
}

/** Values of SPLIT other than the three defined ones act as 6 (smmuv3.md 1.7). */
function splitOf(shape: number): number {
  const value = STRTAB_BASE_CFG.f.split.of(shape);
  return value === STRTAB_SPLIT.LEAF_16K || value === STRTAB_SPLIT.LEAF_64K ? value : STRTAB_SPLIT.LEAF_4K;
}
