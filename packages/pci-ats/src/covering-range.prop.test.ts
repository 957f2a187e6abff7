import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coveringRange } from './index.js';

const page = fc.integer({ min: 0, max: 2 ** 52 - 1 });
const parameters = { seed: 22, numRuns: 2000 };

describe('coveringRange', () => {
  it('covers the range, aligned, and no smaller span would (SMMU-22, VTD-24)', () => {
    fc.assert(
      fc.property(page, page, (a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        const found = coveringRange(first, last);
        const span = 2n ** BigInt(found.order);
        expect(BigInt(found.page) % span).toBe(0n);
        expect(found.page).toBeLessThanOrEqual(first);
        expect(BigInt(found.page) + span > BigInt(last)).toBe(true);
        if (found.order > 0) expect(BigInt(first) / (span / 2n)).not.toBe(BigInt(last) / (span / 2n));
      }),
      parameters,
    );
  });
});
