import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { codeOf, DriverBench, JOB } from '../test/driver-bench.js';
import { EngineBench } from '../test/engine-bench.js';
import { COPY, FAILED, FILL, PAGE, R, W } from '../test/literals.js';
import { NAME, PlatformBench } from '../test/platform-bench.js';

describe('an engine that is taken away', () => {
  it.each([
    ['waits for a translation', 'translation-request'],
    ['waits for a page', 'page-request'],
    ['waits for data', 'read'],
  ] as const)('ends its job and comes to rest while it %s', (_what, kind) => {
    const bench = new EngineBench().boot();
    bench.allow([2], R);
    bench.allow([8], kind === 'page-request' ? R : R | W);
    bench.iommu.before = (tlp) => tlp.kind === kind;
    bench.do(function* () {
      yield* bench.program({ op: COPY, source: 2 * PAGE, destination: 8 * PAGE, bytes: 8 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(1);
      bench.engine.remove();
    });
    expect(bench.kernel.atRest).toBe(true);
    expect(bench.engine.registers.state.words[2]).toBe(FAILED);
    expect(bench.pulses).toEqual([]);
  });

  it('reads all ones in configuration space and behind its base addresses, and takes no writes', () => {
    const bench = new EngineBench().boot();
    bench.do(function* () {
      bench.engine.remove();
      expect([yield* bench.config.read32(0), yield* bench.config.read16(0x106)]).toEqual([0xffffffff, 0xffff]);
      yield* bench.config.write16(0x04, 6);
      expect(yield* bench.registers.read32(0)).toBe(0xffffffff);
    });
    expect(bench.engine.fn.state.busMaster).toBe(false);
  });

  it('comes to rest on a platform bus too, with an access that is stalled', () => {
    const bench = new PlatformBench();
    bench.iommu.verdict = () => null;
    bench.do(function* () {
      yield* bench.start({ operation: FILL, destination: 8 * PAGE, bytes: 8 });
      yield* bench.kernel.clock.sleep(1);
      bench.engine.remove();
      yield* bench.kernel.clock.sleep(1);
      yield* bench.start({ operation: FILL, destination: 8 * PAGE, bytes: 8 });
    });
    expect([bench.kernel.atRest, bench.iommu.seen.length, bench.pulses]).toEqual([true, 1, []]);
    expect(NAME).toBe(bench.engine.name);
  });
});

describe('a driver whose device is taken away (L51)', () => {
  it.each(['waits', 'marker'])('fails the job, and lets processes unbind and close in every schedule (%s)', (kind) => {
    for (let seed = 1; seed <= 30; seed++) {
      const bench = new DriverBench({ settings: { 'stop-kind': kind } }).boot();
      const before = bench.inUse();
      const { driver, kernel } = bench;
      const word = kernel.footprint();
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.bound();
            const destination = yield* user.map(2);
            kernel.spawn('admin', function* () {
              for (let i = 0; i < seed * 8; i++) yield* kernel.point(word, true);
              bench.engine.remove();
              yield* driver.remove();
            });
            yield* driver.submit(file, { ...JOB, destination, bytes: 8192, endless: seed % 2 === 0 });
            expect((yield* driver.wait(file)).status).toMatch(/done|failed/);
            if (seed % 3 === 0) yield* driver.unbind(file);
          },
          *late(user) {
            const file = yield* user.open();
            yield* kernel.clock.sleep(4e11);
            expect(yield* codeOf(() => driver.bind(file, user.mm))).toBe('ENODEV');
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end, JSON.stringify(outcome)).toBe('finished');
      expect(bench.inUse(), outcome.token).toEqual(before);
    }
  });

  it('is asked for nothing any more by those who stop or submit', () => {
    const bench = new DriverBench().boot();
    const { driver } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.bound();
        bench.engine.remove();
        yield* driver.remove();
        yield* driver.submit(file, JOB);
        expect((yield* driver.wait(file)).status).toBe('failed');
        yield* driver.stop(file);
        yield* driver.unbind(file);
      },
    });
    expect(outcome.end).toBe('finished');
    expect(driver.state.refusal).toBe('it was removed');
  });
});
