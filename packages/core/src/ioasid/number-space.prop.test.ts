import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { smallKernel } from '../../test/small-kernel.js';
import { INVALID_IOASID, type IoasidSet } from './ioasid.js';
import { NumberSpace } from './number-space.js';

const SET: IoasidSet = { name: 'test' };

/** Allocate from a range, or put one of the numbers in use. */
const step = fc.oneof(
  fc.record({ min: fc.integer({ min: 0, max: 12 }), span: fc.integer({ min: -1, max: 12 }) }),
  fc.record({ put: fc.nat({ max: 12 }) }),
);

describe('NumberSpace', () => {
  it('finds the lowest free number of any range, as a search of every number does (IOASID-4)', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { ioasid } = smallKernel().core;
        const used = new Set<number>();
        for (const s of steps) {
          if ('put' in s) {
            const id = [...used][s.put];
            if (id === undefined) continue;
            expect(ioasid.put(id)).toBe(true);
            used.delete(id);
            continue;
          }
          const max = s.min + s.span;
          let lowest = s.min;
          while (used.has(lowest)) lowest++;
          expect(ioasid.alloc(SET, s.min, max, null)).toBe(lowest <= max ? lowest : INVALID_IOASID);
          if (lowest <= max) used.add(lowest);
        }
        expect(ioasid.inUse()).toBe(used.size);
      }),
      { seed: 20, numRuns: 300 },
    );
  });

  it('hands out 32-bit numbers up to the one below the failure value (IOASID-1)', () => {
    const { ioasid } = smallKernel().core;
    expect(ioasid.alloc(SET, 0xffff_fffe, 0xffff_ffff, null)).toBe(0xffff_fffe);
    expect(ioasid.alloc(SET, 0xffff_fffe, 0xffff_ffff, null)).toBe(0xffff_ffff);
    expect(ioasid.inUse()).toBe(1);
  });

  it('is zero only for those who ask for it: a range that begins at 0 includes it (IOASID-2, IOASID-4)', () => {
    const { ioasid } = smallKernel().core;
    expect(ioasid.alloc(SET, 1, 9, null)).toBe(1);
    expect(ioasid.alloc(SET, 0, 9, null)).toBe(0);
    expect(ioasid.alloc(SET, 0, 9, null)).toBe(2);
  });

  it('finds another number than the lowest if it forgets what was freed (broken IOASID-4)', () => {
    class Forgets extends NumberSpace {
      override freed(): void {}
    }
    const next = (part: typeof NumberSpace): number => {
      const space = new part(smallKernel().kernel);
      for (const id of [1, 2, 3]) space.took(id, 1);
      space.freed(2);
      return space.lowestFree(1, 9);
    };
    expect(next(NumberSpace)).toBe(2);
    expect(next(Forgets)).toBe(4);
  });
});
