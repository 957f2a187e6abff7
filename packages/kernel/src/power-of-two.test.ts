import { describe, expect, it } from 'vitest';
import { powerOfTwo } from './power-of-two.js';

describe('powerOfTwo', () => {
  it('is exact up to 2^64', () => {
    for (let n = 0; n <= 64; n++) expect(powerOfTwo(n)).toBe(Number(1n << BigInt(n)));
  });

  it('is no different from ** beyond that', () => {
    expect([-3, 65, 1024].map(powerOfTwo)).toEqual([0.125, 2 ** 65, Number.POSITIVE_INFINITY]);
  });
});
