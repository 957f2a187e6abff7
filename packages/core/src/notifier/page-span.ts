/** Whole pages [first, last], both included, as invalidations name them. Page numbers are addresses / 4096: exact as numbers. */
export interface PageSpan {
  readonly first: number;
  readonly last: number;
}

/** The highest page number of a 64-bit address space. */
const LAST_PAGE = 2 ** 52 - 1;

/** Every page there is. */
export const EVERY_PAGE: PageSpan = { first: 0, last: LAST_PAGE };

/**
 * The pages that hold the bytes [start, end). An end of all ones, or of 0 past the top, stands for the end of the address
 * space (MN-17).
 */
export function spanOf(start: bigint, end: bigint): PageSpan {
  const first = Number(start >> 12n);
  return { first, last: end <= start ? LAST_PAGE : Number((end - 1n) >> 12n) };
}

/** How many pages a span holds: more than 32 bits count. */
export function pageCount(span: PageSpan): number {
  return span.last - span.first + 1;
}

/** The span widened to whole pages of 2^`pageShift` bytes: what a CPU with larger pages flushes. */
export function wholePages({ first, last }: PageSpan, pageShift: number): PageSpan {
  const unit = 2 ** (pageShift - 12);
  return { first: Math.floor(first / unit) * unit, last: (Math.floor(last / unit) + 1) * unit - 1 };
}
