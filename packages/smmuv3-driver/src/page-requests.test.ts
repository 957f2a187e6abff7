import { describe, expect, it } from 'vitest';
import { codeOf } from '../test/bench.js';
import { PCI_SID, PciBench } from '../test/pci-bench.js';

const [SUCCESS, INVALID] = [0, 1];

describe('Smmuv3Driver and a PCI function', () => {
  it('turns ATS on in the device after its entry says so and its cache is empty (SMMU-27, PCI-4)', () => {
    const bench = new PciBench();
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.pci);
    });
    const { state } = bench.function;
    expect([state.pasid, state.ats, state.stu, state.pri]).toEqual([true, true, 0, false]);
    const ste = bench.driver.smmu.streamTable.addressOf(PCI_SID);
    // WB, inner shareable, S1STALLD (the SMMU could stall), EATS=1.
    expect(bench.word(ste + 8)).toBe(0x1800_00d4n);
    expect(bench.word(ste) >> 59n).toBe(20n);
    expect(bench.word(ste) & 0x3fn).toBe(0x2bn); // V, Config 5, 2-level with leaves of 64 KiB
    expect(bench.got.map((tlp) => [tlp.kind, tlp.atsOn])).toEqual([['invalidate-request', false]]);
  });

  it('gives the device credits and its requests a way (PCI-3, PCI-9)', () => {
    const bench = new PciBench().boot();
    expect([bench.function.state.pri, bench.function.state.allocation]).toEqual([true, 16]);
    expect(bench.driver.smmu.masters.state.credits).toBe(16);
  });

  it('undoes everything in reverse (PCI-5, FEAT-2)', () => {
    const bench = new PciBench();
    bench.do(() => bench.driver.start());
    const before = bench.inUse();
    bench.do(function* () {
      const { driver, pci } = bench;
      yield* driver.probeDevice(pci);
      // The block of the stream table stays.
      const frames = bench.bus.frames.inUse();
      yield* driver.enable(pci, 'iopf');
      yield* driver.enable(pci, 'sva');
      expect(bench.bus.frames.inUse()).toBe(frames);
      yield* driver.disable(pci, 'sva');
      yield* driver.disable(pci, 'iopf');
      yield* driver.releaseDevice(pci);
    });
    const { state } = bench.function;
    expect([state.pasid, state.ats, state.pri]).toEqual([false, false, false]);
    expect(bench.word(bench.driver.smmu.streamTable.addressOf(PCI_SID))).toBe(1n);
    expect(bench.inUse()).toEqual({ ...before, frames: before.frames! + 4 });
  });

  it('answers a page request when the page is there, and refuses one outside every mapping (IOPF-6)', () => {
    const bench = new PciBench().boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.pci, mm);
      yield* bench.ask(handle.pasid, 7, Number(va >> 12n), 2);
      yield* bench.ask(handle.pasid, 8, 0x1000, 1);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.answers().sort()).toEqual([
      [7, SUCCESS, -1],
      [8, INVALID, -1],
    ]);
  });

  it('answers with the PASID where the device requires it (PCI-8)', () => {
    const bench = new PciBench({ pasidRequired: true }).boot();
    expect(bench.word(bench.driver.smmu.streamTable.addressOf(PCI_SID) + 8)).toBe(0x1804_00d4n); // PPAR
    bench.do(() => bench.ask(3, 5, 0x1000, 1));
    expect(bench.answers()).toEqual([[5, INVALID, 3]]);
  });

  it('drops stop markers without an answer (IOPF-13)', () => {
    const bench = new PciBench().boot();
    bench.do(() => bench.ask(3, 0, 0, 0));
    expect(bench.answers()).toEqual([]);
    expect(bench.driver.smmu.pageRequests.queue.state.handled).toBe(1);
  });

  it('answers last requests of streams that nobody knows (IOPF-9, IOPF-24)', () => {
    const bench = new PciBench();
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.ask(3, 1, 0x1000, 1, false);
      yield* bench.ask(3, 1, 0x1001, 1, true);
    });
    expect(bench.answers()).toEqual([[1, INVALID, 3]]);
  });

  it('answers before the process that must handle the request is found to be dead (PF-1)', () => {
    const bench = new PciBench().boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.pci, mm);
      yield* bench.core.mms.put(mm);
      yield* bench.ask(handle.pasid, 4, Number(va >> 12n), 2);
      yield* bench.driver.unbind(handle);
    });
    expect(bench.answers()).toEqual([[4, INVALID, -1]]);
  });

  it('acknowledges an overflow once the queue is empty, and takes requests again (IOPF-15)', () => {
    const bench = new PciBench({ settings: { 'smmuv3.priq-entries': 2 } }).boot();
    const { masters, pageRequests } = bench.driver.smmu;
    bench.kernel.spawn('flood', function* () {
      // The thread cannot go on while the lock is held: the third request finds the queue full.
      const lock = yield* masters.lock.acquire();
      for (let i = 0; i < 6; i++) yield* bench.ask(9, i, 0x1000 + i, 1);
      yield* bench.kernel.clock.sleep(1000);
      lock.release();
      yield* bench.kernel.clock.sleep(1000);
      yield* bench.ask(9, 100, 0x2000, 1);
    });
    bench.do(function* () {});
    expect(pageRequests.queue.state.overflows).toBe(1);
    expect(pageRequests.queue.overflowed).toBe(false);
    const groups = bench.answers().map(([group]) => group);
    expect(groups).toContain(100);
    expect(groups.length).toBe(new Set(groups).size);
  });

  it('has devices forget pages after a munmap, and a whole PASID when the process dies (SMMU-19, SMMU-10)', () => {
    const bench = new PciBench().boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.pci, mm);
      bench.got.length = 0;
      yield* bench.core.mms.munmap(mm, va, 4096);
      const once = `${handle.pasid} ${(va >> 32n).toString(16)}.${(va & 0xffff_f000n).toString(16)}`;
      expect(new Set(bench.invalidations())).toEqual(new Set([once]));
      bench.got.length = 0;
      yield* bench.core.mms.put(mm);
      expect(bench.invalidations()).toEqual([`${handle.pasid} 7fffffff.fffff800`]);
      bench.got.length = 0;
      yield* bench.driver.unbind(handle);
      expect(bench.invalidations()).toEqual([]); // SVA-13
    });
  });

  it.each([
    ['the root complex does not pass ATS', {}, { 'ats-supported': false }, /root complex/],
    ['the SMMU has no ATS', { ats: false, pri: false }, {}, /IDR0.PRI|IDR0.ATS/],
    ['the SMMU has no page request queue', { pri: false }, {}, /IDR0.PRI/],
    ['firmware calls the device untrusted', {}, { untrusted: true }, /not trusted/],
  ] as const)(
    'refuses page requests, SVA and bind with the reason when %s (SMMU-13)',
    (_, capabilities, properties, why) => {
      const bench = new PciBench({ capabilities, properties });
      bench.do(function* () {
        const { driver, pci } = bench;
        yield* driver.start();
        yield* driver.probeDevice(pci);
        let message = '';
        try {
          yield* driver.enable(pci, 'iopf');
        } catch (error) {
          message = (error as Error).message;
        }
        expect(message).toMatch(why);
        expect(message).toMatch(/ENODEV/);
        const { mm } = yield* bench.makeMm();
        expect(yield* codeOf(driver.bind(pci, mm))).toBe('ENODEV');
        yield* bench.core.mms.put(mm);
      });
    },
  );

  it('lets SVA on only after IOPF where the device sends page requests (FEAT-1)', () => {
    const bench = new PciBench();
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.pci);
      expect(yield* codeOf(bench.driver.enable(bench.pci, 'sva'))).toBe('EINVAL');
    });
    const without = new PciBench({ pri: false });
    without.do(function* () {
      yield* without.driver.start();
      yield* without.driver.probeDevice(without.pci);
      expect(yield* codeOf(without.driver.enable(without.pci, 'iopf'))).toBe('ENODEV');
      expect(yield* codeOf(without.driver.enable(without.pci, 'sva'))).toBe('none');
    });
  });
});
