/** 2^0 … 2^64. */
const POWERS = Float64Array.from({ length: 65 }, (_, n) => 2 ** n);

/**
 * 2^n, exactly. For sizes that are given as a log2, in whatever runs often: `2 ** n` is a call of the engine's that costs as much as a
 * walk of page tables (50 ns), this a load.
 */
export function powerOfTwo(n: number): number {
  return POWERS[n] ?? 2 ** n;
}
