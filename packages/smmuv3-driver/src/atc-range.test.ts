import { EVERY_PAGE } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { atcSpan } from './index.js';

describe('atcSpan (SMMU-22)', () => {
  it.each([
    { first: 8, last: 11, page: 8, span: 4 },
    { first: 7, last: 10, page: 0, span: 16 },
    { first: 5, last: 5, page: 5, span: 1 },
    { first: 0, last: 0, page: 0, span: 1 },
    { first: 0x12345f, last: 0x123460, page: 0x123440, span: 64 },
    { first: 1, last: 5, page: 0, span: 8 },
  ])('covers pages [$first, $last] with $span from $page', ({ first, last, page, span }) => {
    const found = atcSpan({ first, last });
    expect([found.page, 2 ** found.size]).toEqual([page, span]);
  });

  it('needs the whole address space for a range across bit 51 of the page number', () => {
    expect(atcSpan({ first: 2 ** 51 - 1, last: 2 ** 51 })).toEqual({ page: 0, size: 52 });
    expect(atcSpan(EVERY_PAGE)).toEqual({ page: 0, size: 52 });
  });

  it('keeps page numbers above 2^32 exact', () => {
    expect(atcSpan({ first: 0xffff_b9d15, last: 0xffff_b9d16 })).toEqual({ page: 0xffff_b9d14, size: 2 });
    expect(atcSpan({ first: 2 ** 40 - 1, last: 2 ** 40 })).toEqual({ page: 0, size: 41 });
  });

  it('never goes below the smallest translation unit of the device', () => {
    expect(atcSpan({ first: 9, last: 9 }, 2)).toEqual({ page: 8, size: 2 });
  });
});
