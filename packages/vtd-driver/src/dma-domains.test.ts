import { PERM } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf, SID } from '../test/bench.js';
import { CAP, ECAP } from '../test/fake-unit.js';
import type { Domain } from './records.js';

const RW = PERM.READ | PERM.WRITE;
const CM = 1n << 7n;
const PSI = 1n << 39n;
const SLTS = 1n << 46n;

/** A bench whose device is attached to a domain, SVA off. */
function attached(options: BenchOptions = {}): { bench: Bench; domain: Domain } {
  const bench = new Bench(options);
  let domain: Domain | null = null;
  bench.do(function* () {
    yield* bench.driver.start();
    yield* bench.driver.probeDevice(bench.device);
    domain = (yield* bench.driver.allocDomain(bench.device)) as Domain;
    bench.unit.log.length = 0;
    yield* bench.driver.attach(bench.device, domain);
  });
  return { bench, domain: domain! };
}

/** What the unit was told while `body` ran. */
function told(bench: Bench, body: () => ReturnType<Bench['start']>): string[] {
  bench.unit.log.length = 0;
  bench.do(body);
  return bench.unit.take();
}

describe('a DMA domain in scalable mode', () => {
  it('is the second-stage entry of PASID 0: P, AW, PGTT 2, its own id from 2 on, PWSNP (VTD-5, VTD-40)', () => {
    const { bench, domain } = attached();
    expect(bench.entry(0)).toEqual([BigInt(domain.tables.pgd) | 0x89n, 0x0000_0000_0080_0002n]);
    // Fields before P (VTD-11); without caching mode nothing is flushed.
    const stores = bench.unit.take(/^s/).map((line) => line.split(' ')[1]);
    expect(stores.at(-1)).toBe(bench.entryAt(0).toString(16));
    expect(bench.unit.take()).toEqual([]);
  });

  it('leaves with P first, then what is cached, then all of it (VTD-17, VTD-18, VTD-19)', () => {
    const { bench, domain } = attached();
    bench.unit.log.length = 0;
    bench.do(() => bench.driver.detach(bench.device));
    const entry = bench.entryAt(0).toString(16);
    const [first, ...rest] = bench.unit
      .take(/^[sq]/)
      .filter((line) => line.startsWith('q') || line.startsWith(`s ${entry}`));
    expect(first).toBe(`s ${entry} ${(BigInt(domain.tables.pgd) | 0x88n).toString(16)}`);
    expect(rest.slice(0, 3)).toEqual([
      'q 20017 0 0 0',
      'q 200e2 0 0 0',
      `q ${(0x0000_0018_0000_0003n).toString(16)} 7ffffffffffff001 0 0`,
    ]);
    expect(bench.entry(0)).toEqual([]);
  });

  it('tells a unit in caching mode that the entry, and a page, became present (VTD-12, VTD-16, MN-16)', () => {
    const { bench, domain } = attached({ cap: CAP | CM });
    expect(bench.unit.take()).toEqual(['q 20017 0 0 0', 'q 20026 0 0 0']);
    const lines = told(bench, () => bench.driver.map(domain, 0x4000_0000n, 0x8000_0000, 0x20_0000, RW));
    // Page-selective, AM 9.
    expect(lines).toEqual(['q 200f2 40000009 0 0']);
  });

  it('says nothing of new mappings to others, and uses the largest pages that fit (VTD-16)', () => {
    const { bench, domain } = attached();
    expect(told(bench, () => bench.driver.map(domain, 0x4000_0000n, 0x8000_0000, 0x20_1000, RW))).toEqual([]);
    const { driver } = bench;
    expect(driver.iovaToPhys(domain, 0x4000_0123n)).toBe(0x8000_0123);
    expect(driver.iovaToPhys(domain, 0x4020_0004n)).toBe(0x8020_0004);
    expect(driver.iovaToPhys(domain, 0x4020_1000n)).toBe(null);
    // PML4, PDPT, PD: entry 1 of the second is for the second GiB; its table's first entry is a 2 MiB page.
    const { pgd } = domain.tables;
    const pdpt = Number(bench.unit.word(pgd) & ~0xfffn);
    const pd = Number(bench.unit.word(pdpt + 8) & ~0xfffn);
    expect([bench.unit.word(pgd) & 0xfffn, bench.unit.word(pdpt + 8) & 0xfffn]).toEqual([3n, 3n]);
    expect(bench.unit.word(pd)).toBe(0x8000_0083n);
  });

  it('flushes the IOTLB, then the device, then frees tables (VTD-22, VTD-23, VTD-27)', () => {
    const { bench, domain } = attached();
    const { driver } = bench;
    bench.do(() => driver.map(domain, 0x4000_0000n, 0x8000_0000, 0x4000, RW));
    const before = bench.bus.frames.inUse();
    // The last of its table stays mapped: leaves only, IH.
    const leaves = told(bench, () => driver.unmap(domain, 0x4000_0000n, 0x2000));
    expect(leaves).toEqual(['q 200f2 40000041 0 0', 'q 1800000003 40000001 0 0']);
    // Its table goes too, with a range that covers what the table served.
    const whole = told(bench, () => driver.unmap(domain, 0x4000_0000n, 0x20_0000));
    expect(whole).toEqual(['q 200f2 40000009 0 0', 'q 1800000003 400ff001 0 0']);
    expect(bench.bus.frames.inUse()).toBe(before - 1);
  });

  it('flushes the whole domain where pages cannot be selected, or not so many (VTD-22)', () => {
    const { bench, domain } = attached({ cap: CAP & ~PSI });
    bench.do(() => bench.driver.map(domain, 0x4000_0000n, 0x8000_0000, 0x2000, RW));
    const lines = told(bench, () => bench.driver.unmap(domain, 0x4000_0000n, 0x1000));
    expect(lines).toEqual(['q 200e2 0 0 0', 'q 1800000003 40000000 0 0']);
    const { bench: narrow, domain: other } = attached({ cap: (CAP & ~(0x3fn << 48n)) | (3n << 48n) });
    narrow.do(() => narrow.driver.map(other, 0x4000_0000n, 0x8000_0000, 0x20000, RW));
    expect(told(narrow, () => narrow.driver.unmap(other, 0x4000_0000n, 0x10000))[0]).toBe('q 200e2 0 0 0');
  });

  it('breaks a large page before pages take its place', () => {
    const { bench, domain } = attached();
    bench.do(() => bench.driver.map(domain, 0x4000_0000n, 0x8000_0000, 0x20_0000, RW));
    const lines = told(bench, () => bench.driver.unmap(domain, 0x4000_1000n, 0x1000));
    expect(lines.slice(0, 2)).toEqual(['q 200f2 40000009 0 0', 'q 1800000003 400ff001 0 0']);
    expect(bench.driver.iovaToPhys(domain, 0x4000_1000n)).toBe(null);
    expect(bench.driver.iovaToPhys(domain, 0x4000_2000n)).toBe(0x8000_2000);
  });

  it('refuses what it cannot do, and leaves nothing behind (FEAT-6, SVA-17, VTD-5)', () => {
    const bench = new Bench({ cap: CAP & ~7n });
    const { domain: stranger } = attached();
    const { driver, device } = bench;
    bench.do(function* () {
      yield* driver.start();
      yield* driver.probeDevice(device);
    });
    const before = bench.inUse();
    bench.do(function* () {
      const domain = yield* driver.allocDomain(device);
      expect(yield* codeOf(driver.map(domain, 0x1000n, 0x1000, 0x1001, RW))).toBe('EINVAL');
      expect(yield* codeOf(driver.map(domain, 0x1800n, 0x1000, 0x1000, RW))).toBe('EINVAL');
      expect(yield* codeOf(driver.map(domain, 0x1000n, 0x1000, 0x1000, 0))).toBe('EINVAL');
      expect(yield* codeOf(driver.map(domain, 1n << 48n, 0x1000, 0x1000, RW))).toBe('EINVAL');
      yield* driver.map(domain, 0x1000n, 0x1000, 0x1000, RW);
      expect(yield* codeOf(driver.map(domain, 0x1000n, 0x1000, 0x1000, RW))).toBe('EEXIST');
      yield* driver.attach(device, domain);
      expect(yield* codeOf(driver.freeDomain(domain))).toBe('EBUSY');
      yield* driver.detach(device);
      yield* bench.enableSva(device);
      expect(yield* codeOf(driver.attach(device, domain))).toBe('EBUSY');
      expect(yield* codeOf(driver.detach(device))).toBe('EBUSY');
      yield* bench.disableSva(device);
      yield* driver.freeDomain(domain);
      expect(yield* codeOf(driver.attach(device, stranger))).toBe('EINVAL');
    });
    expect(bench.inUse()).toEqual(before);
    bench.do(function* () {
      // ND 0: 16 ids, of which 14 are for domains.
      for (let i = 0; i < 14; i++) yield* driver.allocDomain(device);
      expect(yield* codeOf(driver.allocDomain(device))).toBe('ENOSPC');
    });
  });

  it('is refused by a unit without a second stage', () => {
    for (const options of [{ ecap: ECAP & ~SLTS }, { cap: CAP & ~0x1f00n }]) {
      const bench = new Bench(options);
      bench.do(function* () {
        yield* bench.driver.start();
        yield* bench.driver.probeDevice(bench.device);
        expect(yield* codeOf(bench.driver.allocDomain(bench.device))).toBe('ENODEV');
      });
    }
  });

  it('has as many levels as guest addresses need, or the most there are', () => {
    const width = (sagaw: bigint, mgaw: bigint): bigint => {
      const cap = (CAP & ~(0x1fn << 8n) & ~(0x3fn << 16n)) | (sagaw << 8n) | (mgaw << 16n);
      const { bench } = attached({ cap });
      return (bench.entry(0)[0]! >> 2n) & 7n;
    };
    expect([width(6n, 47n), width(6n, 38n), width(2n, 47n), width(14n, 56n), width(4n, 38n)]).toEqual([
      2n,
      1n,
      1n,
      3n,
      2n,
    ]);
  });

  it('lets a device go that is still attached', () => {
    const { bench, domain } = attached();
    bench.do(function* () {
      yield* bench.driver.releaseDevice(bench.device);
      expect(domain.masters).toEqual([]);
      yield* bench.driver.freeDomain(domain);
    });
  });
});

describe('a DMA domain in legacy mode', () => {
  const legacy: BenchOptions = { settings: { 'vtd.mode': 'legacy' } };
  const context = (bench: Bench): bigint[] => {
    const at = bench.driver.vtd.contexts.addressOf(SID);
    return [bench.unit.word(at), bench.unit.word(at + 8)];
  };

  it('is the context entry: P, TT 0, its tables; AW and its id (vtd.md 2.2)', () => {
    const { bench, domain } = attached(legacy);
    expect(context(bench)).toEqual([BigInt(domain.tables.pgd) | 1n, 0x0202n]);
  });

  it('leaves by context, then domain (VTD-51), and says so to caching mode when it comes (VTD-15)', () => {
    const { bench } = attached({ ...legacy, cap: CAP | CM });
    expect(bench.unit.take()).toEqual(['q 1800000031 0 0 0', 'q 200e2 0 0 0']);
    expect(told(bench, () => bench.driver.detach(bench.device))).toEqual(['q 1800020031 0 0 0', 'q 200e2 0 0 0']);
    expect(context(bench)).toEqual([0n, 0n]);
  });
});
