import { PERM } from '@iommukit/core';
import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { codeOf, DriverBench, type DriverBenchOptions, JOB } from '../test/driver-bench.js';

/** Devices that have no PASIDs, with and without a TLB of their own. */
const KINDS: readonly (readonly [string, DriverBenchOptions])[] = [
  ['no PASIDs and no ATS', { capabilities: { pasidBits: 0, ats: false, pri: false } }],
  ['no PASIDs, but ATS', { capabilities: { pasidBits: 0, pri: false } }],
  ['PASIDs, and SVA on', {}],
];

describe.each(KINDS)('a process whose memory a device reaches without PASID: %s', (_name, options) => {
  it('has its jobs done, and finds the memory closed to the device after unbind', () => {
    const bench = new DriverBench(options).boot();
    const before = bench.inUse();
    const { driver, core } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.open();
        const source = yield* user.map(2);
        const destination = yield* user.map(2);
        yield* core.cpu.fill(user.mm, source, 8192, (i) => i % 251);
        yield* core.cpu.fill(user.mm, destination, 8192, () => 0);
        expect(yield* driver.bind(file, user.mm, { withoutPasid: true })).toBe(0);
        yield* driver.submit(file, { ...JOB, op: 'copy', source, destination, bytes: 8192 });
        expect(yield* driver.wait(file)).toEqual({ status: 'done', sum: 0 });
        expect(yield* user.bytes(destination, 8192)).toEqual(Array.from({ length: 8192 }, (_unused, i) => i % 251));
        yield* driver.unbind(file);
        expect(yield* codeOf(() => driver.submit(file, { ...JOB, op: 'fill', destination, bytes: 8 }))).toBe('EINVAL');
        yield* driver.submitWith(file, { ...JOB, op: 'copy', source: destination, destination: source, bytes: 8 }, -1);
        expect((yield* driver.wait(file)).status).not.toBe('done');
      },
    });
    expect(outcome.end).toBe('finished');
    expect(bench.inUse()).toEqual(before);
  });

  it('is told to the trace without a PASID, as words and as null', () => {
    const bench = new DriverBench(options).boot();
    const { driver, core } = bench;
    const told: { name: string; text: string; pasid: unknown }[] = [];
    bench.kernel.trace.add({
      wants: (name) => name.startsWith('engine_'),
      event: ({ point, record }) =>
        void told.push({ name: point.name, text: point.format(record), pasid: (record as { pasid: unknown }).pasid }),
    });
    bench.processes({
      *process(user) {
        const file = yield* user.open();
        const destination = yield* user.map(1);
        yield* core.cpu.fill(user.mm, destination, 4096, () => 0);
        yield* driver.bind(file, user.mm, { withoutPasid: true });
        yield* driver.submit(file, { ...JOB, op: 'fill', destination, bytes: 8 });
        yield* driver.wait(file);
        yield* driver.unbind(file);
      },
    });
    expect(new Set(told.map(({ name }) => name))).toContain('engine_job');
    expect(new Set(told.map(({ name }) => name))).toContain('engine_dma');
    for (const { text, pasid } of told) expect([text, pasid]).toEqual([expect.stringContaining(' pasid=none '), null]);
  });

  it('cannot reach what is not there: nobody handles these faults', () => {
    const bench = new DriverBench(options).boot();
    const { driver, core } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.open();
        const untouched = yield* user.map(1);
        const readOnly = yield* core.processes.mmap(user.process, 4096, PERM.READ);
        yield* driver.bind(file, user.mm, { withoutPasid: true });
        for (const source of [untouched, readOnly]) {
          yield* driver.submit(file, { ...JOB, op: 'checksum', source, bytes: 4096 });
          expect(['cancelled', 'failed']).toContain((yield* driver.wait(file)).status);
        }
        yield* driver.unbind(file);
      },
    });
    expect(outcome.end).toBe('finished');
  });

  it('may exit in the middle of it, under any schedule: nothing of it is reached afterwards, and all is given back', () => {
    for (let seed = 0; seed < 30; seed++) {
      const bench = new DriverBench(options).boot();
      const before = bench.inUse();
      const { driver, core } = bench;
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.open();
            const destination = yield* user.map(2);
            yield* core.cpu.fill(user.mm, destination, 8192, () => 1);
            yield* driver.bind(file, user.mm, { withoutPasid: true });
            yield* driver.submit(file, { ...JOB, op: 'fill', destination, bytes: 8192, endless: true });
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end).toBe('finished');
      expect(bench.inUse()).toEqual(before);
    }
  });
});
