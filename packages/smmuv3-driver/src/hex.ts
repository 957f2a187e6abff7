/** A number as the kernel's logs print it: `0x` and at least `digits` digits. */
export function hex(value: number, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** The 64-bit word that begins at 32-bit word `at`, with 16 digits. */
export function hex64(words: Uint32Array, at: number): string {
  return hex(words[at + 1]!, 8) + hex(words[at]!, 8).slice(2);
}

/** A 64-bit value of two words, without leading zeros. */
export function hexPair(hi: number, lo: number): string {
  return hi === 0 ? hex(lo) : hex(hi) + hex(lo, 8).slice(2);
}
