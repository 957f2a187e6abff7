import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { codeOf, DriverBench, JOB, type User } from '../test/driver-bench.js';

const RUNAWAY = { ...JOB, bytes: 4096, endless: true };

/** The two kinds of device, and both kinds of stop. */
const KINDS = [
  { what: 'a PCI function that waits', settings: { 'stop-kind': 'waits' } },
  { what: 'a PCI function that posts markers', settings: { 'stop-kind': 'marker' } },
  { what: 'a platform device', platform: true },
] as const;

/** Lets a good while go by, in steps and in time. */
function* while_(bench: DriverBench, steps: number): Coroutine<void> {
  const word = bench.kernel.footprint();
  for (let i = 0; i < steps; i++) yield* bench.kernel.point(word, true);
}

describe.each(KINDS)('the driver of $what', (kind) => {
  it('runs a job over pages that nobody touched, which come as they are needed', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new DriverBench(kind).boot();
      const before = bench.inUse();
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.bound();
            const destination = yield* user.map(3);
            yield* bench.driver.submit(file, { ...JOB, destination, bytes: 3 * 4096, pattern: 0x01010101 });
            expect((yield* bench.driver.wait(file)).status).toBe('done');
            expect(new Set(yield* user.bytes(destination, 3 * 4096))).toEqual(new Set([1]));
            yield* bench.driver.unbind(file);
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end, outcome.token).toBe('finished');
      expect(bench.inUse(), outcome.token).toEqual(before);
    }
  });

  it('cancels a job that reaches what is not mapped', () => {
    const bench = new DriverBench(kind).boot();
    bench.processes({
      *process(user) {
        const file = yield* user.bound();
        yield* bench.driver.submit(file, { ...JOB, destination: 0x1000n });
        expect((yield* bench.driver.wait(file)).status).toBe('cancelled');
        const source = yield* user.map(1, 1);
        yield* bench.driver.submit(file, { ...JOB, op: 'copy', source, destination: source });
        expect((yield* bench.driver.wait(file)).status).toBe('cancelled');
      },
    });
  });

  it('lets a runaway run until it is stopped; the file stays bound (IOPF-14)', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new DriverBench({ ...kind, capabilities: { pauseNs: seed % 2 === 0 ? 1000 : 0 } }).boot();
      const before = bench.inUse();
      const { driver } = bench;
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.bound();
            yield* driver.stop(file);
            const destination = yield* user.map(1);
            yield* driver.submit(file, { ...RUNAWAY, destination });
            yield* while_(bench, seed * 7);
            yield* driver.stop(file);
            expect((yield* driver.wait(file)).status).toBe('stopped');
            yield* driver.submit(file, { ...JOB, destination });
            expect((yield* driver.wait(file)).status).toBe('done');
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end, outcome.token).toBe('finished');
      expect(bench.inUse(), outcome.token).toEqual(before);
    }
  });

  it('stops a runaway before it unbinds, when its process dies or unbinds (SVA-12)', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const bench = new DriverBench({ ...kind, capabilities: { pauseNs: seed % 2 === 0 ? 1000 : 0 } }).boot();
      const before = bench.inUse();
      const outcome = bench.processes(
        {
          *process(user) {
            const file = yield* user.bound();
            const destination = yield* user.map(1);
            yield* bench.driver.submit(file, { ...RUNAWAY, destination });
            yield* while_(bench, (seed % 8) * 30);
            if (seed % 3 === 0) yield* bench.driver.unbind(file);
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end, outcome.token).toBe('finished');
      expect(bench.inUse(), outcome.token).toEqual(before);
      expect(bench.log.at(-1)).toMatch(/status=stopped$/);
    }
  });

  it('lets a submit wait for a bind that is under way, and for its PASID', () => {
    const bench = new DriverBench(kind).boot();
    const { driver, kernel } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.open();
        const destination = yield* user.map(1);
        const statuses: string[] = [];
        kernel.spawn('thread', function* () {
          // The process has begun to bind, and is not through.
          yield* kernel.until(driver.idle.footprint, () => true, 'the bind to begin');
          yield* driver.submit(file, { ...JOB, destination });
          statuses.push((yield* driver.wait(file)).status);
        });
        yield* driver.bind(file, user.mm);
        yield* kernel.clock.sleep(1000);
        expect(statuses).toEqual(['done']);
      },
    });
    expect(outcome.end).toBe('finished');
  });
});

describe('a device that reports no page faults', () => {
  it.each([
    ['a PCI function without PRI', { capabilities: { pri: false } }],
    [
      'a PCI function without PRI in an SMMU without PRI',
      { capabilities: { pri: false }, smmuCapabilities: { pri: false } },
    ],
  ])('reaches pages that are there, and no others: %s (FEAT-4)', (_what, options) => {
    const bench = new DriverBench(options).boot();
    const before = bench.inUse();
    const { driver, core } = bench;
    expect(bench.iommu.smmu.masters.of(bench.device)).toMatchObject({ iopf: false, sva: true });
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.bound();
        const destination = yield* user.map(2);
        yield* core.cpu.fill(user.mm, destination, 4096, () => 9);
        yield* driver.submit(file, { ...JOB, destination, bytes: 4096 });
        expect((yield* driver.wait(file)).status).toBe('done');
        yield* driver.submit(file, { ...JOB, destination, bytes: 8192 });
        expect((yield* driver.wait(file)).status).toBe('cancelled');
      },
    });
    expect(outcome.end).toBe('finished');
    expect(bench.inUse()).toEqual(before);
  });

  it('is refused where it may not stall either (SMMU-13)', () => {
    const bench = new DriverBench({ platform: true, properties: { 'dma-can-stall': false } }).boot();
    expect(bench.driver.state.refusal).toMatch(/neither stalls nor translates/);
    expect(bench.iommu.smmu.masters.of(bench.device)).toMatchObject({ iopf: false, sva: false });
  });
});

describe('the features of a device', () => {
  it.each(KINDS)('are taken off in reverse, unless files are bound (FEAT-2): $what', (kind) => {
    const bench = new DriverBench(kind).boot();
    const { driver } = bench;
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.bound();
        expect(yield* codeOf(() => driver.disableFeatures())).toBe('EBUSY');
        yield* driver.unbind(file);
        yield* driver.disableFeatures();
        yield* driver.disableFeatures();
        expect(bench.iommu.smmu.masters.of(bench.device)).toMatchObject({ iopf: false, sva: false });
        expect(yield* codeOf(() => driver.bind(file, user.mm))).toBe('ENODEV');
        yield* driver.enableFeatures();
        yield* driver.bind(file, user.mm);
      },
    });
    expect(outcome.end).toBe('finished');
  });
});

describe('a job without a PASID', () => {
  it.each([
    ['a PCI function', {}],
    ['a PCI function without ATS', { properties: { 'ats-supported': false } }],
    ['a platform device', { platform: true }],
  ])('works on the DMA domain that its device is attached to: %s', (_what, options) => {
    const bench = new DriverBench(options).boot();
    const { driver, iommu, device, bus } = bench;
    const before = bench.inUse();
    const outcome = bench.processes({
      *process(user) {
        const file = yield* user.open();
        const shares = driver.state.refusal === '';
        yield* driver.disableFeatures();
        const domain = yield* iommu.allocDomain(device);
        yield* iommu.attach(device, domain);
        const frame = bus.frames.alloc('test buffer');
        yield* iommu.map(domain, 0x10000n, frame * 4096, 4096, 3);
        const job = { ...JOB, noPasid: true, destination: 0x10000n, bytes: 4096, pattern: 0x07070707 };
        yield* driver.submit(file, job);
        expect((yield* driver.wait(file)).status).toBe('done');
        expect(bus.load32(frame * 4096 + 4092)).toBe(0x07070707);
        // Reads are answered, so that a job over what is not mapped is cancelled.
        yield* driver.submit(file, { ...job, op: 'checksum', source: 0x20000n });
        expect((yield* driver.wait(file)).status).toBe('cancelled');
        yield* iommu.unmap(domain, 0x10000n, 4096);
        yield* iommu.detach(device);
        yield* iommu.freeDomain(domain);
        bus.frames.free(frame);
        if (shares) yield* driver.enableFeatures();
      },
    });
    expect(outcome.end).toBe('finished');
    expect(bench.inUse()).toEqual(before);
  });
});

describe('a hostile or guest-made submission', () => {
  it('reaches the memory as soon as the entry of its PASID is live, and not before (L34)', () => {
    const statuses = new Set<string>();
    for (let seed = 1; seed <= 30; seed++) {
      const bench = new DriverBench({ capabilities: { eagerTries: 200 } }).boot();
      const { driver, kernel } = bench;
      const outcome = bench.processes(
        {
          *process(user: User) {
            const file = yield* user.open();
            const destination = yield* user.map(1);
            // The number is guessed: the lowest is free.
            yield* driver.submitWith(file, { ...JOB, destination, eager: true }, 1);
            yield* driver.bind(file, user.mm);
            statuses.add((yield* driver.wait(file)).status);
            yield* kernel.clock.sleep(1);
          },
        },
        new RandomChooser(seed),
      );
      expect(outcome.end, outcome.token).toBe('finished');
    }
    expect([...statuses]).toEqual(['done']);
  });
});
