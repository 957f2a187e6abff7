import type { PageSpan } from '@iommukit/core';

/** One range TLBI: (`num` + 1) · 2^`scale` granules from the 4 KiB page `page`. */
export interface TlbRange {
  readonly page: number;
  /** The command's NUM field, 0 to 31. */
  readonly num: number;
  /** The command's SCALE field. */
  readonly scale: number;
}

/** log2 of the granules that NUM counts at most. */
const NUM_BITS = 5;

/**
 * The range commands that cover a range of 4 KiB pages (SMMU-24), in granules of 2^`granuleShift` bytes. With table
 * entries included (`ttl` 0) one granule more is covered where a command would say NUM=0, SCALE=0, TTL=0: that is illegal.
 */
export function tlbRanges(range: PageSpan, granuleShift = 12, ttl = 0): TlbRange[] {
  const unit = 2 ** (granuleShift - 12);
  const ranges: TlbRange[] = [];
  const first = Math.floor(range.first / unit);
  let granules = Math.floor(range.last / unit) - first + 1;
  let page = first * unit;
  if (ttl === 0 && granules % 2 ** NUM_BITS === 1) granules++;
  while (granules > 0) {
    let scale = 0;
    while (Math.floor(granules / 2 ** scale) % 2 === 0) scale++;
    const num = Math.floor(granules / 2 ** scale) % 2 ** NUM_BITS;
    ranges.push({ page, num: num - 1, scale });
    page += num * 2 ** scale * unit;
    granules -= num * 2 ** scale;
  }
  return ranges;
}

/**
 * The TTL field: the level whose entries map pages or blocks of 2^`leafShift` bytes (SMMU-24); 0, any level and tables,
 * for `leafShift` 0.
 */
export function leafLevel(leafShift: number, granuleShift: number): number {
  return leafShift === 0 ? 0 : 4 - Math.floor((leafShift - 3) / (granuleShift - 3));
}
