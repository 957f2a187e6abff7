/** Whole pages [first, last], both included. Page numbers are addresses / 4096: exact as numbers. */
export interface PageRange {
  readonly first: number;
  readonly last: number;
}

/** The highest page number of a 64-bit address space. */
const LAST_PAGE = 2 ** 52 - 1;

/** Every page there is. */
export const EVERYTHING: PageRange = { first: 0, last: LAST_PAGE };

/**
 * The pages that hold the bytes [start, end). An end of all ones, or of 0 past the top, stands for the end of the address
 * space (MN-17).
 */
export function pagesOf(start: bigint, end: bigint): PageRange {
  const first = Number(start >> 12n);
  return { first, last: end <= start ? LAST_PAGE : Number((end - 1n) >> 12n) };
}

/** How many pages a range holds. */
export function pageCount(range: PageRange): number {
  return range.last - range.first + 1;
}
