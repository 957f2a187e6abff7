import type { Core } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf, SID } from '../test/bench.js';

describe('Masters', () => {
  it('takes all requester ids of a device or none (IOPF-27)', () => {
    const bench = new Bench().boot();
    const { masters } = bench.driver.vtd;
    bench.do(function* () {
      const many = (streams: number[]) => ({ ...bench.makeDevice('many', streams, {}) });
      expect(yield* codeOf(bench.driver.probeDevice(many([0x30, 0x31, SID])))).toBe('EINVAL');
      expect(yield* codeOf(bench.driver.probeDevice(many([0x30, 0x10000])))).toBe('ERANGE');
      expect([...masters.byStream.keys()]).toEqual([SID]);
    });
    expect(bench.trace).toContain(
      'vtd_alias: DMAR: dmar0: requester 0x0018 belongs to 0000:00:03.0 already, expect DMA to be broken',
    );
  });

  it('gives a device with several requester ids one directory', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const device = bench.makeDevice('twins', [0x30, 0x31], { 'pasid-num-bits': 8 });
      yield* bench.driver.probeDevice(device);
      const { contexts, masters } = bench.driver.vtd;
      const { pa } = masters.of(device).directory!;
      for (const sid of [0x30, 0x31]) {
        expect(bench.unit.word(contexts.addressOf(sid))).toBe(BigInt(pa + 0x409)); // P, PASIDE, PDTS 2
      }
      yield* bench.driver.releaseDevice(device);
    });
  });

  it('shares the page request queue out: never more than it holds (PCI-9)', () => {
    const bench = new Bench({
      settings: { 'vtd.prq-entries': 128 },
      pci: { pri: { capacity: 100, prgResponsePasidRequired: true } },
    });
    bench.do(function* () {
      yield* bench.driver.start();
      const credits: number[] = [];
      for (const sid of [0x20, 0x28, 0x30, 0x38]) {
        credits.push(bench.driver.vtd.masters.of(yield* bench.plug(`0000:00:${sid.toString(16)}`, sid)).priCredits);
      }
      expect(credits).toEqual([32, 32, 32, 31]);
      bench.makeFunction(0x40);
      const fifth = bench.pciDevice('fifth', 0x40);
      yield* bench.driver.probeDevice(fifth);
      expect(yield* codeOf(bench.driver.enable(fifth, 'iopf'))).toBe('ENOSPC');
    });
  });

  it('enables PASID before ATS before PRI, with PRI reset, and disables in reverse (VTD-9, VTD-10, PCI-1 … PCI-5)', () => {
    const bench = new Bench();
    const writes: string[] = [];
    const write = bench.bus.write16.bind(bench.bus);
    bench.bus.write16 = (pa, value) => {
      if (pa >= 0x1000_0000 && pa < 0x1010_0000) writes.push(`${(pa & 0xfff).toString(16)}=${value.toString(16)}`);
      write(pa, value);
    };
    bench.do(function* () {
      yield* bench.start();
      yield* bench.disableSva(bench.device);
      yield* bench.driver.releaseDevice(bench.device);
    });
    expect(writes).toEqual([
      '126=1', // PASID on
      '106=0', // STU
      '106=8000', // ATS on
      '114=2', // PRI reset
      '114=1', // PRI on
      '114=0', // PRI off
      '106=0', // ATS off
      '126=0', // PASID off
    ]);
  });

  it('switches nothing off in a device that was pulled out', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { masters } = bench.driver.vtd;
      masters.isPresent = function* () {
        return false;
      };
      yield* bench.disableSva(bench.device);
      yield* bench.driver.releaseDevice(bench.device);
    });
    expect(bench.driver.vtd.masters.byDevice.size).toBe(0);
  });

  it('takes everything back when a device fails on the way (SVA-5)', () => {
    for (let n = 1; n <= 4; n++) {
      const bench = new Bench();
      let before = {};
      bench.do(function* () {
        yield* bench.driver.start();
        // The context table stays.
        yield* bench.driver.vtd.contexts.reserve(SID);
        before = bench.inUse();
        bench.kernel.injection.state.count = 0;
        bench.kernel.injection.failAt = n;
        expect(yield* codeOf(bench.driver.probeDevice(bench.device))).toBe(n < 4 ? 'ENOMEM' : 'none');
        bench.kernel.injection.failAt = 0;
        if (n === 4) yield* bench.driver.releaseDevice(bench.device);
        yield* bench.driver.probeDevice(bench.device);
        yield* bench.driver.releaseDevice(bench.device);
      });
      expect(bench.inUse()).toEqual(before);
    }
  });
});

describe('DeviceGroups: devices that are bound together, or not at all (SVA-5, L37)', () => {
  it('binds every member that has PASIDs, and exactly those are taken back when one fails', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { groups } = bench.driver.vtd;
      const { mm } = yield* bench.makeMm();
      const second = yield* bench.plug('0000:00:04.0', 0x20);
      const plain = bench.makeDevice('plain', [0x40], {});
      yield* bench.driver.probeDevice(plain);
      const handles = yield* groups.bind([bench.device, second, plain], mm);
      expect(handles.map(({ device }) => device.name)).toEqual(['0000:00:03.0', '0000:00:04.0']);
      yield* groups.unbind(handles);
      bench.makeFunction(0x28);
      const third = bench.pciDevice('0000:00:05.0', 0x28);
      yield* bench.driver.probeDevice(third);
      expect(yield* codeOf(groups.bind([bench.device, second, third], mm))).toBe('ENODEV');
      expect([bench.entry(1), bench.entry(1, 0x20), (bench.core as Core).ioasid.inUse()]).toEqual([[], [], 0]);
      expect(yield* codeOf(groups.bind([plain], mm))).toBe('ENODEV');
    });
  });
});
