import { powerOfTwo } from '@iommukit/kernel';

/** A naturally aligned range of pages: 2^order pages from `page` (address / 4096). Reused by its owner, never kept. */
export interface PageRange {
  page: number;
  order: number;
}

const TWO20 = 2 ** 20;
const S = 0x800;

/** Number of one bits below the lowest zero. */
function trailingOnes(word: number): number {
  const zeros = ~word;
  return zeros === 0 ? 32 : 31 - Math.clz32(zeros & -zeros);
}

/**
 * Writes the address bits and the size bit S (11) of a range (pcie-ats.md 2.4): the lowest zero at bit 12 or above says the
 * size. The other low bits of `words[at]` become 0. `page` is aligned down to the range; `order` is at most 52, which is everything.
 */
export function encodeRange(words: Uint32Array, at: number, page: number, order: number): void {
  const size = powerOfTwo(order);
  const first = page - (page % size);
  // Sizes above 4 KiB put ones below the lowest zero: size/2 - 1 pages of them. The top bit stays zero for "everything".
  const number = first + (order === 0 ? 0 : size / 2 - 1);
  const hi = Math.floor(number / TWO20);
  words[at] = ((number - hi * TWO20) * 4096 + (order === 0 ? 0 : S)) >>> 0;
  words[at + 1] = hi;
}

/** Reads what {@link encodeRange} wrote. Bits other than the address and S are ignored. */
export function decodeRange(lo: number, hi: number, out: PageRange): void {
  const page = hi * TWO20 + (lo >>> 12);
  if ((lo & S) === 0) {
    out.page = page;
    out.order = 0;
    return;
  }
  const low = trailingOnes(lo >>> 12);
  const ones = low < 20 ? low : 20 + trailingOnes(hi);
  const order = Math.min(ones + 1, 52);
  const size = powerOfTwo(order);
  out.page = page - (page % size);
  out.order = order;
}

/** Numbers of more than 32 bits are compared in halves of 26. */
const HALF = 2 ** 26;

/**
 * The smallest naturally aligned range that covers the pages [first, last], both included (SMMU-22, VTD-24): as many low bits as the
 * two differ in, counted from their highest difference. A range across a large boundary becomes a large one, at worst everything.
 */
export function coveringRange(first: number, last: number): PageRange {
  const high = Math.floor(first / HALF) ^ Math.floor(last / HALF);
  const order = high !== 0 ? 58 - Math.clz32(high) : 32 - Math.clz32((first % HALF) ^ (last % HALF));
  return { page: first - (first % powerOfTwo(order)), order };
}
