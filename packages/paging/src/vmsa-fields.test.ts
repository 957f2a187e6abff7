import { expect, it } from 'vitest';
import { VMSA, type VmsaName } from './index.js';

/** smmuv3.md 3.2: the fields of a leaf, a block's nT besides; `oa` and what stands beside it differ. */
const leaf = {
  valid: '0:0',
  type: '1:1',
  attrIndx: '4:2',
  ns: '5:5',
  ap: '7:6',
  af: '10:10',
  ng: '11:11',
  gp: '50:50',
  dbm: '51:51',
  contiguous: '52:52',
  pxn: '53:53',
  uxn: '54:54',
  software: '58:55',
  pbha: '62:59',
  ignored: '63:63',
};
const table = {
  valid: '0:0',
  type: '1:1',
  ignoredLow: '11:2',
  ignoredHigh: '58:51',
  pxnTable: '59:59',
  uxnTable: '60:60',
  apTable: '62:61',
  nsTable: '63:63',
};
const block = { ...leaf, nt: '16:16' };
const sh = { sh: '9:8' };
const oa5150 = { oaHigh: '9:8' };
const oa5148 = { oaHigh: '15:12' };
const tableDs = { ...table, ignoredLow: '7:2', ignoredFlags: '11:10', nextHigh: '9:8' };

/** Every descriptor: the blocks from level 0 on, then the page, then the table. */
const sheet: Readonly<Record<VmsaName, readonly (Readonly<Record<string, string>> | null)[]>> = {
  '4K/48': [
    null,
    { ...block, ...sh, oa: '47:30' },
    { ...block, ...sh, oa: '47:21' },
    { ...leaf, ...sh, oa: '47:12' },
    { ...table, next: '47:12' },
  ],
  '16K/48': [
    null,
    null,
    { ...block, ...sh, oa: '47:25' },
    { ...leaf, ...sh, oa: '47:14' },
    { ...table, next: '47:14' },
  ],
  '64K/48': [
    null,
    null,
    { ...block, ...sh, oa: '47:29' },
    { ...leaf, ...sh, oa: '47:16' },
    { ...table, next: '47:16' },
  ],
  '4K/52': [
    { ...block, ...oa5150, oa: '49:39' },
    { ...block, ...oa5150, oa: '49:30' },
    { ...block, ...oa5150, oa: '49:21' },
    { ...leaf, ...oa5150, oa: '49:12' },
    { ...tableDs, next: '49:12' },
  ],
  '16K/52': [
    null,
    { ...block, ...oa5150, oa: '49:36' },
    { ...block, ...oa5150, oa: '49:25' },
    { ...leaf, ...oa5150, oa: '49:14' },
    { ...tableDs, next: '49:14' },
  ],
  '64K/52': [
    null,
    { ...block, ...sh, ...oa5148, oa: '47:42' },
    { ...block, ...sh, ...oa5148, oa: '47:29' },
    { ...leaf, ...sh, ...oa5148, oa: '47:16' },
    { ...table, nextHigh: '15:12', next: '47:16' },
  ],
};

it.each(Object.keys(sheet) as VmsaName[])('VMSAv8-64 descriptors have the bits of the specification: %s', (name) => {
  const { blocks, page, table: next } = VMSA[name];
  const declared = [...blocks, page, next].map(
    (layout) =>
      layout &&
      Object.fromEntries(
        layout.fields.filter(({ shape }) => shape !== 'reserved').map(({ key, hi, lo }) => [key, `${hi}:${lo}`]),
      ),
  );
  expect(declared).toEqual(sheet[name]);
});
