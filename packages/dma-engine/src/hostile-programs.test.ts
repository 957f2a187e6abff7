import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { DriverBench, JOB } from '../test/driver-bench.js';
import { HOSTILE_PROGRAMS } from './index.js';

function drawer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('a hostile device', () => {
  it.each(HOSTILE_PROGRAMS.filter(({ forges }) => !forges))('that sends $name leaves others in peace', (program) => {
    for (let seed = 1; seed <= 6; seed++) {
      const bench = new DriverBench().boot();
      const before = bench.inUse();
      const { driver, core, kernel } = bench;
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.bound();
            const secret = yield* user.map(1);
            yield* core.cpu.fill(user.mm, secret, 4096, () => 7);
            const destination = yield* user.map(2);
            const pages = [Number(destination >> 12n), Number(destination >> 12n) + 1];
            kernel.spawn('hostile', () => program.run(bench.engine, drawer(seed), { pasids: [1, 2], pages }));
            yield* driver.submit(file, { ...JOB, destination, bytes: 4096 });
            yield* driver.wait(file);
            yield* kernel.clock.sleep(1e6);
            expect(new Set(yield* user.bytes(secret, 4096))).toEqual(new Set([7]));
          },
          *other(user) {
            const buffer = yield* user.map(1);
            yield* core.cpu.fill(user.mm, buffer, 4096, () => 9);
            yield* kernel.clock.sleep(1e6);
            expect(new Set(yield* user.bytes(buffer, 4096))).toEqual(new Set([9]));
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end, JSON.stringify(outcome)).toBe('finished');
      // Groups that were never closed are held until nobody takes page requests any more (IOPF-17).
      bench.run(function* () {
        yield* driver.disableFeatures();
        yield* driver.enableFeatures();
      });
      expect(bench.inUse()).toEqual(before);
    }
  });

  it('reaches any memory where the IOMMU trusts what it calls translated (pcie-ats.md 4)', () => {
    const bench = new DriverBench().boot();
    const frame = bench.bus.frames.alloc('somebody');
    const forges = HOSTILE_PROGRAMS.find((program) => program.forges)!;
    bench.run(() => forges.run(bench.engine, (below) => Math.min(1, below - 1), { pages: [frame] }));
    expect(bench.bus.load32(frame * 4096 + 8)).toBe(0x01010101);
  });
});
