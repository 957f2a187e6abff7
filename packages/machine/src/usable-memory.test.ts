import { describe, expect, it } from 'vitest';
import { BLOCK, platformOf } from '../test/platform.js';
import { usableMemory } from './usable-memory.js';

type Ranges = readonly (readonly [base: number, bytes: number])[];
const GIB = 2 ** 30;

function usable(memory: Ranges, reserved: Ranges = []): number[][] {
  const range = ([base, bytes]: readonly [number, number]) => ({ base, bytes });
  const platform = platformOf({ memory: memory.map(range), reserved: reserved.map(range) });
  return usableMemory(platform).map(({ base, bytes }) => [base, bytes]);
}

describe('usableMemory', () => {
  it.each<[string, Ranges, Ranges, number[][]]>([
    ['takes what is whole', [[GIB, 4 * BLOCK]], [], [[GIB, 4 * BLOCK]]],
    ['drops what is left of a block at both ends', [[GIB + 4096, 3 * BLOCK]], [], [[GIB + BLOCK, 2 * BLOCK]]],
    [
      'keeps RAM above 4 GiB, and its gaps',
      [
        [GIB, BLOCK],
        [5 * GIB, GIB],
      ],
      [],
      [
        [GIB, BLOCK],
        [5 * GIB, GIB],
      ],
    ],
    ['keeps addresses exact up to 2^48', [[2 ** 48 - BLOCK, BLOCK]], [], [[2 ** 48 - BLOCK, BLOCK]]],
    [
      'sorts',
      [
        [5 * GIB, BLOCK],
        [GIB, BLOCK],
      ],
      [],
      [
        [GIB, BLOCK],
        [5 * GIB, BLOCK],
      ],
    ],
    [
      'joins what touches, so that a block may lie across',
      [
        [GIB, BLOCK / 2],
        [GIB + BLOCK / 2, BLOCK / 2],
      ],
      [],
      [[GIB, BLOCK]],
    ],
    [
      'counts what overlaps once',
      [
        [GIB, 2 * BLOCK],
        [GIB + BLOCK, 2 * BLOCK],
      ],
      [],
      [[GIB, 3 * BLOCK]],
    ],
    [
      'leaves out a hole in the middle',
      [[GIB, 4 * BLOCK]],
      [[GIB + BLOCK, BLOCK]],
      [
        [GIB, BLOCK],
        [GIB + 2 * BLOCK, 2 * BLOCK],
      ],
    ],
    [
      'leaves out every block that a small hole touches',
      [[GIB, 4 * BLOCK]],
      [[GIB + 2 * BLOCK - 1, 2]],
      [
        [GIB, BLOCK],
        [GIB + 3 * BLOCK, BLOCK],
      ],
    ],
    [
      'leaves out a hole at the start, and one at the end',
      [[GIB, 4 * BLOCK]],
      [
        [GIB, BLOCK],
        [GIB + 3 * BLOCK, BLOCK],
      ],
      [[GIB + BLOCK, 2 * BLOCK]],
    ],
    [
      'leaves out overlapping holes',
      [[GIB, 4 * BLOCK]],
      [
        [GIB, 2 * BLOCK],
        [GIB + BLOCK, 2 * BLOCK],
      ],
      [[GIB + 3 * BLOCK, BLOCK]],
    ],
    [
      'ignores holes elsewhere',
      [[GIB, BLOCK]],
      [
        [0, GIB],
        [GIB + BLOCK, GIB],
      ],
      [[GIB, BLOCK]],
    ],
    ['ignores empty holes', [[GIB, 2 * BLOCK]], [[GIB + 4096, 0]], [[GIB, 2 * BLOCK]]],
    [
      'leaves out a hole across two ranges',
      [
        [GIB, BLOCK],
        [GIB + 2 * BLOCK, BLOCK],
      ],
      [[GIB - BLOCK, 3 * BLOCK]],
      [[GIB + 2 * BLOCK, BLOCK]],
    ],
  ])('%s', (_what, memory, reserved, wanted) => {
    expect(usable(memory, reserved)).toEqual(wanted);
  });

  it.each<[string, Ranges, Ranges]>([
    ['there is no RAM', [], []],
    ['no block is whole', [[GIB + 4096, BLOCK]], []],
    ['firmware keeps it all', [[GIB, BLOCK]], [[0, 2 * GIB]]],
  ])('says so when %s', (_what, memory, reserved) => {
    expect(() => usable(memory, reserved)).toThrow(/the platform 'test' has no usable RAM \(ENODEV\): .*2 MiB/);
  });
});
