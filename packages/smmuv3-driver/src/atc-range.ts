import type { PageSpan } from '@iommukit/core';
import { powerOfTwo } from '@iommukit/kernel';

/** What one CMD_ATC_INV covers: 2^`size` pages from the naturally aligned page `page`. */
export interface AtcSpan {
  readonly page: number;
  /** The command's Size field, 0 to 52. */
  readonly size: number;
}

/** Numbers of more than 32 bits are compared in halves of 26. */
const HALF = 2 ** 26;

/**
 * The smallest aligned power of two that covers a range (SMMU-22): as many low bits as the first and the last page number
 * differ in, counted from their highest difference. `stu` is the smallest span the device takes, as log2 of pages.
 */
export function atcSpan(range: PageSpan, stu = 0): AtcSpan {
  const { first, last } = range;
  const high = Math.floor(first / HALF) ^ Math.floor(last / HALF);
  const low = (first % HALF) ^ (last % HALF);
  const differing = high !== 0 ? 26 + significantBits(high) : significantBits(low);
  const size = Math.max(differing, stu);
  const span = powerOfTwo(size);
  return { page: Math.floor(first / span) * span, size };
}

function significantBits(value: number): number {
  return 32 - Math.clz32(value);
}
