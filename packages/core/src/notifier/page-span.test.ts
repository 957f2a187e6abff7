import { describe, expect, it } from 'vitest';
import { EVERY_PAGE, pageCount, spanOf, wholePages } from '../index.js';

describe('spanOf', () => {
  it('takes the end as exclusive, once (VTD-25, MN-17)', () => {
    expect(spanOf(0x7000n, 0x8000n)).toEqual({ first: 7, last: 7 });
    expect(spanOf(0x7fffn, 0x8001n)).toEqual({ first: 7, last: 8 });
  });

  it('takes start 0 and an end of all ones, or past the top, for everything (VTD-25)', () => {
    expect(spanOf(0n, 0xffff_ffff_ffff_ffffn)).toEqual({ first: 0, last: 2 ** 52 - 1 });
    expect(spanOf(0n, 0n)).toEqual({ first: 0, last: 2 ** 52 - 1 });
  });

  it('counts more pages than 32 bits hold (VTD-24)', () => {
    expect(pageCount(spanOf(0n, 2n ** 48n))).toBe(2 ** 36);
  });
});

it('widens a span to whole pages of a CPU with larger ones', () => {
  expect(wholePages({ first: 5, last: 16 }, 14)).toEqual({ first: 4, last: 19 });
  expect(wholePages({ first: 5, last: 5 }, 12)).toEqual({ first: 5, last: 5 });
});

describe('spanOf (MN-17)', () => {
  it('takes the end as exclusive', () => {
    expect(spanOf(0x8000n, 0xc000n)).toEqual({ first: 8, last: 11 });
    expect(spanOf(0x8800n, 0x8801n)).toEqual({ first: 8, last: 8 });
  });

  it('takes a range up to all ones as everything', () => {
    expect(spanOf(0n, 0xffff_ffff_ffff_ffffn)).toEqual(EVERY_PAGE);
    expect(spanOf(0n, 1n << 64n)).toEqual(EVERY_PAGE);
  });

  it('counts 16 TiB in more than 32 bits', () => {
    expect(spanOf(0n, 1n << 44n)).toEqual({ first: 0, last: 2 ** 32 - 1 });
  });
});
