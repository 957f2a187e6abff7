import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { codeOf, DriverBench, JOB } from '../test/driver-bench.js';
import { DmaEngine } from './index.js';

/** A device that never completes a stop. */
class NeverStops extends DmaEngine {
  override *stop(): Coroutine<void> {
    yield* this.quiet.wait(() => false);
  }
}

describe('DmaEngineDriver', () => {
  it('moves what a process says, by its own addresses', () => {
    const bench = new DriverBench().boot();
    const before = bench.inUse();
    const { driver, core } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.bound();
        const source = yield* user.map(3);
        const destination = yield* user.map(3);
        yield* core.cpu.fill(user.mm, source, 3 * 4096, (i) => i % 251);
        yield* driver.submit(file, {
          ...JOB,
          op: 'copy',
          source: source + 8n,
          destination: destination + 4088n,
          bytes: 5000,
        });
        expect(yield* driver.wait(file)).toEqual({ status: 'done', sum: 0 });
        const wanted = Array.from({ length: 5000 }, (_unused, i) => (i + 8) % 251);
        expect(yield* user.bytes(destination + 4088n, 5000)).toEqual(wanted);
        yield* driver.submit(file, { ...JOB, op: 'fill', destination: source, bytes: 4096, pattern: 0x10203 });
        expect((yield* driver.wait(file)).status).toBe('done');
        yield* driver.submit(file, { ...JOB, op: 'checksum', source, bytes: 4096 });
        expect(yield* driver.wait(file)).toEqual({ status: 'done', sum: 0x10203 * 1024 });
        yield* driver.unbind(file);
      },
    });
    expect(outcome.end).toBe('finished');
    expect(bench.inUse()).toEqual(before);
  });

  it('binds a file once, and again after unbind', () => {
    const bench = new DriverBench().boot();
    const { driver } = bench;
    bench.processes({
      *process(user) {
        const file = yield* user.open();
        expect(yield* codeOf(() => driver.unbind(file))).toBe('EINVAL');
        expect(yield* driver.bind(file, user.mm)).toBe(1);
        expect(yield* codeOf(() => driver.bind(file, user.mm))).toBe('EEXIST');
        yield* driver.unbind(file);
        expect(yield* codeOf(() => driver.unbind(file))).toBe('EINVAL');
        expect(yield* driver.bind(file, user.mm)).toBe(1);
      },
    });
  });

  it('takes one bind and one unbind of those that come at once', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new DriverBench().boot();
      const before = bench.inUse();
      const { driver, kernel } = bench;
      const race = function* (body: () => Coroutine<unknown>): Coroutine<string[]> {
        const codes: string[] = [];
        const contender = function* (): Coroutine<void> {
          codes.push(yield* codeOf(body));
        };
        for (const name of ['a', 'b']) kernel.spawn(name, contender);
        yield* kernel.clock.sleep(1000);
        return codes.sort();
      };
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.open();
            const { mm } = user;
            expect(yield* race(() => driver.bind(file, mm))).toEqual(['EEXIST', 'none']);
            expect(yield* race(() => driver.unbind(file))).toEqual(['EINVAL', 'none']);
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end).toBe('finished');
      expect(bench.inUse()).toEqual(before);
    }
  });

  it.each([
    ['an unknown operation', { op: 'move' as never }],
    ['no bytes', { bytes: 0 }],
    ['bytes that are no multiple of 8', { bytes: 12 }],
    ['more bytes than the register holds', { bytes: 2 ** 32 }],
    ['half a byte', { bytes: 8.5 }],
    ['a destination that is not aligned', { destination: 4n }],
    ['a negative destination', { destination: -8n }],
    ['a destination beyond 64 bits', { destination: 2n ** 64n }],
    ['an end beyond 64 bits', { destination: 2n ** 64n - 8n, bytes: 16 }],
    ['a source that is not aligned', { op: 'copy' as const, source: 1n }],
    ['a pattern of 33 bits', { pattern: 2 ** 32 }],
    ['too many pages at once', { prefetch: 256 }],
  ])('refuses a job with %s', (_what, wrong) => {
    const bench = new DriverBench().boot();
    bench.processes({
      *process(user) {
        const file = yield* user.bound();
        expect(yield* codeOf(() => bench.driver.submit(file, { ...JOB, ...wrong }))).toBe('EINVAL');
        expect(yield* codeOf(() => bench.driver.wait(file))).toBe('EINVAL');
      },
    });
    expect(bench.log).toEqual([]);
  });

  it('refuses jobs of files that are not bound, and a second one while the first runs', () => {
    const bench = new DriverBench().boot();
    const { driver } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.open();
        expect(yield* codeOf(() => driver.submit(file, JOB))).toBe('EINVAL');
        yield* driver.bind(file, user.mm);
        const destination = yield* user.map(1);
        yield* driver.submit(file, { ...JOB, destination });
        expect(yield* codeOf(() => driver.submit(file, JOB))).toBe('EBUSY');
        yield* driver.wait(file);
        yield* driver.submit(file, { ...JOB, destination });
        yield* driver.unbind(file);
        expect(yield* codeOf(() => driver.submit(file, JOB))).toBe('EINVAL');
        expect((yield* driver.wait(file)).status).toBe('done');
      },
    });
    expect(outcome.end).toBe('finished');
  });

  it('cancels a job that reaches what is not mapped, or not writable', () => {
    const bench = new DriverBench().boot();
    const { driver } = bench;
    bench.processes({
      *process(user) {
        const file = yield* user.bound();
        const readable = yield* user.map(1, 1);
        for (const destination of [0x1000n, readable, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_f000n]) {
          yield* driver.submit(file, { ...JOB, destination });
          expect(yield* driver.wait(file), destination.toString(16)).toEqual({ status: 'cancelled', sum: 0 });
        }
        yield* driver.submit(file, { ...JOB, op: 'checksum', source: readable, bytes: 4096 });
        expect(yield* driver.wait(file)).toEqual({ status: 'done', sum: 0 });
      },
    });
  });

  it('runs jobs of two files one after the other, each for its own address space', () => {
    for (let seed = 0; seed < 100; seed++) {
      const bench = new DriverBench().boot();
      const before = bench.inUse();
      const { driver } = bench;
      const program = (byte: number) =>
        function* (user: Parameters<Parameters<DriverBench['processes']>[0][string]>[0]): Coroutine<void> {
          const file = yield* user.bound();
          const destination = yield* user.map(2);
          for (let i = 0; i < 2; i++) {
            const at = destination + BigInt(i * 4096);
            yield* driver.submit(file, { ...JOB, destination: at, bytes: 4096, pattern: byte * 0x01010101 });
            expect((yield* driver.wait(file)).status).toBe('done');
          }
          expect(new Set(yield* user.bytes(destination, 8192))).toEqual(new Set([byte]));
        };
      const outcome = bench.processes({ one: program(1), two: program(2) }, new RandomChooser(seed));
      expect(outcome.end, outcome.token).toBe('finished');
      expect(bench.inUse(), outcome.token).toEqual(before);
      const running: string[] = [];
      for (const line of bench.log) {
        if (line.endsWith('status=submitted')) expect(running.push(line)).toBe(1);
        else running.pop();
      }
    }
  });

  it.each(['waits', 'marker'])('releases a file with a job running: outcome, stop, unbind (%s)', (kind) => {
    const statuses: string[] = [];
    for (let seed = 0; seed < 100; seed++) {
      const bench = new DriverBench({ settings: { 'stop-kind': kind } }).boot();
      const before = bench.inUse();
      const { driver } = bench;
      const word = bench.kernel.footprint();
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.bound();
            const destination = yield* user.map(2);
            yield* driver.submit(file, { ...JOB, destination, bytes: 8192 });
            // It dies at once, or a good while later.
            for (let i = 0; i < (seed % 10) * 30; i++) yield* bench.kernel.point(word, true);
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end, outcome.token).toBe('finished');
      expect(bench.inUse(), outcome.token).toEqual(before);
      expect(bench.engine.state).toMatchObject({ work: null, stop: -2 });
      statuses.push(/status=(\w+)/.exec(bench.log.at(-1)!)![1]!);
    }
    expect([...new Set(statuses)].sort()).toEqual(['cancelled', 'done']);
  });

  it('cuts a device off the bus that does not stop, and lets the process go', () => {
    const bench = new DriverBench({ engine: { DmaEngine: NeverStops } }).boot();
    const { driver } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.bound();
        yield* user.close(file);
        const other = yield* user.open();
        expect(yield* codeOf(() => driver.bind(other, user.mm))).toBe('ENODEV');
      },
    });
    expect(outcome.end).toBe('deadlock');
    expect(bench.fn.state.busMaster).toBe(false);
    expect(driver.state.refusal).toMatch(/did not stop/);
  });

  it('lets a process see the status, and write nothing, through its mapping (VMA-4)', () => {
    const bench = new DriverBench().boot();
    const { driver, core } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.bound();
        expect(yield* codeOf(() => core.processes.mmapFile(user.process, file, 8192))).toBe('EINVAL');
        const page = yield* core.processes.mmapFile(user.process, file, 4096);
        expect(file.refs).toBe(2);
        expect(yield* user.bytes(page, 4)).toEqual([0x31, 0x41, 0x4d, 0x44]);
        const destination = yield* user.map(1);
        yield* driver.submit(file, { ...JOB, destination });
        yield* driver.wait(file);
        expect(yield* user.bytes(page + 8n, 4)).toEqual([2, 0, 0, 0]);
        expect(yield* user.bytes(page + 0x24n, 4)).toEqual([0, 0, 0, 0]);
        expect(yield* codeOf(() => core.cpu.store(user.mm, page + 4n, Uint8Array.of(1, 0, 0, 0)))).toBe('EFAULT');
      },
    });
    expect(outcome.end).toBe('finished');
  });

  it.each([
    ['the root complex passes no ATS', { properties: { 'ats-supported': false } }],
    ['the device has no ATS', { capabilities: { ats: false } }],
    ['the device has no PASID', { capabilities: { pasidBits: 0 } }],
    ['the SMMU has too few ASIDs', { smmuCapabilities: { asid16: false } }],
  ])('refuses to bind, with the reason, when %s; and leaves no feature on', (_what, options) => {
    const bench = new DriverBench(options).boot();
    let message = '';
    bench.processes({
      *process(user) {
        const file = yield* user.open();
        try {
          yield* bench.driver.bind(file, user.mm);
        } catch (error) {
          message = (error as Error).message;
        }
        expect(yield* codeOf(() => bench.driver.submit(file, JOB))).toBe('EINVAL');
      },
    });
    expect(message).toMatch(/^0000:00:03\.0 cannot share address spaces: .+ENODEV/);
    expect(bench.fn.state.pri).toBe(false);
    expect(bench.iommu.smmu.masters.of(bench.device)).toMatchObject({ iopf: false, sva: false });
  });

  it('refuses a device that does not answer as an engine', () => {
    class Silent extends DmaEngine {
      override written(): void {}
    }
    const bench = new DriverBench({ engine: { DmaEngine: Silent } });
    bench.engine.registers.state.words[0] = 0;
    expect(() => bench.boot()).toThrow(/0000:00:03\.0 is no DMA engine: its ID reads 0x0/);
  });
});
