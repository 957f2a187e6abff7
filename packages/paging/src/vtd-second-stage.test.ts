import { describe, expect, it } from 'vitest';
import { SECOND_STAGE, SecondStageBlock1G, SecondStageBlock2M, SecondStagePage, SecondStageTable } from './index.js';

type Layout = typeof SecondStagePage | typeof SecondStageBlock2M | typeof SecondStageTable;
const bitsOf = ({ fields }: Layout) =>
  Object.fromEntries(fields.filter((f) => f.shape !== 'reserved').map((f) => [f.key, [f.hi, f.lo]]));

// vtd.md 2.12.
const common = { r: [0, 0], w: [1, 1], x: [2, 2], a: [8, 8], software: [61, 52], tm: [62, 62], ignored63: [63, 63] };
const leaf = { ...common, emt: [5, 3], ipat: [6, 6], d: [9, 9], ignored10: [10, 10], snp: [11, 11] };

describe('second-stage entries', () => {
  it('have the bits of the specification', () => {
    expect(bitsOf(SecondStagePage)).toEqual({ ...leaf, ignored7: [7, 7], addr: [51, 12] });
    expect(bitsOf(SecondStageBlock2M)).toEqual({ ...leaf, ps: [7, 7], addr: [51, 21] });
    expect(bitsOf(SecondStageBlock1G)).toEqual({ ...leaf, ps: [7, 7], addr: [51, 30] });
    expect(bitsOf(SecondStageTable)).toEqual({
      ...common,
      ignored3: [6, 3],
      ps: [7, 7],
      ignored9: [10, 9],
      addr: [51, 12],
    });
  });

  it('have low address bits of large pages, and SNP of a table, reserved', () => {
    const reserved = (layout: { hasReserved(words: Uint32Array): boolean }, bit: number) =>
      layout.hasReserved(bit < 32 ? Uint32Array.of(2 ** bit, 0) : Uint32Array.of(0, 2 ** (bit - 32)));
    const bits = (layout: { hasReserved(words: Uint32Array): boolean }) =>
      Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => reserved(layout, bit));
    expect(bits(SecondStagePage)).toEqual([]);
    expect(bits(SecondStageBlock2M)).toEqual([12, 13, 14, 15, 16, 17, 18, 19, 20]);
    expect(bits(SecondStageBlock1G)).toEqual(Array.from({ length: 18 }, (_, i) => 12 + i));
    expect(bits(SecondStageTable)).toEqual([11]);
  });

  it('are made bit by bit as written by hand', () => {
    expect([...SecondStagePage.make({ r: 1, w: 1, a: 1, d: 1, addr: 0x8_1234_5000 })]).toEqual([0x1234_5303, 8]);
    expect([...SecondStageBlock2M.make({ r: 1, ps: 1, snp: 1, addr: 0x4000_0000 })]).toEqual([0x4000_0881, 0]);
    expect([...SecondStageTable.make({ r: 1, w: 1, addr: 0x1234_5000 })]).toEqual([0x1234_5003, 0]);
  });

  it('resolve 39, 48 and 57 bits in three, four and five levels', () => {
    expect(SECOND_STAGE.levels).toEqual([0, 3, 4, 5]);
    expect(SECOND_STAGE.inputBits).toEqual([0, 39, 48, 57]);
    for (const aw of [1, 2, 3]) {
      const { shift, bitsPerLevel, levels, inputBits } = SECOND_STAGE;
      expect(shift + bitsPerLevel * levels[aw]).toBe(inputBits[aw]);
    }
  });
});
