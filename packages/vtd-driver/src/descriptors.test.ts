import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, SID } from '../test/bench.js';
import type { Invalidation } from './index.js';

/** The descriptors that `body` sends, in hexadecimal, trailing words left out. */
function sent(
  body: (invalidation: Invalidation, bench: Bench) => Generator<number, unknown, void>,
  options: BenchOptions = {},
) {
  const bench = new Bench(options).boot();
  bench.do(function* () {
    yield* body(bench.driver.vtd.invalidation, bench);
  });
  return bench.unit.take().map((line) => line.slice(2).replace(/( 0)+$/, ''));
}

const master = (bench: Bench, sid = SID) => bench.driver.vtd.masters.find(sid)!;

describe('Invalidation: descriptors as literals (vtd.md 9.1)', () => {
  it('drops a context entry: device-selective, DID 0, SID 0x100', () => {
    expect(sent((i) => i.context(0, 0x100))).toEqual(['10000000031']);
  });

  it('drops the translations of a domain with DW and DR, and without where the unit cannot drain', () => {
    expect(sent((i) => i.domain(7))).toEqual(['700e2']);
    expect(sent((i) => i.domain(7), { cap: 0x0112_018c_222f_0606n })).toEqual(['70022']);
  });

  it('drops pages of a domain: 2 MiB at 0x40000000', () => {
    expect(sent((i) => i.domainPages(7, { first: 0x40000, last: 0x401ff }))).toEqual(['700f2 40000009']);
    expect(sent((i) => i.domainPages(7, { first: 0x40000, last: 0x401ff }, true))).toEqual(['700f2 40000049']);
  });

  it('falls back to the domain without CAP.PSI, and beyond CAP.MAMV (VTD-22)', () => {
    const noPsi = { cap: 0x01d2_010c_222f_0606n };
    expect(sent((i) => i.domainPages(7, { first: 0x40000, last: 0x401ff }), noPsi)).toEqual(['700e2']);
    expect(sent((i) => i.domainPages(7, { first: 0, last: 2 ** 18 - 1 }))).toEqual(['700f2 12']);
    expect(sent((i) => i.domainPages(7, { first: 0, last: 2 ** 18 }))).toEqual(['700e2']);
  });

  it('drops a PASID entry, and all of them', () => {
    expect(sent((i) => i.pasid(1, 5))).toEqual(['500010017']);
    expect(sent((i) => i.everyPasid())).toEqual(['37']);
  });

  it('drops the translations of a PASID', () => {
    expect(sent((i) => i.pasidTranslations(1, 5))).toEqual(['500010026']);
  });

  it('drops pages of a PASID: 4 pages at 0x7f0000004000', () => {
    const range = { first: 0x7f0000004, last: 0x7f0000007 };
    expect(pages(range)).toEqual(['500010036 7f0000004002']);
  });

  it('asks neither CAP.PSI nor CAP.MAMV for pages of a PASID (VTD-22)', () => {
    const poor = { cap: 0x01c0_010c_222f_0606n };
    expect(pages({ first: 0, last: 2 ** 30 - 1 }, poor)).toEqual(['500010036 1e']);
  });

  it('drops everything a device caches of a PASID, or without one (VTD-18)', () => {
    expect(sent((i, bench) => i.devicePasid(master(bench), 5))).toEqual(['500180008 7ffffffffffff800']);
    expect(sent((i, bench) => i.devicePasid(master(bench), 0))).toEqual(['1800000003 7ffffffffffff001']);
  });

  it('tells how many invalidations the device takes at a time; 0 for 32 (vtd.md 3.3)', () => {
    const pci = { ats: { queueDepth: 7, pageAligned: true, globalInvalidate: false } };
    expect(sent((i, bench) => i.devicePasid(master(bench), 5), { pci })).toEqual(['500180078 7ffffffffffff800']);
    expect(sent((i, bench) => i.devicePasid(master(bench), 0), { pci })).toEqual(['1800070003 7ffffffffffff001']);
  });

  it('tells a device twice that misses one, if firmware says so (VTD-26)', () => {
    const properties = { 'dtlb-extra-inval': true };
    const all = '500180008 7ffffffffffff800';
    expect(sent((i, bench) => i.devicePasid(master(bench), 5), { properties })).toEqual([all, all]);
  });

  it('sends nothing to a device without ATS, or one that is gone (VTD-18)', () => {
    const off = { properties: { 'ats-supported': false } };
    const bench = new Bench(off);
    bench.do(function* () {
      const { driver, device, unit } = bench;
      yield* driver.start();
      yield* driver.probeDevice(device);
      unit.log.length = 0;
      yield* driver.vtd.invalidation.devicePasid(master(bench), 5);
      expect(unit.take()).toEqual([]);
    });
    const gone = sent((i, { driver }) => {
      driver.vtd.masters.find(SID)!.gone = true;
      return i.devicePasid(driver.vtd.masters.find(SID)!, 5);
    });
    expect(gone).toEqual([]);
  });
});

/** What invalidates a range of PASID 5. */
function pages(range: { first: number; last: number }, options: BenchOptions = {}): string[] {
  return sent(function* (i, { driver }) {
    const batch = driver.vtd.queue.batch();
    i.addPasidPages(batch, 1, 5, range);
    yield* driver.vtd.queue.submitAndSync(batch);
  }, options);
}

/** What invalidates a range of PASID 5 in the device. */
function devicePages(range: { first: number; last: number }): string[] {
  return sent(function* (i, bench) {
    const batch = bench.driver.vtd.queue.batch();
    yield* i.addDevicePages(batch, master(bench), 5, range);
    yield* bench.driver.vtd.queue.submitAndSync(batch);
  });
}

describe('Invalidation: ranges (vtd.md 3.12)', () => {
  it('sets the zero bits of the start below the size: 256 KiB at 0x123440000 (TLB-3, S0’s vector 0x12345f000)', () => {
    expect(devicePages({ first: 0x123440, last: 0x12347f })).toEqual(['500180008 12345f800']);
    // Any range across that power of two says the same.
    expect(devicePages({ first: 0x12344b, last: 0x12347c })).toEqual(['500180008 12345f800']);
  });

  it.each([
    ['one page', 0x123440, 0x123440, '123440000'],
    ['8 KiB', 0x123440, 0x123441, '123440800'],
    ['16 KiB', 0x123440, 0x123443, '123441800'],
    ['32 KiB', 0x123440, 0x123447, '123443800'],
    ['2 MiB', 0x123400, 0x1235ff, '1234ff800'],
    ['16 TiB', 2 ** 32, 2 ** 33 - 1, '17ffffff_f800'],
    ['everything', 0, 2 ** 52 - 1, '7fffffff_fffff800'],
  ])('names %s to a device (TLB-3)', (_, first, last, qw1) => {
    expect(devicePages({ first, last })).toEqual([`500180008 ${qw1.replace('_', '')}`]);
  });

  it.each([
    ['one page', 0x123440, 0x123440, '500010036 123440000'],
    ['two pages across a boundary', 0x1ffff, 0x20000, '500010036 12'],
    ['five unaligned pages', 0x7, 0xb, '500010036 4'],
    ['16 TiB', 2 ** 32, 2 ** 33 - 1, '500010036 100000000020'],
    ['all 64-bit pages but half', 0, 2 ** 51 - 1, '500010036 33'],
    ['everything', 0, 2 ** 52 - 1, '500010026'],
  ])('covers %s of a PASID with one descriptor, in 64 bits (VTD-24)', (_, first, last, expected) => {
    expect(pages({ first, last })).toEqual([expected]);
  });
});
