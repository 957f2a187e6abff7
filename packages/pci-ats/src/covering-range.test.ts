import { describe, expect, it } from 'vitest';
import { coveringRange } from './index.js';

describe('coveringRange (SMMU-22, VTD-24)', () => {
  it.each<[number, number, number, number]>([
    [0x1, 0x1, 0x1, 0],
    [0x1, 0x2, 0x0, 2],
    [0x1, 0x5, 0x0, 3],
    [0x2, 0x3, 0x2, 1],
    [0x7, 0xa, 0x0, 4],
    [0x8, 0xb, 0x8, 2],
    [0x12345f, 0x123460, 0x123440, 6],
    [0x12_3440, 0x12_347f, 0x12_3440, 6],
    [0x7_ffff_ffff, 0x8_0000_0000, 0, 36],
    [0xff_ffff, 0x100_0000, 0, 25],
    [0xffff_ffff, 0x1_0000_0000, 0, 33],
    [2 ** 40 - 1, 2 ** 40, 0, 41],
    [0xffff_b9d15, 0xffff_b9d16, 0xffff_b9d14, 2],
    [0, 2 ** 52 - 1, 0, 52],
    [2 ** 52 - 1, 2 ** 52 - 1, 2 ** 52 - 1, 0],
    [0xffff_8000_0000_0, 0xffff_ffff_ffff_f, 0xffff_8000_0000_0, 35],
    [2 ** 51 - 1, 2 ** 51, 0, 52],
  ])('covers pages [0x%x, 0x%x] from 0x%x on', (first, last, page, order) => {
    expect(coveringRange(first, last)).toEqual({ page, order });
  });
});
