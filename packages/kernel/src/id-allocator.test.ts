import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ending, go, pause } from '../test/harness.js';
import { IdAllocator, Kernel } from './index.js';

describe('IdAllocator', () => {
  it('still finds what is free below a number that was asked for from higher up', () => {
    const ids = new IdAllocator(new Kernel(), 'PASID', 1, 9);
    expect([ids.alloc(4), ids.alloc(4), ids.alloc(), ids.alloc(2, 3), ids.alloc()]).toEqual([4, 5, 1, 2, 3]);
    expect(ids.alloc()).toBe(6);
    ids.free(2);
    expect([ids.alloc(7), ids.alloc(1, 1), ids.alloc()]).toEqual([7, null, 2]);
  });

  it('hands out the lowest free id, so that a freed one is the very next (L06, L09, L21, L25)', () => {
    const ids = new IdAllocator(new Kernel(), 'PASID', 1, 5);
    expect([ids.alloc(), ids.alloc(), ids.alloc()]).toEqual([1, 2, 3]);
    ids.free(2);
    expect([ids.alloc(), ids.alloc()]).toEqual([2, 4]);
  });

  it('gives null when the range is used up', () => {
    const ids = new IdAllocator(new Kernel(), 'ASID', 0, 1);
    expect([ids.alloc(), ids.alloc(), ids.alloc()]).toEqual([0, 1, null]);
  });

  it('keeps to the part of its range that is asked for', () => {
    const ids = new IdAllocator(new Kernel(), 'PASID', 1, 100);
    expect([ids.alloc(0, 3), ids.alloc(50, 60), ids.alloc(99, 1000), ids.alloc(99, 1000), ids.alloc(99, 1000)]).toEqual(
      [1, 50, 99, 100, null],
    );
  });

  it('reports a free of what is not in use (L14, INV-9)', () => {
    const kernel = new Kernel();
    const ids = new IdAllocator(kernel, 'PASID', 1, 5);
    kernel.spawn('T1', function* () {
      ids.free(3);
      yield* pause(kernel);
    });
    expect(ending(go(kernel))).toBe('INV-9: PASID 3 is freed, but is not in use');
  });

  it('agrees with a plain search of the lowest free number, also after a restore', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.nat(9))),
        fc.array(fc.tuple(fc.boolean(), fc.nat(9))),
        (before, after) => {
          const kernel = new Kernel();
          const ids = new IdAllocator(kernel, 'PASID', 1, 9);
          const used = new Set<number>();
          const both = (steps: (readonly [boolean, number])[], reference: Set<number>): void => {
            for (const [alloc, id] of steps) {
              if (alloc) {
                const lowest = [1, 2, 3, 4, 5, 6, 7, 8, 9].find((n) => !reference.has(n)) ?? null;
                expect(ids.alloc()).toBe(lowest);
                if (lowest !== null) reference.add(lowest);
              } else if (reference.delete(id)) ids.free(id);
            }
          };
          both(before, used);
          const { restore } = kernel.checkpoints.take();
          both(after, new Set(used));
          restore();
          both(after, new Set(used));
        },
      ),
      { seed: 4, numRuns: 200 },
    );
  });
});
