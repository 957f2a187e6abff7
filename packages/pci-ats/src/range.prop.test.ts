import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeRange, encodeRange } from './range.js';

/** The rule of the fact sheet, on 64-bit integers: OR with (size/2 - 1), S when larger than 4 KiB. */
function reference(address: bigint, size: bigint): bigint {
  const aligned = address - (address % size);
  return aligned | ((size / 2n - 1n) & ~0xfffn) | (size > 4096n ? 0x800n : 0n);
}

describe('range encoding', () => {
  it('agrees with the rule on 64-bit integers, and comes back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }), fc.integer({ min: 0, max: 52 }), (page, order) => {
        const words = new Uint32Array(2);
        encodeRange(words, 0, Number(page), order);
        expect((BigInt(words[1]) << 32n) | BigInt(words[0])).toBe(reference(page * 4096n, 2n ** BigInt(order + 12)));
        const out = { page: -1, order: -1 };
        decodeRange(words[0], words[1], out);
        expect(out).toEqual({ page: Number(page - (page % 2n ** BigInt(order))), order });
      }),
      { seed: 7, numRuns: 2000 },
    );
  });
});
