import { spanOf, wholePages } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { leafLevel, tlbRanges, wholeAsidPages } from './index.js';

/** `page+pages`, of 4 KiB; computed here from NUM and SCALE as the commands' table says. */
function spans(first: number, count: number, shift = 12, ttl = 0): string[] {
  const unit = 2 ** (shift - 12);
  return tlbRanges({ first, last: first + count - 1 }, shift, ttl).map(
    ({ page, num, scale }) => `0x${page.toString(16)}+${(num + 1) * 2 ** scale * unit}`,
  );
}

const fields = (first: number, count: number, shift = 12, ttl = 0): number[][] =>
  tlbRanges({ first, last: first + count - 1 }, shift, ttl).map(({ num, scale }) => [num, scale]);

describe('tlbRanges (SMMU-24)', () => {
  it('covers 16 pages with NUM=0, SCALE=4', () => {
    expect(fields(0x400, 16)).toEqual([[0, 4]]);
  });

  it.each([
    { pages: 1, tables: [[0, 1]], leaves: [[0, 0]] },
    { pages: 2, tables: [[0, 1]], leaves: [[0, 1]] },
    { pages: 3, tables: [[2, 0]], leaves: [[2, 0]] },
    { pages: 31, tables: [[30, 0]], leaves: [[30, 0]] },
    // 33 pages become 34, for NUM=0, SCALE=0, TTL=0 is illegal.
    {
      pages: 33,
      tables: [[16, 1]],
      leaves: [
        [0, 0],
        [0, 5],
      ],
    },
    { pages: 512, tables: [[0, 9]], leaves: [[0, 9]] },
    {
      pages: 511,
      tables: [
        [30, 0],
        [14, 5],
      ],
      leaves: [
        [30, 0],
        [14, 5],
      ],
    },
    {
      pages: 0x12345,
      tables: [
        [4, 0],
        [12, 6],
        [8, 13],
      ],
      leaves: [
        [4, 0],
        [12, 6],
        [8, 13],
      ],
    },
  ])('splits $pages pages into NUM and SCALE', ({ pages, tables, leaves }) => {
    expect(fields(0x7f000, pages)).toEqual(tables);
    expect(fields(0x7f000, pages, 12, 3)).toEqual(leaves);
  });

  it('never gives the illegal command, and covers the range with at most one page more', () => {
    for (let pages = 1; pages < 3000; pages++) {
      const parts = tlbRanges({ first: 7, last: 6 + pages });
      let at = 7;
      for (const { page, num, scale } of parts) {
        expect([page, num >= 0 && num < 32, scale >= 0 && scale < 32, num + scale > 0]).toEqual([at, true, true, true]);
        at += (num + 1) * 2 ** scale;
      }
      expect(at - 7 - pages).toBe(pages % 32 === 1 ? 1 : 0);
    }
  });

  it('counts in granules of 16 and 64 KiB, from a granule on', () => {
    expect(spans(0x7f0, 16, 16)).toEqual(['0x7f0+32']);
    expect(spans(0x7f4, 16, 16)).toEqual(['0x7f0+32']);
    expect(fields(0x7f0, 16, 16)).toEqual([[0, 1]]);
    expect(fields(0x7f0, 16, 16, 3)).toEqual([[0, 0]]);
    expect(spans(0x7fc, 12, 14)).toEqual(['0x7fc+12']);
  });

  it('knows the level of pages and blocks', () => {
    expect([12, 21, 30].map((shift) => leafLevel(shift, 12))).toEqual([3, 2, 1]);
    expect([14, 25].map((shift) => leafLevel(shift, 14))).toEqual([3, 2]);
    expect([16, 29, 42].map((shift) => leafLevel(shift, 16))).toEqual([3, 2, 1]);
    expect(leafLevel(0, 12)).toBe(0);
  });
});

describe('ranges of pages (MN-17)', () => {
  it('become one command for the ASID from 2^(page shift - 3) CPU pages on (SMMU-21)', () => {
    expect(wholeAsidPages(12)).toBe(512);
    expect(wholeAsidPages(14)).toBe(2048 * 4);
    expect(wholeAsidPages(16)).toBe(8192 * 16);
  });

  it('are widened to whole pages of the CPU', () => {
    expect(wholePages({ first: 0x123, last: 0x123 }, 12)).toEqual({ first: 0x123, last: 0x123 });
    expect(wholePages({ first: 0x123, last: 0x124 }, 14)).toEqual({ first: 0x120, last: 0x127 });
    expect(wholePages({ first: 0x123, last: 0x123 }, 16)).toEqual({ first: 0x120, last: 0x12f });
    expect(wholePages(spanOf(0n, (1n << 64n) - 1n), 16)).toEqual({ first: 0, last: 2 ** 52 - 1 });
  });
});
