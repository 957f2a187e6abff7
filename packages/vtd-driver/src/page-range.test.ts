import { describe, expect, it } from 'vitest';
import { pageCount, pagesOf } from './index.js';

describe('pagesOf', () => {
  it('takes the end as exclusive, once (VTD-25, MN-17)', () => {
    expect(pagesOf(0x7000n, 0x8000n)).toEqual({ first: 7, last: 7 });
    expect(pagesOf(0x7fffn, 0x8001n)).toEqual({ first: 7, last: 8 });
  });

  it('takes start 0 and an end of all ones, or past the top, for everything (VTD-25)', () => {
    expect(pagesOf(0n, 0xffff_ffff_ffff_ffffn)).toEqual({ first: 0, last: 2 ** 52 - 1 });
    expect(pagesOf(0n, 0n)).toEqual({ first: 0, last: 2 ** 52 - 1 });
  });

  it('counts more pages than 32 bits hold (VTD-24)', () => {
    expect(pageCount(pagesOf(0n, 2n ** 48n))).toBe(2 ** 36);
  });
});
