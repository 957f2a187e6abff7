import { describe, expect, it } from 'vitest';
import { tempFile, virtDtb } from './files.js';
import { iommukit } from './support.js';

/** Small, seeded, and only good enough to spread mutations (xorshift32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

describe('a damaged devicetree', () => {
  it('never ends the command with anything but a verdict or a clear message', async () => {
    const random = numbers(20_200_505);
    const original = virtDtb();
    // Beyond this there is only padding.
    const used = new DataView(original.buffer).getUint32(8) + 4096;
    const codes = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const bytes = original.slice(0, i % 20 === 0 ? random(used) : original.length);
      for (let n = random(4); n >= 0 && bytes.length > 0; n--)
        bytes[random(Math.min(used, bytes.length))] = random(256);
      const { code, stderr } = await iommukit(
        'run',
        'buffer-job',
        '--trace',
        'ftrace',
        '--platform',
        tempFile('f.dtb', bytes),
      );
      expect(stderr, `mutation ${i}`).not.toMatch(/defect of iommukit|\n {4}at /);
      expect([0, 1, 2]).toContain(code);
      codes.add(code);
    }
    expect(codes).toContain(0);
    expect(codes).toContain(2);
  });
});
