import { describe, expect, it } from 'vitest';
import { BASE, Bench, codeOf, SID } from '../test/bench.js';

describe('Smmuv3Driver on the hardware model', () => {
  it('starts an SMMU: queues and checks on, interrupts on, broadcasts ignored (SMMU-29)', () => {
    const bench = new Bench().boot();
    expect(bench.bus.load32(BASE + 0x24)).toBe(0x1f); // CR0ACK
    expect(bench.bus.load32(BASE + 0x54)).toBe(0x7); // IRQ_CTRLACK
    expect(bench.bus.load32(BASE + 0x28)).toBe(0xd75); // CR1
    expect(bench.bus.load32(BASE + 0x2c)).toBe(0x6); // CR2: PTM, RECINVSID
    expect(bench.bus.load32(BASE + 0x88)).toBe(0x10210); // 2-level, SPLIT 8, 16 bits
  });

  it('sends a device through its descriptors and terminates what has no PASID (SMMU-8, SMMU-28)', () => {
    const bench = new Bench().boot();
    const ste = bench.driver.smmu.streamTable.addressOf(SID);
    const { pa } = bench.driver.smmu.masters.find(SID)!.domain!.contexts;
    // V, Config 5, linear, 2^8 descriptors; WB, inner shareable, S1DSS terminate, no ATS.
    expect(bench.word(ste)).toBe((8n << 59n) | BigInt(pa) | 0xbn);
    expect(bench.word(ste + 8)).toBe(0xd4n);
    expect(bench.translate(-1, 0x1000n)).toBe(-0x06);
    expect(bench.translate(1, 0x1000n)).toBe(-0x0a);
  });

  it('lets the device use a process from bind to unbind', () => {
    const bench = new Bench().boot();
    const before = bench.inUse();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(handle.pasid).toBe(1);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      expect(bench.translate(1, va + 4096n)).toBe(-0x10);
      yield* bench.driver.unbind(handle);
      expect(bench.translate(1, va)).toBe(-0x0a);
      yield* bench.core.mms.put(mm);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it('gives one counted handle per device and mm (SVA-3)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const first = yield* bench.driver.bind(bench.device, mm);
      expect(yield* bench.driver.bind(bench.device, mm)).toBe(first);
      yield* bench.driver.unbind(first);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      yield* bench.driver.unbind(first);
      expect(bench.translate(1, va)).toBe(-0x0a);
      yield* bench.core.mms.put(mm);
    });
  });

  it('forgets what a munmap took away (MN-18)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      yield* bench.core.mms.munmap(mm, va, 4096);
      expect(bench.translate(1, va)).toBe(-0x10);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('blocks walks and stays valid when the process dies first (SVA-9, SMMU-10)', () => {
    const bench = new Bench().boot();
    const before = bench.inUse();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      yield* bench.core.mms.put(mm);
      expect(bench.translate(1, va)).toBe(-0x10);
      const { domain } = bench.driver.smmu.masters.find(SID)!;
      const cd = bench.driver.smmu.contexts.addressOf(domain!.contexts, 1);
      // V, EPD0, EPD1, IPS 44, AA64, S and R kept, A, ASET 0 (shared), ASID 1; no table.
      expect([bench.word(cd), bench.word(cd + 8)]).toEqual([0x0001_7204_c000_4000n, 0n]);
      yield* bench.driver.unbind(handle);
      expect(bench.translate(1, va)).toBe(-0x0a);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it('answers the ways in which a bind can fail (SVA-1, SVA-6, FEAT-1, FEAT-2, SVA-18)', () => {
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
      yield* driver.enable(device, 'iopf');
      yield* driver.enable(device, 'sva');
      expect(yield* codeOf(driver.enable(device, 'sva'))).toBe('EBUSY');
      expect(yield* codeOf(driver.disable(device, 'iopf'))).toBe('EBUSY');
      expect(yield* codeOf(driver.releaseDevice(device))).toBe('EBUSY');
      const handle = yield* driver.bind(device, mm);
      expect(yield* codeOf(driver.disable(device, 'sva'))).toBe('EBUSY');
      yield* driver.unbind(handle);
      mm.pasid = 256;
      expect(yield* codeOf(driver.bind(device, mm))).toBe('EOVERFLOW');
      mm.pasid = 0;
      bench.core.mms.grab(mm);
      yield* bench.core.mms.put(mm);
      expect(yield* codeOf(driver.bind(device, mm))).toBe('EINVAL');
      bench.core.mms.drop(mm);
      yield* driver.disable(device, 'sva');
      yield* driver.disable(device, 'iopf');
      yield* driver.releaseDevice(device);
      expect(yield* codeOf(driver.bind(device, mm))).toBe('ENODEV');
    });
  });

  it('takes a device with a stream out of range off again, whole (IOPF-27)', () => {
    const bench = new Bench();
    const odd = bench.makeDevice('odd', [1, 2, 0x10000], {});
    bench.do(function* () {
      yield* bench.driver.start();
      const before = bench.inUse();
      expect(yield* codeOf(bench.driver.probeDevice(odd))).toBe('ERANGE');
      expect([1, 2].map((sid) => bench.driver.smmu.masters.find(sid))).toEqual([null, null]);
      expect(bench.inUse()).toEqual(before);
    });
  });

  it('leaves nothing behind when any allocation of a bind fails, and binds afterwards (SVA-5)', () => {
    // 11 bits of PASID make a 2-level table; PASIDs below 1024 are taken, so that a leaf is allocated too.
    for (let failAt = 1, failed = true; failed; failAt++) {
      const bench = new Bench({ properties: { 'pasid-num-bits': 11 } }).boot();
      bench.do(function* () {
        const { driver, device, core, kernel } = bench;
        for (let i = 1; i < 1024; i++) core.ioasid.alloc({ name: 'others' }, i, i, null);
        const { mm } = yield* bench.makeMm();
        const before = bench.inUse();
        kernel.injection.state.count = 0;
        kernel.injection.failAt = failAt;
        const code = yield* codeOf(driver.bind(device, mm));
        failed = kernel.injection.state.count >= failAt;
        kernel.injection.failAt = 0;
        if (failed) {
          expect(['ENOMEM', 'ENOSPC']).toContain(code);
          yield* core.notifiers.synchronize();
          expect(bench.inUse()).toEqual(before);
          expect([mm.pasid, mm.count, mm.users]).toEqual([0, 1, 1]);
          const handle = yield* driver.bind(device, mm);
          expect(handle.pasid).toBe(1024);
          yield* driver.unbind(handle);
        } else {
          expect(code).toBe('none');
          yield* driver.unbind(driver.smmu.masters.find(SID)!.bonds.get(mm)!);
        }
        yield* core.notifiers.synchronize();
        expect(bench.inUse()).toEqual(before);
      });
      expect(failAt).toBeLessThan(20);
    }
  });

  it('works with a command queue that is smaller than a batch (SMMU-25)', () => {
    const bench = new Bench({ settings: { 'smmuv3.cmdq-entries': 4 } }).boot();
    bench.do(function* () {
      const { core } = bench;
      const mm = core.mms.create();
      const va = yield* core.mms.mmap(mm, 100 * 4096, 3);
      yield* core.cpu.fill(mm, va, 100 * 4096, () => 7);
      const handle = yield* bench.driver.bind(bench.device, mm);
      for (let i = 0; i < 100; i++) expect(bench.translate(1, va + BigInt(i * 4096))).toBeGreaterThan(0);
      yield* core.mms.munmap(mm, va, 100 * 4096);
      for (let i = 0; i < 100; i++) expect(bench.translate(1, va + BigInt(i * 4096))).toBe(-0x10);
      yield* bench.driver.unbind(handle);
      yield* core.mms.put(mm);
    });
  });

  it.each([
    ['linear stream table', { stream2l: false, sidBits: 8 }],
    ['linear descriptors', { cd2l: false }],
  ] as const)('falls back to a %s', (_, capabilities) => {
    const bench = new Bench({ capabilities, properties: { 'pasid-num-bits': 20 } }).boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('gives back the leaf of a descriptor that was the last in it (SMMU-6)', () => {
    const bench = new Bench({ properties: { 'pasid-num-bits': 20 } }).boot();
    bench.do(function* () {
      for (let i = 1; i < 5000; i++) bench.core.ioasid.alloc({ name: 'others' }, i, i, null);
      const { mm, va } = yield* bench.makeMm();
      const before = bench.bus.frames.inUse();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(handle.pasid).toBe(5000);
      expect(bench.bus.frames.inUse()).toBe(before + 16);
      expect(bench.translate(5000, va)).toBeGreaterThan(0);
      yield* bench.driver.unbind(handle);
      expect(bench.bus.frames.inUse()).toBe(before);
      expect(bench.translate(5000, va)).toBe(-0x08);
      yield* bench.core.mms.put(mm);
    });
  });
});
