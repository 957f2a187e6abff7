import { describe, expect, it } from 'vitest';
import { Bench, codeOf } from '../test/bench.js';

describe('VtdDriver on a unit that writes down what it is told', () => {
  it('enables queued invalidation first, then the root table, flushes in order, then translates (VTD-1, VTD-3)', () => {
    const bench = new Bench();
    bench.do(() => bench.driver.start());
    const iqa = bench.driver.vtd.queue.state.pa;
    const { root } = bench.driver.vtd.contexts.state;
    const lines = bench.unit.take(/^(q|w (88|90|18|20|38|40)=)/);
    expect(lines).toEqual([
      'w 88=0', // IQT
      `w 90=${(iqa + 0x801).toString(16)}`, // IQA: DW, QS 1
      'w 18=4000000', // QIE
      'w 40=fee00000', // FEADDR
      'w 38=0', // FECTL
      `w 20=${(root + 0x400).toString(16)}`, // RTADDR: TTM 1
      'w 18=44000000', // QIE, SRTP
      'w 88=40',
      'q 11 0 0 0', // context cache, global
      'w 88=80',
      'q 37 0 0 0', // PASID cache, global
      'w 88=c0',
      'q d2 0 0 0', // IOTLB, global, DR, DW
      'w 18=84000000', // QIE, TE
    ]);
  });

  it('does not flush what SRTP flushes by itself (VTD-3: CAP.ESRTPS)', () => {
    const bench = new Bench({ cap: 0x81d2_018c_222f_0606n });
    bench.do(() => bench.driver.start());
    expect(bench.unit.take()).toEqual([]);
  });

  it('drains and stops what an earlier owner left on, translation first (VTD-2)', () => {
    const bench = new Bench();
    const { unit } = bench;
    unit.write(0x90, 0x4100_0000);
    unit.write(0x18, 0x8400_0000); // TE, QIE
    unit.log.length = 0;
    bench.do(() => bench.driver.start());
    expect(unit.take(/^w (18|90|88)=/).slice(0, 4)).toEqual([
      'w 18=4000000', // TE off
      'w 18=0', // QIE off
      'w 88=0',
      `w 90=${(bench.driver.vtd.queue.state.pa + 0x801).toString(16)}`,
    ]);
  });

  it('does not wait for ever until an earlier owner’s queue is empty (VTD-2)', () => {
    const bench = new Bench();
    const { unit } = bench;
    unit.registers.set(0x1c, 0x0400_0000); // QIES
    unit.registers.set(0x34, 0x40); // ITE: the queue stands
    unit.registers.set(0x88, 0x20);
    bench.do(() => bench.driver.start());
    expect(bench.kernel.clock.now()).toBe(1e9);
    expect(unit.get(0x1c)).toBe(0xc400_0000); // TES, RTPS, QIES
  });

  it('flushes write buffers before it translates where that is needed (VTD-4: CAP.RWBF)', () => {
    const bench = new Bench({ cap: 0x01d2_018c_222f_0616n });
    bench.do(() => bench.driver.start());
    expect(bench.unit.take(/^w 18=/).slice(-2)).toEqual(['w 18=c000000', 'w 18=84000000']);
  });

  it('lets a device use a process from bind to unbind, and leaves nothing', () => {
    const bench = new Bench().boot();
    const before = bench.inUse();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(handle.pasid).toBe(1);
      expect(bench.entry(1)).toEqual([0x49n, 0x800001n, BigInt(mm.pgd)]);
      yield* bench.driver.unbind(handle);
      expect(bench.entry(1)).toEqual([]);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.inUse()).toEqual(before);
    expect(bench.trace).toEqual(
      expect.arrayContaining(['vtd_bind_alloc: dev=0000:00:03.0 pasid=1', 'vtd_unbind_free: dev=0000:00:03.0 pasid=1']),
    );
  });

  it('gives one counted handle per device and mm (SVA-3)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const first = yield* bench.driver.bind(bench.device, mm);
      expect(yield* bench.driver.bind(bench.device, mm)).toBe(first);
      yield* bench.driver.unbind(first);
      expect(bench.entry(1)[0]).toBe(0x49n);
      yield* bench.driver.unbind(first);
      expect(bench.entry(1)).toEqual([]);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.trace.filter((line) => /bind_(get|put|alloc|free):/.test(line))).toEqual([
      'vtd_bind_alloc: dev=0000:00:03.0 pasid=1',
      'vtd_bind_get: dev=0000:00:03.0 pasid=1',
      'vtd_unbind_put: dev=0000:00:03.0 pasid=1',
      'vtd_unbind_free: dev=0000:00:03.0 pasid=1',
    ]);
  });

  it('answers the ways in which a bind can fail (SVA-1, SVA-6, SVA-18, FEAT-1, FEAT-2, VTD-41)', () => {
    const bench = new Bench();
    const { driver, device } = bench;
    bench.do(function* () {
      yield* driver.start();
      const { mm } = yield* bench.makeMm();
      expect(yield* codeOf(driver.bind(device, mm))).toBe('ENODEV');
      yield* driver.probeDevice(device);
      expect(yield* codeOf(driver.probeDevice(device))).toBe('EINVAL');
      expect(yield* codeOf(driver.bind(device, mm))).toBe('ENODEV');
      expect(yield* codeOf(driver.enable(device, 'sva'))).toBe('EINVAL');
      expect(yield* codeOf(driver.disable(device, 'iopf'))).toBe('EINVAL');
      yield* bench.enableSva(device);
      expect(yield* codeOf(driver.enable(device, 'sva'))).toBe('EBUSY');
      expect(yield* codeOf(driver.disable(device, 'iopf'))).toBe('EBUSY');
      expect(yield* codeOf(driver.releaseDevice(device))).toBe('EBUSY');
      const handle = yield* driver.bind(device, mm);
      expect(yield* codeOf(driver.disable(device, 'sva'))).toBe('EBUSY');
      yield* driver.unbind(handle);
      mm.pasid = 0x100000;
      expect(yield* codeOf(driver.bind(device, mm))).toBe('EOVERFLOW');
      mm.pasid = 0;
      bench.core.mms.grab(mm);
      yield* bench.core.mms.put(mm);
      expect(yield* codeOf(driver.bind(device, mm))).toBe('EINVAL');
      bench.core.mms.drop(mm);
    });
  });

  it('lets go of a device in the reverse order, and can take it again (VTD-9, PCI-5)', () => {
    const bench = new Bench();
    const { driver, device } = bench;
    let before = {};
    bench.do(function* () {
      yield* driver.start();
      yield* driver.probeDevice(device);
      yield* driver.releaseDevice(device);
      before = bench.inUse();
      yield* driver.probeDevice(device);
      yield* bench.enableSva(device);
      yield* bench.disableSva(device);
      yield* driver.releaseDevice(device);
      expect(yield* codeOf(driver.releaseDevice(device))).toBe('ENODEV');
    });
    expect(bench.inUse()).toEqual(before);
    expect(bench.function.state).toMatchObject({ ats: false });
  });
});
