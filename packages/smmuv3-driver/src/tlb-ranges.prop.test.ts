import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tlbRanges } from './index.js';

const parameters = { seed: 22, numRuns: 2000 };

describe('tlbRanges', () => {
  it('covers the pages in order, at most one more, and never in the illegal form (SMMU-24)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 36 }), fc.integer({ min: 1, max: 2 ** 20 }), (first, count) => {
        let next = first;
        for (const range of tlbRanges({ first, last: first + count - 1 })) {
          expect(range.page).toBe(next);
          expect(range.num === 0 && range.scale === 0).toBe(false);
          expect(range.num).toBeGreaterThanOrEqual(0);
          expect(range.num).toBeLessThanOrEqual(31);
          next += (range.num + 1) * 2 ** range.scale;
        }
        expect([count, count + 1]).toContain(next - first);
      }),
      parameters,
    );
  });
});
