/** A number as the kernel's logs print it: `0x` and at least `digits` digits. */
export function hex(value: number, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** The 64-bit word that begins at 32-bit word `at`, without leading zeros. */
export function hexWord(words: Uint32Array, at: number): string {
  const [lo, hi] = [words[at]!, words[at + 1]!];
  return hi === 0 ? hex(lo) : hex(hi) + lo.toString(16).padStart(8, '0');
}
