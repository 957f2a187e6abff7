import { describe, expect, it } from 'vitest';
import { CacheLines, LINE } from './index.js';

function lines(): CacheLines {
  const cache = new CacheLines('IOTLB', 6);
  const fill: [page: number, order: number, pasid: number, born: number][] = [
    [0x100, 0, 1, 10],
    [0x200, 9, 1, 10],
    [0x100, 0, 2, 10],
    [0x101, 0, 1, 30],
    [2 ** 51, 0, 1, 10],
  ];
  for (const [i, [page, order, pasid, born]] of fill.entries()) {
    cache.tag[i] = i;
    cache.page[i] = page;
    cache.order[i] = order;
    cache.pasid[i] = pasid;
    cache.born[i] = born;
  }
  return cache;
}

function stale(first: number, last: number, before = 20): number[] {
  const cache = lines();
  cache.markStale({ pasid: 1, first, last, before });
  return [...cache.flags.entries()].filter(([, flags]) => (flags & LINE.STALE) !== 0).map(([i]) => i);
}

describe('CacheLines', () => {
  it('marks the lines of one PASID that overlap a range and were walked before it was invalidated (INV-7)', () => {
    expect(stale(0x100, 0x1ff)).toEqual([0]);
    expect(stale(0x100, 0x1ff, 40)).toEqual([0, 3]);
    expect(stale(0x3ff, 0x3ff)).toEqual([1]);
    expect(stale(0x400, 0x400)).toEqual([]);
    expect(stale(0, 2 ** 52 - 1)).toEqual([0, 1, 4]);
  });
});
