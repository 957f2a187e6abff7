import { address, bit, bits, enumOf, named, table } from '@iommukit/bitfield';

/**
 * AP[2:1] of a block or page: who may read and write (smmuv3.md 3.2). SVA traffic is unprivileged unless its PASID says
 * otherwise.
 */
export const AP = enumOf({ PRIVILEGED_RW: 0b00, RW: 0b01, PRIVILEGED_RO: 0b10, RO: 0b11 });

/** APTable of a table descriptor: what is taken away from everything below (smmuv3.md 3.2). */
export const AP_TABLE = enumOf({ NONE: 0, NO_UNPRIVILEGED: 1, NO_WRITE: 2, NO_WRITE_NO_UNPRIVILEGED: 3 });

/** SH of a block or page: shareability (smmuv3.md 3.2). */
export const SH = enumOf({ NON: 0, OUTER: 2, INNER: 3 });

/** Bits [1:0] of a descriptor: 0b01 is a block at levels 1 and 2 and invalid at level 3 (smmuv3.md 3.2). */
export const DESCRIPTOR_TYPE = enumOf({ INVALID: 0b00, BLOCK: 0b01, TABLE_OR_PAGE: 0b11 });

const options = { ref: 'smmuv3.md 3.2', gaps: 'reserved-zero' } as const;

/** What a block and a page have in common; positions are those of a 4K granule with 48-bit addresses. */
const lower = {
  valid: named('Valid', bit(0, 'valid')),
  type: named('Type', bit(1, '0 block, 1 page (level 3 only) or table')),
  attrIndx: named('AttrIndx', bits(4, 2, 'which byte of MAIR')),
  ns: named('NS', bit(5, 'Non-secure')),
  ap: named('AP[2:1]', bits(7, 6, AP, 'who may read and write')),
  sh: named('SH', bits(9, 8, SH, 'shareability')),
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

/** A page: level 3, 4K granule. */
export const PageDescriptor = table('page', 8, options, {
  ...lower,
  oa: named('OutputAddress', address(47, 12, 'the page')),
  ...upper,
});

/** A 2 MiB block: level 2, 4K granule. */
export const BlockDescriptorL2 = table('block 2M', 8, options, {
  ...lower,
  nt: named('nT', bit(16, 'block translation entry: BBML 1 protocol')),
  oa: named('OutputAddress', address(47, 21, 'the block')),
  ...upper,
});

/** A 1 GiB block: level 1, 4K granule. */
export const BlockDescriptorL1 = table('block 1G', 8, options, {
  ...lower,
  nt: named('nT', bit(16, 'block translation entry: BBML 1 protocol')),
  oa: named('OutputAddress', address(47, 30, 'the block')),
  ...upper,
});

/** A table: levels 0 to 2, 4K granule. */
export const TableDescriptor = table('table', 8, options, {
  valid: lower.valid,
  type: named('Type', bit(1, '1 table')),
  ignoredLow: named('Ignored', bits(11, 2, 'ignored; with newer extensions the table Access flag in bit 10')),
  next: named('NextTable', address(47, 12, 'the next table')),
  ignoredHigh: named('Ignored', bits(58, 51, 'ignored')),
  pxnTable: named('PXNTable', bit(59, 'nothing below is privileged-executable')),
  uxnTable: named('UXNTable', bit(60, 'nothing below is unprivileged-executable')),
  apTable: named('APTable', bits(62, 61, AP_TABLE, 'rights taken from everything below')),
  nsTable: named('NSTable', bit(63, 'everything below is Non-secure')),
});
