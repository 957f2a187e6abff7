import type { PageRange } from './page-range.js';
import { pageCount } from './page-range.js';

/** One range TLBI: (`num` + 1) · 2^`scale` pages from `page`. */
export interface TlbRange {
  readonly page: number;
  /** The command's NUM field, 0 to 31. */
  readonly num: number;
  /** The command's SCALE field. */
  readonly scale: number;
}

/**
 * The range commands, table entries included (TTL 0), that cover a range of 4 KiB pages exactly or with one page more
 * (SMMU-24): that page avoids NUM=0, SCALE=0, TTL=0, which is illegal.
 */
export function tlbRanges(range: PageRange): TlbRange[] {
  const ranges: TlbRange[] = [];
  let pages = pageCount(range);
  let page = range.first;
  if (pages % 32 === 1) pages++;
  while (pages > 0) {
    let scale = 0;
    while (Math.floor(pages / 2 ** scale) % 2 === 0) scale++;
    const num = Math.floor(pages / 2 ** scale) % 32;
    ranges.push({ page, num: num - 1, scale });
    page += num * 2 ** scale;
    pages -= num * 2 ** scale;
  }
  return ranges;
}
