import { type Device, type DmaDomain, PERM } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf, SID } from '../test/bench.js';
import { type Domain, Domains, Invalidation, type Master } from './index.js';

const RW = PERM.READ | PERM.WRITE;
const IOVA = 0x1000_0000n;
const OTHER = 0x50;

/** A bench with a second device, ready to be attached: no feature is on. */
class DmaBench extends Bench {
  other: Device = null as unknown as Device;

  override *start(): Coroutine<void> {
    yield* super.start();
    this.other = yield* this.plug('other', OTHER, {}, false);
  }

  /** What requests without PASID of the second device reach. */
  reach(iova: bigint, want = 2): number {
    return this.translate(-1, iova, want, OTHER);
  }

  master(sid: number): Master {
    return this.driver.smmu.masters.find(sid)!;
  }
}

const make = (options: BenchOptions = {}): DmaBench => new DmaBench(options).boot();

/** A domain with the second device in it. */
function* attached(bench: DmaBench): Coroutine<DmaDomain> {
  const domain = yield* bench.driver.allocDomain(bench.other);
  yield* bench.driver.attach(bench.other, domain);
  return domain;
}

describe('a DMA domain', () => {
  it('gives requests without PASID addresses of their own, from map to unmap (SMMU-9)', () => {
    const bench = make();
    const before = bench.inUse();
    bench.do(function* () {
      const { driver } = bench;
      expect(bench.reach(IOVA)).toBe(-0x06);
      const domain = yield* attached(bench);
      expect(bench.reach(IOVA)).toBe(-0x10);
      yield* driver.map(domain, IOVA, 0x4300_0000, 3 * 4096, RW);
      expect([0n, 1n, 2n, 3n].map((page) => bench.reach(IOVA + page * 4096n))).toEqual([
        0x43000, 0x43001, 0x43002, -0x10,
      ]);
      expect(driver.iovaToPhys(domain, IOVA + 0x2abcn)).toBe(0x4300_2abc);
      expect(driver.iovaToPhys(domain, IOVA + 0x3000n)).toBe(null);
      yield* driver.unmap(domain, IOVA + 4096n, 4096);
      expect([0n, 1n, 2n].map((page) => bench.reach(IOVA + page * 4096n))).toEqual([0x43000, -0x10, 0x43002]);
      expect(driver.iovaToPhys(domain, IOVA + 4096n)).toBe(null);
      yield* driver.detach(bench.other);
      expect(bench.reach(IOVA)).toBe(-0x06);
      yield* driver.freeDomain(domain);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it('has a descriptor of its own at index 0: EPD1, R, A, private set; S where its devices stall (SMMU-9)', () => {
    const bench = make();
    bench.do(function* () {
      yield* attached(bench);
      const { contexts } = bench.master(OTHER).domain!;
      const dw0 = bench.word(contexts.pa);
      // T0SZ 16, 4K, WB, inner, EPD1, V, IPS 48 bits, AA64, S, R, A, ASET 1, ASID 1.
      expect(dw0).toBe(0x0001_f205_c000_3510n);
      const ste = bench.driver.smmu.streamTable.addressOf(OTHER);
      expect(bench.word(ste + 8) & 3n).toBe(2n); // S1DSS: descriptor 0
    });
  });

  it('lets nothing write where only reading was mapped', () => {
    const bench = make();
    bench.do(function* () {
      const domain = yield* attached(bench);
      yield* bench.driver.map(domain, IOVA, 0x4300_0000, 4096, PERM.READ);
      expect([bench.reach(IOVA, 1), bench.reach(IOVA, 2)]).toEqual([0x43000, -0x13]);
    });
  });

  it('maps and unmaps blocks, and flushes what was a block with one command (SMMU-24)', () => {
    const bench = make();
    bench.do(function* () {
      const { driver } = bench;
      const domain = yield* attached(bench);
      yield* driver.map(domain, IOVA, 0x4320_0000, 2 ** 21, RW);
      const { commands } = driver.smmu;
      expect(bench.reach(IOVA + 0x1f_f000n)).toBeGreaterThan(0);
      const from = commands.state.produced;
      yield* driver.unmap(domain, IOVA, 2 ** 21);
      expect(commands.state.produced - from).toBe(2);
      expect(bench.reach(IOVA + 0x1f_f000n)).toBe(-0x10);
    });
  });

  it('sends nothing when what is unmapped was not mapped', () => {
    const bench = make();
    bench.do(function* () {
      const domain = yield* attached(bench);
      const from = bench.driver.smmu.commands.state.produced;
      yield* bench.driver.unmap(domain, IOVA, 4096);
      expect(bench.driver.smmu.commands.state.produced).toBe(from);
    });
  });

  it('refuses what is no whole page, too high, or mapped already, and changes nothing', () => {
    const bench = make();
    bench.do(function* () {
      const { driver } = bench;
      const domain = yield* attached(bench);
      const before = bench.inUse();
      const map = (iova: bigint, pa: number, bytes: number): Coroutine<string> =>
        codeOf(driver.map(domain, iova, pa, bytes, RW));
      expect(yield* map(IOVA + 1n, 0x4300_0000, 4096)).toBe('EINVAL');
      expect(yield* map(IOVA, 0x4300_0010, 4096)).toBe('EINVAL');
      expect(yield* map(IOVA, 0x4300_0000, 100)).toBe('EINVAL');
      expect(yield* map(IOVA, 0x4300_0000, 0)).toBe('EINVAL');
      expect(yield* map(1n << 48n, 0x4300_0000, 4096)).toBe('EINVAL');
      expect(yield* map(IOVA, 2 ** 48, 4096)).toBe('EINVAL');
      expect(bench.inUse()).toEqual(before);
      expect(yield* map(IOVA, 0x4300_0000, 4096)).toBe('none');
      expect(yield* map(IOVA - 4096n, 0x4400_0000, 8192)).toBe('EEXIST');
      expect(bench.reach(IOVA)).toBe(0x43000);
      expect(yield* codeOf(driver.unmap(domain, IOVA, 1))).toBe('EINVAL');
      yield* driver.unmap(domain, IOVA - 0x10000n, 0x100000);
      expect(bench.reach(IOVA)).toBe(-0x10);
    });
  });

  it('leaves nothing behind when any allocation of it fails', () => {
    for (let failAt = 1, failed = true; failed; failAt++) {
      const bench = make();
      bench.do(function* () {
        const before = bench.inUse();
        bench.kernel.injection.state.count = 0;
        bench.kernel.injection.failAt = failAt;
        const code = yield* codeOf(bench.driver.allocDomain(bench.other));
        failed = bench.kernel.injection.state.count >= failAt;
        bench.kernel.injection.failAt = 0;
        if (failed) {
          expect(code).toBe('ENOMEM');
          expect(bench.inUse()).toEqual(before);
        }
      });
      expect(failAt).toBeLessThan(10);
    }
  });

  it('has no tables of a kind that the SMMU does not walk (ENODEV)', () => {
    const bench = new DmaBench({ capabilities: { granule4K: false } });
    bench.do(function* () {
      yield* bench.driver.start();
      const other = yield* bench.plug('other', OTHER, {}, false);
      expect(yield* codeOf(bench.driver.allocDomain(other))).toBe('ENODEV');
    });
  });

  it('serves a device without PASIDs with one descriptor', () => {
    const bench = make();
    bench.do(function* () {
      const plain = yield* bench.plug('plain', 0x60, { 'pasid-num-bits': 0 }, false);
      const domain = yield* bench.driver.allocDomain(plain);
      yield* bench.driver.attach(plain, domain);
      yield* bench.driver.map(domain, IOVA, 0x4300_0000, 4096, RW);
      expect(bench.translate(-1, IOVA, 2, 0x60)).toBe(0x43000);
      expect(bench.translate(1, IOVA, 2, 0x60)).toBe(-0x08);
      yield* bench.driver.detach(plain);
      // Aborted, and nobody is told.
      expect(bench.translate(-1, IOVA, 2, 0x60)).toBe(-0);
      yield* bench.driver.freeDomain(domain);
    });
  });
});

describe('attaching', () => {
  it('is refused while SVA is on, and so is detaching (FEAT-6)', () => {
    const bench = make();
    bench.do(function* () {
      const { driver, device } = bench;
      const domain = yield* driver.allocDomain(device);
      expect(yield* codeOf(driver.attach(device, domain))).toBe('EBUSY');
      expect(yield* codeOf(driver.detach(device))).toBe('EBUSY');
      yield* bench.disableSva(device);
      expect(yield* codeOf(driver.attach(device, domain))).toBe('none');
      yield* bench.enableSva(device);
      expect(yield* codeOf(driver.detach(device))).toBe('EBUSY');
    });
  });

  it('moves a device from its bonds if nobody tests for them (broken FEAT-6: attach-while-sva)', () => {
    class AttachAlways extends Domains {
      override checkFree(): void {}
    }
    const bench = make({ parts: { Domains: AttachAlways } });
    bench.do(function* () {
      const { driver, device } = bench;
      const { mm, va } = yield* bench.makeMm();
      yield* driver.bind(device, mm);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      yield* driver.attach(device, yield* driver.allocDomain(device));
      expect(bench.translate(1, va)).toBe(-0x0a);
    });
  });

  it('is refused when the device stalls and the domain does not, or the reverse (FEAT-7)', () => {
    const bench = make();
    bench.do(function* () {
      const { driver } = bench;
      const calm = yield* bench.plug('calm', 0x60, { 'dma-can-stall': false }, false);
      const stalling = yield* driver.allocDomain(bench.other);
      const ending = yield* driver.allocDomain(calm);
      expect(yield* codeOf(driver.attach(calm, stalling))).toBe('EINVAL');
      expect(yield* codeOf(driver.attach(bench.other, ending))).toBe('EINVAL');
      // It stays where it was.
      expect(bench.master(OTHER).domain).toBe(bench.master(OTHER).home);
    });
  });

  it('is refused when the domain has more PASID bits than the device, or none of its own (SMMU-28)', () => {
    const bench = make();
    bench.do(function* () {
      const { driver } = bench;
      const narrow = yield* bench.plug('narrow', 0x60, { 'pasid-num-bits': 4 }, false);
      const wide = yield* driver.allocDomain(bench.other);
      expect(yield* codeOf(driver.attach(narrow, wide))).toBe('EINVAL');
      expect(yield* codeOf(driver.map(bench.master(OTHER).home!, IOVA, 0, 4096, RW))).toBe('EINVAL');
    });
  });

  it('goes back to the domain of its own, which was kept', () => {
    const bench = make();
    bench.do(function* () {
      const home = bench.master(OTHER).domain!;
      const first = yield* attached(bench);
      const second = yield* bench.driver.allocDomain(bench.other);
      yield* bench.driver.attach(bench.other, second);
      expect([(first as Domain).masters, (second as Domain).masters.length]).toEqual([[], 1]);
      yield* bench.driver.detach(bench.other);
      expect(bench.master(OTHER).domain).toBe(home);
      yield* bench.driver.detach(bench.other);
      yield* bench.driver.freeDomain(first);
      yield* bench.driver.freeDomain(second);
    });
  });

  it('keeps a domain with devices from being freed (SVA-17)', () => {
    const bench = make();
    bench.do(function* () {
      const domain = yield* attached(bench);
      expect(yield* codeOf(bench.driver.freeDomain(domain))).toBe('EBUSY');
      yield* bench.driver.releaseDevice(bench.other);
      expect(yield* codeOf(bench.driver.freeDomain(domain))).toBe('none');
    });
  });

  it('puts a device into the list before its entries point to the domain, and takes it out after (SMMU-26)', () => {
    const log: string[] = [];
    class Watching extends Domains {
      override *writeStreams(master: Master): Coroutine<void> {
        if (master.device.name === 'other') log.push(`entry, listed: ${master.domain!.masters.includes(master)}`);
        yield* super.writeStreams(master);
      }
      override *abortStreams(master: Master): Coroutine<void> {
        yield* super.abortStreams(master);
        if (master.device.name === 'other') log.push(`aborted, listed: ${master.domain!.masters.includes(master)}`);
      }
    }
    const bench = make({ parts: { Domains: Watching } });
    bench.do(function* () {
      log.length = 0;
      yield* attached(bench);
      expect(log).toEqual(['aborted, listed: true', 'entry, listed: true']);
    });
  });
});

describe('several devices and domains', () => {
  it('share the mappings of one domain, until each leaves', () => {
    const bench = make();
    bench.do(function* () {
      const { driver } = bench;
      const third = yield* bench.plug('third', 0x60, {}, false);
      const domain = yield* attached(bench);
      yield* driver.map(domain, IOVA, 0x4300_0000, 4096, RW);
      yield* driver.attach(third, domain);
      expect([bench.reach(IOVA), bench.translate(-1, IOVA, 2, 0x60)]).toEqual([0x43000, 0x43000]);
      yield* driver.detach(third);
      expect([bench.reach(IOVA), bench.translate(-1, IOVA, 2, 0x60)]).toEqual([0x43000, -0x06]);
    });
  });

  it('have one notifier a (domain, mm): each domain is told, and told once (SVA-4, MN-2, L33)', () => {
    const counts: number[] = [];
    class Counting extends Invalidation {
      override *tlbRange(...args: Parameters<Invalidation['tlbRange']>): Coroutine<void> {
        counts.push(args[0]);
        yield* super.tlbRange(...args);
      }
    }
    const bench = make({ parts: { Invalidation: Counting }, settings: { 'mn.duplicate': 'off' } });
    bench.do(function* () {
      const { driver, device } = bench;
      const third = yield* bench.plug('third', 0x60, {}, false);
      // Two in one domain, the first alone.
      const domain = yield* attached(bench);
      yield* driver.attach(third, domain);
      for (const each of [bench.other, third]) yield* bench.enableSva(each);
      const { mm, va } = yield* bench.makeMm();
      const handles = [];
      for (const each of [device, bench.other, third]) handles.push(yield* driver.bind(each, mm));
      expect(handles.map(({ pasid }) => pasid)).toEqual([1, 1, 1]);
      expect(mm.subscriptions.length).toBe(2);
      const sids = [SID, OTHER, 0x60];
      for (const sid of sids) expect(bench.translate(1, va, 2, sid)).toBeGreaterThan(0);
      counts.length = 0;
      yield* bench.core.mms.munmap(mm, va, 4096);
      expect(counts.length).toBe(2);
      for (const sid of sids) expect(bench.translate(1, va, 2, sid)).toBe(-0x10);
      // The entry of the shared domain goes with its last bond.
      yield* driver.unbind(handles[1]!);
      expect([SID, OTHER, 0x60].map((sid) => bench.translate(1, va, 2, sid))).toEqual([-0x10, -0x10, -0x10]);
      yield* driver.unbind(handles[2]!);
      expect([SID, OTHER, 0x60].map((sid) => bench.translate(1, va, 2, sid))).toEqual([-0x10, -0x0a, -0x0a]);
      yield* driver.unbind(handles[0]!);
      yield* bench.core.mms.put(mm);
    });
  });

  it('are all quiesced when the process dies (SVA-8)', () => {
    const bench = make();
    bench.do(function* () {
      const { driver, device } = bench;
      yield* attached(bench);
      yield* bench.enableSva(bench.other);
      const { mm, va } = yield* bench.makeMm();
      const handles = [yield* driver.bind(device, mm), yield* driver.bind(bench.other, mm)];
      yield* bench.core.mms.put(mm);
      expect([SID, OTHER].map((sid) => bench.translate(1, va, 2, sid))).toEqual([-0x10, -0x10]);
      for (const handle of handles) yield* driver.unbind(handle);
    });
  });
});
