import { address, bit, bits, named, table } from '@iommukit/bitfield';
import { GRANULES, type Granule, shiftOf } from './granules.js';
import { AP, AP_TABLE, SH } from './vmsa.js';

const options = { ref: 'smmuv3.md 3.2', gaps: 'reserved-zero' } as const;

const type = {
  valid: named('Valid', bit(0, 'valid')),
  type: named('Type', bit(1, '0 block, 1 page (level 3 only) or table')),
};
const attributes = {
  attrIndx: named('AttrIndx', bits(4, 2, 'which byte of MAIR')),
  ns: named('NS', bit(5, 'Non-secure')),
  ap: named('AP[2:1]', bits(7, 6, AP, 'who may read and write')),
};
const shareability = { sh: named('SH', bits(9, 8, SH, 'shareability')) };
const flags = {
  af: named('AF', bit(10, 'Access flag; 0 faults with F_ACCESS')),
  ng: named('nG', bit(11, 'not global: cached with the ASID')),
};
const upper = {
  gp: named('GP', bit(50, 'guarded page')),
  dbm: named('DBM', bit(51, 'dirty state is managed: with AP[2]=1 writable-clean')),
  contiguous: named('Contiguous', bit(52, 'one of a contiguous group')),
  pxn: named('PXN', bit(53, 'privileged execute never')),
  uxn: named('UXN', bit(54, 'unprivileged execute never')),
  software: named('Software', bits(58, 55, 'for software')),
  pbha: named('PBHA', bits(62, 59, 'page-based hardware attributes, else ignored')),
  ignored: named('Ignored', bit(63, 'ignored')),
};
const nt = { nt: named('nT', bit(16, 'block translation entry: BBML 1 protocol')) };

/** What differs between the descriptors of one granule: the lowest address bit and where the topmost ones stand. */
const output = (hi: number, lo: number, what: string) => ({ oa: named('OutputAddress', address(hi, lo, what)) });
const oa5148 = { oaHigh: named('OutputAddress[51:48]', bits(15, 12, 'the topmost bits of the output address')) };
const oa5150 = { oaHigh: named('OutputAddress[51:50]', bits(9, 8, 'the topmost bits of the output address')) };

/** 48-bit addresses. */
const page48 = (lo: number) =>
  table('page', 8, options, {
    ...type,
    ...attributes,
    ...shareability,
    ...flags,
    ...output(47, lo, 'the page'),
    ...upper,
  });
const block48 = (name: string, lo: number) =>
  table(name, 8, options, {
    ...type,
    ...attributes,
    ...shareability,
    ...flags,
    ...nt,
    ...output(47, lo, 'the block'),
    ...upper,
  });

/** 64K granule with 52-bit addresses: output bits [51:48] stand in [15:12]. */
const page64K = table('page', 8, options, {
  ...type,
  ...attributes,
  ...shareability,
  ...flags,
  ...oa5148,
  ...output(47, 16, 'the page'),
  ...upper,
});
const block64K = (name: string, lo: number) =>
  table(name, 8, options, {
    ...type,
    ...attributes,
    ...shareability,
    ...flags,
    ...oa5148,
    ...nt,
    ...output(47, lo, 'the block'),
    ...upper,
  });

/** 4K and 16K granules with 52-bit addresses (DS): output bits [51:50] stand where SH is otherwise. */
const pageDs = (lo: number) =>
  table('page', 8, options, { ...type, ...attributes, ...oa5150, ...flags, ...output(49, lo, 'the page'), ...upper });
const blockDs = (name: string, lo: number) =>
  table(name, 8, options, {
    ...type,
    ...attributes,
    ...oa5150,
    ...flags,
    ...nt,
    ...output(49, lo, 'the block'),
    ...upper,
  });

const tableType = { valid: type.valid, type: named('Type', bit(1, '1 table')) };
const inherited = {
  ignoredHigh: named('Ignored', bits(58, 51, 'ignored')),
  pxnTable: named('PXNTable', bit(59, 'nothing below is privileged-executable')),
  uxnTable: named('UXNTable', bit(60, 'nothing below is unprivileged-executable')),
  apTable: named('APTable', bits(62, 61, AP_TABLE, 'rights taken from everything below')),
  nsTable: named('NSTable', bit(63, 'everything below is Non-secure')),
};
const nextTable = (hi: number, lo: number) => ({ next: named('NextTable', address(hi, lo, 'the next table')) });
const ignoredLow = 'ignored; with newer extensions the table Access flag in bit 10';

const table48 = (lo: number) =>
  table('table', 8, options, {
    ...tableType,
    ignoredLow: named('Ignored', bits(11, 2, ignoredLow)),
    ...nextTable(47, lo),
    ...inherited,
  });
const table64K = table('table', 8, options, {
  ...tableType,
  ignoredLow: named('Ignored', bits(11, 2, ignoredLow)),
  nextHigh: named('NextTable[51:48]', bits(15, 12, 'the topmost bits of the next table')),
  ...nextTable(47, 16),
  ...inherited,
});
const tableDs = (lo: number) =>
  table('table', 8, options, {
    ...tableType,
    ignoredLow: named('Ignored', bits(7, 2, 'ignored')),
    nextHigh: named('NextTable[51:50]', bits(9, 8, 'the topmost bits of the next table')),
    ignoredFlags: named('Ignored', bits(11, 10, ignoredLow)),
    ...nextTable(49, lo),
    ...inherited,
  });

/** A page or block descriptor of any of the layouts. */
export type LeafLayout =
  | ReturnType<typeof page48>
  | ReturnType<typeof block48>
  | typeof page64K
  | ReturnType<typeof block64K>
  | ReturnType<typeof pageDs>
  | ReturnType<typeof blockDs>;

/** A table descriptor of any of the layouts. */
export type TableLayout = ReturnType<typeof table48> | typeof table64K | ReturnType<typeof tableDs>;

/** The descriptors of one granule and address width (smmuv3.md 3.1, 3.2). */
export interface VmsaLayout {
  readonly granule: Granule;
  /** Widest virtual and physical address in bits. */
  readonly addressBits: 48 | 52;
  /** True where 52-bit addresses need the DS bit of the translation control: 4K and 16K granules. */
  readonly ds: boolean;
  /** Level 3. */
  readonly page: LeafLayout;
  /** Blocks by level, 0 to 2; null where none may stand. */
  readonly blocks: readonly [LeafLayout | null, LeafLayout | null, LeafLayout | null];
  readonly table: TableLayout;
}

/** A 2 MiB block: level 2, 4K granule, 48-bit addresses. */
export const BlockDescriptorL2 = block48('block 2M', 21);
/** A 1 GiB block: level 1, 4K granule, 48-bit addresses. */
export const BlockDescriptorL1 = block48('block 1G', 30);
/** A page: level 3, 4K granule, 48-bit addresses. */
export const PageDescriptor = page48(12);
/** A table: levels 0 to 2, 4K granule, 48-bit addresses. */
export const TableDescriptor = table48(12);

/** The name of a {@link VmsaLayout}: granule and address width. */
export type VmsaName = `${Granule['name']}/${48 | 52}`;

const { '4K': k4, '16K': k16, '64K': k64 } = GRANULES;

/** Every stage-1 layout of 64-bit descriptors, by granule and address width. */
export const VMSA: Readonly<Record<VmsaName, VmsaLayout>> = {
  '4K/48': {
    granule: k4,
    addressBits: 48,
    ds: false,
    page: PageDescriptor,
    blocks: [null, BlockDescriptorL1, BlockDescriptorL2],
    table: TableDescriptor,
  },
  '16K/48': {
    granule: k16,
    addressBits: 48,
    ds: false,
    page: page48(14),
    blocks: [null, null, block48('block 32M', shiftOf(k16, 2))],
    table: table48(14),
  },
  '64K/48': {
    granule: k64,
    addressBits: 48,
    ds: false,
    page: page48(16),
    blocks: [null, null, block48('block 512M', shiftOf(k64, 2))],
    table: table48(16),
  },
  '4K/52': {
    granule: k4,
    addressBits: 52,
    ds: true,
    page: pageDs(12),
    blocks: [
      blockDs('block 512G', shiftOf(k4, 0)),
      blockDs('block 1G', shiftOf(k4, 1)),
      blockDs('block 2M', shiftOf(k4, 2)),
    ],
    table: tableDs(12),
  },
  '16K/52': {
    granule: k16,
    addressBits: 52,
    ds: true,
    page: pageDs(14),
    blocks: [null, blockDs('block 64G', shiftOf(k16, 1)), blockDs('block 32M', shiftOf(k16, 2))],
    table: tableDs(14),
  },
  '64K/52': {
    granule: k64,
    addressBits: 52,
    ds: false,
    page: page64K,
    blocks: [null, block64K('block 4T', shiftOf(k64, 1)), block64K('block 512M', shiftOf(k64, 2))],
    table: table64K,
  },
};
