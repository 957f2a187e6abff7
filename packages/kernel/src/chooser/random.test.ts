import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { go, pause } from '../../test/harness.js';
import { Kernel, RandomChooser, Rng } from '../index.js';

/** Who is through first: a task of one step, or one of many. */
function race(seed: number, run: number, long: number): string {
  const kernel = new Kernel();
  let first = '';
  for (const [name, steps] of [
    ['long', long],
    ['short', 1],
  ] as const) {
    kernel.spawn(name, function* () {
      for (let i = 0; i < steps; i++) yield* pause(kernel);
      first ||= name;
    });
  }
  go(kernel, new RandomChooser(seed, run));
  return first;
}

describe('RandomChooser', () => {
  it('makes equal choices for equal seeds and runs, and others for others', () => {
    const token = (seed: number, run: number): string => {
      const kernel = new Kernel();
      for (const name of ['a', 'b', 'c']) {
        kernel.spawn(name, function* () {
          for (let i = 0; i < 10; i++) yield* pause(kernel);
        });
      }
      return go(kernel, new RandomChooser(seed, run)).token;
    };
    expect(token(5, 9)).toBe(token(5, 9));
    expect(new Set([token(5, 9), token(5, 10), token(6, 9), token(2 ** 32 + 5, 9)]).size).toBe(4);
  });

  it('lets a chain of forty steps beat a single one now and then: weights differ from run to run', () => {
    let wins = 0;
    for (let run = 0; run < 2000; run++) if (race(1, run, 40) === 'long') wins++;
    // With equal weights it would be one run in 2^40.
    expect(wins).toBeGreaterThan(100);
    expect(wins).toBeLessThan(1000);
  });
});

describe('Rng', () => {
  it('is uniform enough: each of sixteen buckets gets its share', () => {
    const buckets = new Array<number>(16).fill(0);
    const rng = new Rng(42);
    for (let i = 0; i < 160_000; i++) buckets[rng.below(16)]!++;
    for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  it('stays in [0, n) for any seed', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, stream, n) => {
        const value = new Rng(seed, stream).below(n);
        expect(Number.isInteger(value) && value >= 0 && value < n).toBe(true);
      }),
      { seed: 7 },
    );
  });
});
