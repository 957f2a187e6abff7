import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CompareCase } from './case-format.js';
import { shrinkCase } from './shrink.js';

/** A case whose steps and pieces are numbered. */
const numbered = (steps: number, pieces: number): CompareCase => ({
  machine: 'smmuv3',
  identification: {},
  note: 'numbered',
  memory: Array.from({ length: pieces }, (_, i) => ({ address: i * 8, as: 'data', what: String(i), words: [0n] })),
  steps: Array.from({ length: steps }, (_, i) => ({ do: 'write', register: 'R', value: BigInt(i) })),
});

const stepsOf = ({ steps }: CompareCase): number[] => steps.map((step) => Number((step as { value: bigint }).value));
const piecesOf = ({ memory }: CompareCase): number[] => memory.map(({ what }) => Number(what));
const holdsAll = (all: readonly number[], some: readonly number[]): boolean => some.every((one) => all.includes(one));

describe('shrinkCase', () => {
  it('leaves exactly what is needed, in its order', () => {
    const needs = fc.record({
      steps: fc.integer({ min: 0, max: 40 }),
      pieces: fc.integer({ min: 0, max: 20 }),
      seed: fc.array(fc.nat({ max: 39 }), { maxLength: 6 }),
    });
    fc.assert(
      fc.property(needs, ({ steps, pieces, seed }) => {
        const needed = [...new Set(seed.filter((n) => n < steps))].sort((a, b) => a - b);
        const kept = [...new Set(seed.filter((n) => n < pieces))].sort((a, b) => a - b);
        const small = shrinkCase(
          numbered(steps, pieces),
          (what) => holdsAll(stepsOf(what), needed) && holdsAll(piecesOf(what), kept),
        );
        expect([stepsOf(small), piecesOf(small)]).toEqual([needed, kept]);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('begins again with the steps when memory has become less', () => {
    // A step is needed as long as a piece is there.
    const small = shrinkCase(numbered(3, 1), (what) => piecesOf(what).length === 0 || stepsOf(what).includes(2));
    expect([stepsOf(small), piecesOf(small)]).toEqual([[], []]);
  });

  it('asks a bounded number of times', () => {
    let asked = 0;
    shrinkCase(numbered(4000, 0), () => {
      asked++;
      return asked % 2 === 0;
    });
    expect(asked).toBeLessThanOrEqual(2000);
  });

  it('returns the case where nothing can be left out', () => {
    const what = numbered(5, 5);
    expect(shrinkCase(what, () => false)).toEqual(what);
  });
});
