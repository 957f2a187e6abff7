import type { AnyLayout } from '@iommukit/bitfield';
import {
  SecondStageBlock1G,
  SecondStageBlock2M,
  SecondStagePage,
  SecondStageTable,
  X86Block1G,
  X86Block2M,
  X86Page,
  X86Table,
} from '@iommukit/paging';
import type { CaseBuilder } from '../case-builder.js';

/** Which stage a set of tables is of. */
export type VtdStage = 'first' | 'second';

/** A mapping as it was made: where its entries are, by level, and how large it is. */
export interface VtdMapping {
  readonly stage: VtdStage;
  readonly iova: bigint;
  /** 1: 4 KiB, 2: 2 MiB, 3: 1 GiB. */
  readonly leaf: number;
  /** Address of the entry of each level on the way, by level. */
  readonly entries: ReadonlyMap<number, number>;
}

const ADDRESS = 0xf_ffff_ffff_f000n;
const LEAVES = {
  first: [X86Table, X86Page, X86Block2M, X86Block1G],
  second: [SecondStageTable, SecondStagePage, SecondStageBlock2M, SecondStageBlock1G],
} as const;

/** log2 of what an entry of a level covers. */
export const shiftOfLevel = (level: number): bigint => BigInt(12 + 9 * (level - 1));

/** The declaration of an entry. */
export const entryLayout = (stage: VtdStage, level: number, leaf: boolean): AnyLayout =>
  LEAVES[stage][leaf ? level : 0]!;

/** What an entry allows that allows everything: P, R/W and U/S, or R and W. */
export const FULL = { first: 7n, second: 3n } as const;

/** PS: an entry above level 1 is a leaf. */
export const PS = 0x80n;

/** Maps `iova` to `target`, making the tables that are missing; every entry allows everything. */
export function mapPage(
  b: CaseBuilder,
  stage: VtdStage,
  root: number,
  levels: number,
  iova: bigint,
  leaf: number,
  target: number,
): VtdMapping {
  const entries = new Map<number, number>();
  let table = root;
  for (let level = levels; level > leaf; level--) {
    const at = table + Number((iova >> shiftOfLevel(level)) & 511n) * 8;
    entries.set(level, at);
    let entry = b.load(at);
    if (entry === 0n || (level <= 3 && (entry & PS) !== 0n)) {
      entry = BigInt(b.frames()) | FULL[stage];
      b.put(entryLayout(stage, level, false), `level ${level} of ${hex(iova)}`, at, [entry]);
    }
    table = Number(entry & ADDRESS);
  }
  const at = table + Number((iova >> shiftOfLevel(leaf)) & 511n) * 8;
  entries.set(leaf, at);
  const size = 1n << shiftOfLevel(leaf);
  const entry = ((BigInt(target) / size) * size) | (leaf > 1 ? PS : 0n) | FULL[stage];
  b.put(entryLayout(stage, leaf, true), `level ${leaf} of ${hex(iova)}`, at, [entry]);
  return { stage, iova, leaf, entries };
}

/** Writes an entry of a mapping anew. */
export function putEntry(b: CaseBuilder, mapping: VtdMapping, level: number, word: bigint, later: boolean): void {
  const at = mapping.entries.get(level)!;
  const layout = entryLayout(mapping.stage, level, level === mapping.leaf);
  b.put(layout, `level ${level} of ${hex(mapping.iova)}`, at, [BigInt.asUintN(64, word)], later);
}

const hex = (iova: bigint): string => `0x${BigInt.asUintN(64, iova).toString(16)}`;
