import type { Mm } from '@iommukit/core';
import { type Coroutine, RandomChooser, type Setting } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { codeOf, SID } from '../test/bench.js';
import { StallBench } from '../test/stall-bench.js';
import { Events } from './index.js';

/** A mapping of `pages` pages that nobody has touched. */
function* untouched(bench: StallBench, pages = 1): Coroutine<{ mm: Mm; va: bigint }> {
  const mm = bench.core.mms.create();
  return { mm, va: yield* bench.core.mms.mmap(mm, pages * 4096, 3) };
}

const OPCODE = 0xffn;
const [RESUME, STALL_TERM, SYNC] = [0x44n, 0x45n, 0x46n];

describe('a platform device whose transactions stall (SMMU-12, SMMU-13, SMMU-30, SMMU-31)', () => {
  it.each(['optional', 'forced'])('has its pages made present, and its accesses go on, when stalls are %s', (stall) => {
    const bench = new StallBench({ capabilities: { stall } }).boot();
    bench.do(function* () {
      const { mm, va } = yield* untouched(bench);
      const handle = yield* bench.driver.bind(bench.device, mm);
      yield* bench.write(1, handle.pasid, va + 5n, 77);
      expect(yield* bench.completed(1)).toBe('ok');
      yield* bench.read(2, handle.pasid, va + 5n);
      expect(yield* bench.completed(2)).toBe('ok');
      expect([...bench.got.get(2)!.data]).toEqual([77]);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.driver.smmu.events.counts.size).toBe(0);
  });

  it('ends an access that its process does not allow, with one RESUME each (SMMU-31)', () => {
    const bench = new StallBench().boot();
    const from = bench.driver.smmu.commands.state.produced;
    bench.do(function* () {
      const { mm, va } = yield* untouched(bench);
      const handle = yield* bench.driver.bind(bench.device, mm);
      yield* bench.write(1, handle.pasid, 0x1000n, 1);
      yield* bench.write(2, handle.pasid, va, 1);
      expect([yield* bench.completed(1), yield* bench.completed(2)]).toEqual(['ca', 'ok']);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
    const resumes = bench.commands(from).filter(([lo]) => (lo! & OPCODE) === RESUME);
    // Ab and Ac at bits 13 and 12; the lowest free STAGs.
    expect(resumes.map(([lo]) => lo!.toString(16)).sort()).toEqual(['4200001044', '4200002044']);
    expect(resumes.every(([, hi]) => hi! < 2n)).toBe(true);
  });

  it('drains the event queue before the PASID is freed, in every order (IOPF-28, SVA-12)', () => {
    const bench = new StallBench().boot();
    const { core, driver, kernel } = bench;
    const before = bench.inUse();
    const start = kernel.checkpoints.take();
    const statuses = new Set<string>();
    for (let seed = 1; seed <= 150; seed++) {
      start.restore();
      bench.got.clear();
      kernel.spawn('main', function* () {
        const { mm, va } = yield* untouched(bench, 3);
        const handle = yield* driver.bind(bench.device, mm);
        kernel.spawn('exit', () => core.mms.put(mm));
        for (const tag of [1, 2, 3]) yield* bench.write(tag, handle.pasid, va + BigInt(4096 * (tag - 1)), tag);
        // The device's stop: everything that it sent has come back.
        for (const tag of [1, 2, 3]) statuses.add(yield* bench.completed(tag));
        yield* driver.unbind(handle);
      });
      kernel.begin(new RandomChooser(seed));
      expect(kernel.run().end, `seed ${seed}`).toBe('finished');
      expect(bench.inUse(), `seed ${seed}`).toEqual(before);
    }
    expect(statuses).toEqual(new Set(['ok', 'ca']));
  });

  it('lets a dead process end quietly: stalled, refused, aborted, and nothing recorded (SVA-7, SVA-10, L16)', () => {
    for (const settings of [{}, { 'quiesce-form': 'later' }] as Record<string, Setting>[]) {
      for (const stall of ['optional', 'forced']) {
        const bench = new StallBench({ capabilities: { stall }, settings }).boot();
        bench.do(function* () {
          const { mm, va } = yield* untouched(bench);
          const handle = yield* bench.driver.bind(bench.device, mm);
          yield* bench.core.mms.put(mm);
          yield* bench.write(1, handle.pasid, va, 1);
          expect(yield* bench.completed(1)).toBe('ca');
          yield* bench.driver.unbind(handle);
        });
        expect(bench.driver.smmu.events.counts.size).toBe(0);
      }
    }
  });

  it('takes exactly one StreamID (SMMU-13), a device that firmware lets stall (FEAT-5), and no PCI function', () => {
    const bench = new StallBench();
    const { driver } = bench;
    const two = bench.makeDevice('two', [7, 8], { 'dma-can-stall': true, 'pasid-num-bits': 8 });
    const cannot = bench.makeDevice('cannot', [9], { 'pasid-num-bits': 8 });
    const config = {} as NonNullable<typeof two.config>;
    bench.do(function* () {
      yield* driver.start();
      for (const device of [two, cannot]) {
        yield* driver.probeDevice(device);
        expect(yield* codeOf(driver.enable(device, 'iopf'))).toBe('ENODEV');
      }
    });
    const { masters } = driver.smmu;
    expect(masters.whyNoStall(masters.of(two))).toMatch(/2 StreamIDs/);
    expect(masters.whyNoStall(masters.of(cannot))).toMatch(/dma-can-stall/);
    expect([two, cannot, { ...two, config }].map((device) => masters.mayStall(device))).toEqual([true, false, false]);
  });

  it.each([
    ['none', false, false],
    ['optional', true, false],
    ['forced', true, true],
  ] as const)('may stall a device as the SMMU says: %s (FEAT-5, SMMU-12)', (stall, allowed, others) => {
    const bench = new StallBench({ capabilities: { stall } });
    bench.do(() => bench.driver.start());
    const { masters } = bench.driver.smmu;
    expect(masters.mayStall(bench.device)).toBe(allowed);
    expect(masters.mayStall(bench.makeDevice('other', [9], {}))).toBe(others);
  });

  it('ends what is stalled when the device leaves: abort, CFGI, SYNC, STALL_TERM, SYNC (smmuv3.md 5.4)', () => {
    // Nobody answers: the interrupt thread does not report.
    class Deaf extends Events {
      override *handle(): Coroutine<void> {}
    }
    const bench = new StallBench({ parts: { Events: Deaf } }).boot();
    let from = 0;
    bench.do(function* () {
      const { mm, va } = yield* untouched(bench);
      const handle = yield* bench.driver.bind(bench.device, mm);
      yield* bench.write(1, handle.pasid, va, 1);
      yield* bench.kernel.clock.sleep(1e6);
      expect(bench.got.size).toBe(0);
      yield* bench.driver.unbind(handle);
      yield* bench.driver.disable(bench.device, 'sva');
      yield* bench.driver.disable(bench.device, 'iopf');
      from = bench.driver.smmu.commands.state.produced;
      yield* bench.driver.releaseDevice(bench.device);
      expect(yield* bench.completed(1)).toBe('ca');
      yield* bench.core.mms.put(mm);
    });
    const sent = bench.commands(from).map(([lo]) => lo!);
    const term = sent.findIndex((lo) => (lo & OPCODE) === STALL_TERM);
    expect(sent[term]).toBe((BigInt(SID) << 32n) | STALL_TERM);
    expect(sent[term + 1]! & OPCODE).toBe(SYNC);
    // Before it: two changes of the STE, each with its SYNC, and a hint.
    expect(sent.slice(0, term).map((lo) => lo & OPCODE)).toEqual([0x03n, SYNC, 0x03n, SYNC, 0x01n]);
  });

  it('leaves a transaction waiting for ever without that STALL_TERM', () => {
    class Deaf extends Events {
      override *handle(): Coroutine<void> {}
      override *terminateStalls(): Coroutine<void> {}
    }
    const bench = new StallBench({ parts: { Events: Deaf } }).boot();
    bench.do(function* () {
      const { mm, va } = yield* untouched(bench);
      const handle = yield* bench.driver.bind(bench.device, mm);
      yield* bench.write(1, handle.pasid, va, 1);
      yield* bench.kernel.clock.sleep(1e6);
      yield* bench.driver.unbind(handle);
      yield* bench.driver.disable(bench.device, 'sva');
      yield* bench.driver.disable(bench.device, 'iopf');
      yield* bench.driver.releaseDevice(bench.device);
      yield* bench.kernel.clock.sleep(1e6);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.got.size).toBe(0);
  });

  it('loses no stalled fault to an event queue that overflows (smmuv3.md 5.4, SMMU-33)', () => {
    const bench = new StallBench({ settings: { 'smmuv3.evtq-entries': 2 } }).boot();
    const { events, masters } = bench.driver.smmu;
    bench.do(function* () {
      const { mm, va } = yield* untouched(bench, 6);
      const handle = yield* bench.driver.bind(bench.device, mm);
      // The thread cannot go on meanwhile: records of both kinds find the queue full.
      const lock = yield* masters.lock.acquire();
      for (let i = 0; i < 6; i++) yield* bench.write(i, handle.pasid, va + BigInt(4096 * i), i);
      for (let i = 0; i < 4; i++) yield* bench.read(10 + i, 99, va);
      yield* bench.kernel.clock.sleep(1e6);
      lock.release();
      for (let i = 0; i < 6; i++) expect(yield* bench.completed(i)).toBe('ok');
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
    expect([events.queue.overflowed, events.queue.state.overflows]).toEqual([false, 1]);
  });
});
