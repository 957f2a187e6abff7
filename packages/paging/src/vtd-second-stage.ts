import { address, bit, bits, named, table } from '@iommukit/bitfield';

const options = { ref: 'vtd.md 2.12', gaps: 'reserved-zero' } as const;

const access = {
  r: bit(0, 'may be read; present is R or W'),
  w: bit(1, 'may be written; present is R or W'),
  x: bit(2, 'may be executed: only with SLEE, ignored at 4.1; alone it is not present'),
};
const memoryType = {
  emt: bits(5, 3, 'memory type'),
  ipat: bit(6, 'ignore the page attribute table'),
};
const a = { a: bit(8, 'accessed, with SLADE') };
const d = { d: bit(9, 'dirty, with SLADE'), ignored10: named('Ignored', bit(10, 'ignored')) };
const snp = { snp: bit(11, 'accesses snoop; reserved without ECAP.SC') };
const high = {
  software: named('Ignored', bits(61, 52, 'ignored: for software')),
  tm: bit(62, 'transient mapping; reserved since spec 3.2'),
  ignored63: named('Ignored', bit(63, 'ignored')),
};

/** A 4 KiB page of VT-d's second stage: the last level. */
export const SecondStagePage = table('second-stage page', 8, options, {
  ...access,
  ...memoryType,
  ignored7: named('Ignored', bit(7, 'ignored')),
  ...a,
  ...d,
  ...snp,
  addr: address(51, 12, 'the page'),
  ...high,
});

const block = (name: string, shift: number) =>
  table(name, 8, options, {
    ...access,
    ...memoryType,
    ps: bit(7, '1 page size: a leaf'),
    ...a,
    ...d,
    ...snp,
    addr: address(51, shift, 'the block'),
    ...high,
  });

/** A 2 MiB page of VT-d's second stage: a leaf at level 2. */
export const SecondStageBlock2M = block('second-stage page 2M', 21);

/** A 1 GiB page of VT-d's second stage: a leaf at level 3. */
export const SecondStageBlock1G = block('second-stage page 1G', 30);

/** An entry of VT-d's second stage that points to a table. */
export const SecondStageTable = table('second-stage table', 8, options, {
  ...access,
  ignored3: named('Ignored', bits(6, 3, 'ignored')),
  ps: bit(7, '0: a table; must be 0 at level 4 and above'),
  ...a,
  ignored9: named('Ignored', bits(10, 9, 'ignored')),
  addr: address(51, 12, 'the next table'),
  ...high,
});

/** The numbers of VT-d's second stage. AW of an entry chooses 3, 4 or 5 levels; level 1 holds pages (vtd.md 2.2, 2.12). */
export const SECOND_STAGE = {
  /** log2 of the page. */
  shift: 12,
  /** Index bits that one level resolves. */
  bitsPerLevel: 9,
  /** Levels by AW; 0 where the value is reserved. */
  levels: [0, 3, 4, 5] as readonly number[],
  /** Input address bits by AW; 0 where the value is reserved. */
  inputBits: [0, 39, 48, 57] as readonly number[],
} as const;
