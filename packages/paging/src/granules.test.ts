import { describe, expect, it } from 'vitest';
import { DESCRIPTOR_BYTES, GRANULES, LAST_LEVEL, shiftOf, startEntries, startLevel } from './index.js';

const KB = 2 ** 10;
const MB = 2 ** 20;
const GB = 2 ** 30;

describe('granules', () => {
  it('cover what the specification says, level by level', () => {
    const sizes = Object.fromEntries(
      Object.values(GRANULES).map((g) => [g.name, g.levelShift.slice(1).map((shift) => 2 ** shift)]),
    );
    expect(sizes).toEqual({
      '4K': [GB, 2 * MB, 4 * KB],
      '16K': [64 * GB, 32 * MB, 16 * KB],
      '64K': [4096 * GB, 512 * MB, 64 * KB],
    });
    expect(GRANULES['4K'].levelShift[0]).toBe(39);
  });

  it('fill one page with one table', () => {
    for (const g of Object.values(GRANULES)) {
      expect(2 ** g.bitsPerLevel * DESCRIPTOR_BYTES).toBe(2 ** g.shift);
      expect(g.levelShift[LAST_LEVEL]).toBe(g.shift);
      for (let level = 0; level < LAST_LEVEL; level++) {
        expect(g.levelShift[level] - g.levelShift[level + 1]).toBe(g.bitsPerLevel);
      }
    }
  });

  it('start a walk at the level of the specification', () => {
    const rows: [keyof typeof GRANULES, number, number, number][] = [
      ['4K', 48, 0, 512],
      ['16K', 48, 0, 2],
      ['64K', 48, 1, 64],
      ['4K', 39, 1, 512],
      ['16K', 47, 1, 2048],
      ['64K', 42, 2, 8192],
      ['4K', 40, 0, 2],
      ['4K', 30, 2, 512],
      ['4K', 25, 2, 16],
    ];
    for (const [name, bits, level, entries] of rows) {
      const g = GRANULES[name];
      expect([name, bits, startLevel(g, bits), startEntries(g, bits)]).toEqual([name, bits, level, entries]);
    }
  });

  it('start a walk of 52 bits a level earlier where pages are small', () => {
    // 4K: 52 - 12 = 40 bits in levels of 9: five levels, four bits in the first. 16K: 38 bits in four levels of 11.
    expect([startLevel(GRANULES['4K'], 52, -1), startEntries(GRANULES['4K'], 52, -1)]).toEqual([-1, 16]);
    expect([startLevel(GRANULES['16K'], 52, -1), startEntries(GRANULES['16K'], 52, -1)]).toEqual([0, 32]);
    expect([startLevel(GRANULES['64K'], 52), startEntries(GRANULES['64K'], 52)]).toEqual([1, 1024]);
    expect(shiftOf(GRANULES['4K'], -1)).toBe(48);
    expect(() => startLevel(GRANULES['4K'], 52)).toThrow(/52 address bits/);
  });

  it('refuse a size that no walk resolves', () => {
    expect(() => startLevel(GRANULES['4K'], 49)).toThrow(/4K granule: no stage-1 walk resolves 49 address bits/);
    expect(() => startLevel(GRANULES['4K'], 12)).toThrow(/12 address bits/);
  });

  it('have blocks and contiguous groups where the specification has them', () => {
    expect(Object.values(GRANULES).map((g) => g.blockAt.map(Number).join(''))).toEqual(['0110', '0010', '0010']);
    expect(Object.values(GRANULES).map((g) => [...g.contiguous].reverse())).toEqual([
      [16, 16, 16, 0],
      [128, 32, 0, 0],
      [32, 32, 0, 0],
    ]);
  });
});
