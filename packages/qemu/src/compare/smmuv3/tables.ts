import { GRANULES, type Granule, startLevel, VMSA } from '@iommukit/paging';
import type { CaseBuilder } from '../case-builder.js';

/** A set of tables: one half of an address space. */
export interface SmmuTables {
  readonly granule: Granule;
  readonly root: number;
  /** 64 - TxSZ. */
  readonly bits: number;
  /** TTB1: addresses begin with ones. */
  readonly upper: boolean;
}

/** A mapping as it was made. */
export interface SmmuMapping {
  readonly tables: SmmuTables;
  readonly iova: bigint;
  /** 1, 2 or 3. */
  readonly leaf: number;
  /** Address of the descriptor of each level on the way, by level. */
  readonly entries: ReadonlyMap<number, number>;
}

/** The granules by name. */
export const GRANULE_NAMES = ['4K', '16K', '64K'] as const;

/** Valid, a page or table. */
const TABLE = 3n;
/** AF, SH inner, AP[1] = unprivileged, nG. */
const RIGHTS = 0xf40n;

const addressMask = ({ shift }: Granule): bigint => 0xffff_ffff_f000n & ~((1n << BigInt(shift)) - 1n);

/** The next table of a table descriptor. */
export const nextTable = (granule: Granule, entry: bigint): number => Number(entry & addressMask(granule));

/** Empty tables that resolve `bits` bits. */
export function newTables(b: CaseBuilder, granule: Granule, bits: number, upper: boolean): SmmuTables {
  return { granule, root: b.frames(2 ** (granule.shift - 12)), bits, upper };
}

/** Maps `iova` to `target`, making the tables that are missing; every descriptor allows everything to everybody. */
export function mapSmmuPage(
  b: CaseBuilder,
  tables: SmmuTables,
  iova: bigint,
  leaf: number,
  target: number,
): SmmuMapping {
  const { granule } = tables;
  const entries = new Map<number, number>();
  const first = startLevel(granule, tables.bits);
  let table = tables.root;
  for (let level = first; level < leaf; level++) {
    const at = table + slot(tables, iova, level) * 8;
    entries.set(level, at);
    let entry = b.load(at);
    if ((entry & TABLE) !== TABLE) {
      entry = BigInt(b.frames(2 ** (granule.shift - 12))) | TABLE;
      b.put(layoutName(granule, level, false), what(granule, level, iova), at, [entry]);
    }
    table = nextTable(granule, entry);
  }
  const at = table + slot(tables, iova, leaf) * 8;
  entries.set(leaf, at);
  const size = 1n << BigInt(granule.levelShift[leaf]!);
  const entry = ((BigInt(target) / size) * size) | RIGHTS | (leaf === 3 ? 3n : 1n);
  b.put(layoutName(granule, leaf, true), what(granule, leaf, iova), at, [entry]);
  return { tables, iova, leaf, entries };
}

function slot({ granule, bits }: SmmuTables, iova: bigint, level: number): number {
  const within = BigInt.asUintN(bits, iova);
  return Number((within >> BigInt(granule.levelShift[level]!)) & ((1n << BigInt(granule.bitsPerLevel)) - 1n));
}

const what = ({ name }: Granule, level: number, iova: bigint): string =>
  `${name} level ${level} of 0x${BigInt.asUintN(64, iova).toString(16)}`;

function layoutName(granule: Granule, level: number, leaf: boolean): string {
  const { page, table } = VMSA[`${granule.name}/48`];
  return !leaf ? table.name : level === 3 ? page.name : 'block';
}

/** Writes a descriptor of a mapping anew. */
export function putDescriptor(b: CaseBuilder, mapping: SmmuMapping, level: number, word: bigint, later: boolean): void {
  const name = layoutName(mapping.tables.granule, level, level === mapping.leaf);
  b.put(
    name,
    what(mapping.tables.granule, level, mapping.iova),
    mapping.entries.get(level)!,
    [BigInt.asUintN(64, word)],
    later,
  );
}

/** The granule of a name. */
export const granuleOf = (name: (typeof GRANULE_NAMES)[number]): Granule => GRANULES[name];
