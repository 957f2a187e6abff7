import { address, bit, bits, named, table } from '@iommukit/bitfield';

const options = { ref: 'vtd.md 2.11', gaps: 'reserved-zero' } as const;

const low = {
  p: bit(0, 'present'),
  rw: named('R/W', bit(1, 'may be written')),
  us: named('U/S', bit(2, 'user accesses are allowed')),
  pwt: bit(3, 'page-level write-through'),
  pcd: bit(4, 'page-level cache disable'),
  a: bit(5, 'accessed'),
};
const high = {
  software: named('Ignored', bits(62, 52, 'ignored: for software')),
  xd: bit(63, 'execute disable'),
};
const ignored9 = { ignored9: named('Ignored', bit(9, 'ignored')) };
const ea = { ea: bit(10, 'extended accessed'), ignored11: named('Ignored', bit(11, 'ignored')) };
const dirty = { d: bit(6, 'dirty') };
const global = { g: bit(8, 'global; ignored by an IOMMU') };

/** A 4 KiB page of x86-64: the last level. */
export const X86Page = table('page', 8, options, {
  ...low,
  ...dirty,
  pat: bit(7, 'page attribute table'),
  ...global,
  ...ignored9,
  ...ea,
  addr: address(51, 12, 'the page'),
  ...high,
});

const block = (name: string, shift: number) =>
  table(name, 8, options, {
    ...low,
    ...dirty,
    ps: bit(7, '1 page size: a leaf'),
    ...global,
    ...ignored9,
    ...ea,
    pat: bit(12, 'page attribute table'),
    addr: address(51, shift, 'the block'),
    ...high,
  });

/** A 2 MiB page of x86-64: a page directory's entry with PS=1. */
export const X86Block2M = block('page 2M', 21);

/** A 1 GiB page of x86-64: a page directory pointer table's entry with PS=1. */
export const X86Block1G = block('page 1G', 30);

/** An entry of x86-64 that points to a table. */
export const X86Table = table('table', 8, options, {
  ...low,
  ignored6: named('Ignored', bit(6, 'ignored')),
  ps: bit(7, '0: a table; must be 0 in the two topmost levels'),
  ignored8: named('Ignored', bits(9, 8, 'ignored')),
  ...ea,
  addr: address(51, 12, 'the next table'),
  ...high,
});

/** The numbers of x86-64 paging, with 4 or 5 levels (vtd.md 2.11). */
export const X86 = {
  /** log2 of the page. */
  shift: 12,
  /** Index bits that one level resolves. */
  bitsPerLevel: 9,
} as const;
