import { ENTRY, PERM } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { SecondStageFormat } from './second-stage-format.js';

const RW = PERM.READ | PERM.WRITE;
const format = new SecondStageFormat({ aw: 2, sllps: 3 });

const leaf = (frame: number, perm = RW, level = 3): number[] => {
  const out = new Uint32Array(2);
  format.encodeLeaf(frame, perm, false, out, level);
  return [...out];
};

describe('SecondStageFormat', () => {
  it('has 3, 4 or 5 levels by AW, and no more input bits than the unit', () => {
    expect(new SecondStageFormat({ aw: 1, sllps: 0 })).toMatchObject({
      rootLevel: 1,
      addressBits: 39,
      pageEnd: 2 ** 27,
    });
    expect(format).toMatchObject({ rootLevel: 0, addressBits: 48, pageEnd: 2 ** 36, rootOrder: 0, tableOrder: 0 });
    expect(new SecondStageFormat({ aw: 3, sllps: 0 })).toMatchObject({ rootLevel: -1, addressBits: 57 });
    expect(new SecondStageFormat({ aw: 2, inputBits: 40, sllps: 0 }).pageEnd).toBe(2 ** 28);
  });

  it('writes R in bit 0, W in bit 1, PS in bit 7 and the address from bit 12 on (vtd.md 2.12)', () => {
    expect(leaf(0x12345)).toEqual([0x1234_5003, 0]);
    expect(leaf(0x12345, PERM.READ)).toEqual([0x1234_5001, 0]);
    expect(leaf(0x12345, PERM.WRITE)).toEqual([0x1234_5002, 0]);
    expect(leaf(0x8_4020_0, RW, 2)).toEqual([0x4020_0083, 8]);
    expect(leaf(0x4_0000, RW, 1)).toEqual([0x4000_0083, 0]);
    const table = new Uint32Array(2);
    format.encodeTable(0x8_1234_5, table);
    expect([...table]).toEqual([0x1234_5003, 8]);
    expect(format.tableOf(table)).toBe(0x8_1234_5);
  });

  it('takes an entry with R or W for present, and PS for a leaf where the unit has such pages (CAP.SLLPS)', () => {
    const kinds = (word: number, of = format): number[] =>
      [0, 1, 2, 3].map((level) => of.kindOf(Uint32Array.of(word, 0), level));
    expect(kinds(0x83)).toEqual([ENTRY.ABSENT, ENTRY.LEAF, ENTRY.LEAF, ENTRY.LEAF]);
    expect(kinds(0x03)).toEqual([ENTRY.TABLE, ENTRY.TABLE, ENTRY.TABLE, ENTRY.LEAF]);
    // X alone is not present.
    expect(kinds(0x04)).toEqual([0, 0, 0, 0]);
    const small = new SecondStageFormat({ aw: 2, sllps: 1 });
    expect(kinds(0x83, small)).toEqual([ENTRY.ABSENT, ENTRY.ABSENT, ENTRY.LEAF, ENTRY.LEAF]);
    expect([-1, 0, 1, 2, 3].map((level) => small.leafOrders(level))).toEqual([[], [], [], [9], [0]]);
  });

  it('makes pages of a large page, with its rights', () => {
    const entry = Uint32Array.of(0x4020_0081, 8);
    format.resize(entry, 2, 0x8_4020_7, 3);
    expect([...entry]).toEqual([0x4020_7001, 8]);
    format.setPerm(entry, PERM.WRITE);
    expect([entry[0], format.permOf(entry), format.isDirty(entry)]).toEqual([0x4020_7002, PERM.WRITE, true]);
  });

  it('finds the entry of an address at each level: 9 bits each', () => {
    // 0x7fffb9d15000: 255, 510, 462, 277.
    expect([0, 1, 2, 3].map((level) => format.offset(0x7_fffb_9d15, level) / 8)).toEqual([255, 510, 462, 277]);
  });
});
