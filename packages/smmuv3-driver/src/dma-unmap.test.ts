import { type Device, type DmaDomain, PERM } from '@iommukit/core';
import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench } from '../test/bench.js';
import { PCI_SID, PciBench } from '../test/pci-bench.js';
import { DmaDomains } from './index.js';

const RW = PERM.READ | PERM.WRITE;
const IOVA = 0x1000_0000n;

describe('unmapping in a DMA domain (SMMU-19)', () => {
  /** What reached the hardware: opcodes of the commands in a ring of 256. */
  function opcodes(bench: Bench, from: number): string[] {
    const { commands } = bench.driver.smmu;
    const found: string[] = [];
    for (let at = from; at < commands.state.produced; at++) {
      const dw0 = bench.word(commands.state.pa + 16 * (at % 256));
      found.push(`${(dw0 & 0xffn).toString(16)}${(dw0 & 0x800n) === 0n ? '' : ' ssv'}`);
    }
    return found;
  }

  it('is TLBI, SYNC, ATC_INV without PASID, SYNC, and then the tables are freed (TLB-10, SMMU-23)', () => {
    let frames = 0;
    class Watching extends DmaDomains {
      override freeTables(gather: Parameters<DmaDomains['freeTables']>[0]): void {
        frames = opcodes(bench, from).length;
        super.freeTables(gather);
      }
    }
    const bench = new PciBench({ parts: { DmaDomains: Watching } });
    let from = 0;
    bench.do(function* () {
      const { driver, pci } = bench;
      yield* driver.start();
      yield* driver.probeDevice(pci);
      const domain = yield* driver.allocDomain(pci);
      yield* driver.attach(pci, domain);
      yield* driver.map(domain, IOVA, 0x4300_0000, 8192, RW);
      from = driver.smmu.commands.state.produced;
      bench.got.length = 0;
      yield* driver.unmap(domain, IOVA, 8192);
      expect(opcodes(bench, from)).toEqual(['12', '12', '46', '40', '46']);
      expect(frames).toBe(5);
      // No PASID, 8 KiB at the IOVA: the device is to forget what it has without PASID, and more.
      expect(bench.invalidations()).toEqual(['-1 0.10000800']);
      expect(bench.translate(-1, IOVA, 2, PCI_SID)).toBe(-0x10);
    });
  });

  it('leaves the device what it cached if nobody tells it (broken SMMU-19)', () => {
    class Silent extends DmaDomains {
      override *flushDevTlbs(): Coroutine<void> {}
    }
    const bench = new PciBench({ parts: { DmaDomains: Silent } });
    bench.do(function* () {
      const { driver, pci } = bench;
      yield* driver.start();
      yield* driver.probeDevice(pci);
      const domain = yield* driver.allocDomain(pci);
      yield* driver.attach(pci, domain);
      yield* driver.map(domain, IOVA, 0x4300_0000, 4096, RW);
      bench.got.length = 0;
      yield* driver.unmap(domain, IOVA, 4096);
      expect(bench.invalidations()).toEqual([]);
    });
  });

  it('leaves nothing to a device that is being attached meanwhile, under any schedule (SMMU-26)', () => {
    const bench = new Bench().boot();
    const state: { domain?: DmaDomain; other?: Device; third?: Device } = {};
    bench.do(function* () {
      const { driver } = bench;
      state.other = yield* bench.plug('other', 0x50, {}, false);
      state.third = yield* bench.plug('third', 0x60, {}, false);
      state.domain = yield* driver.allocDomain(state.other);
      yield* driver.attach(state.other, state.domain);
      yield* driver.map(state.domain, IOVA, 0x4300_0000, 4096, RW);
    });
    const start = bench.kernel.checkpoints.take();
    const reach = (sid: number): number => bench.translate(-1, IOVA, 2, sid);
    for (let seed = 1; seed <= 200; seed++) {
      start.restore();
      bench.kernel.spawn('attach', function* () {
        yield* bench.driver.attach(state.third!, state.domain!);
        reach(0x60);
        yield* bench.driver.detach(state.third!);
      });
      bench.kernel.spawn('unmap', function* () {
        reach(0x50);
        yield* bench.driver.unmap(state.domain!, IOVA, 4096);
        expect([reach(0x50), reach(0x60)].map((found) => found > 0)).toEqual([false, false]);
      });
      bench.kernel.begin(new RandomChooser(seed));
      expect(bench.kernel.run().end, `seed ${seed}`).toBe('finished');
    }
  });
});
