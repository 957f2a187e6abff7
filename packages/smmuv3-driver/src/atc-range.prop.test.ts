import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atcSpan, tlbRanges } from './index.js';

const page = fc.integer({ min: 0, max: 2 ** 52 - 1 });
const parameters = { seed: 22, numRuns: 2000 };

describe('atcSpan', () => {
  it('covers the range, aligned, and no smaller span would (SMMU-22)', () => {
    fc.assert(
      fc.property(page, page, (a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        const found = atcSpan({ first, last });
        const span = 2n ** BigInt(found.size);
        expect(BigInt(found.page) % span).toBe(0n);
        expect(found.page).toBeLessThanOrEqual(first);
        expect(BigInt(found.page) + span > BigInt(last)).toBe(true);
        if (found.size > 0) expect(BigInt(first) / (span / 2n)).not.toBe(BigInt(last) / (span / 2n));
      }),
      parameters,
    );
  });
});

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
