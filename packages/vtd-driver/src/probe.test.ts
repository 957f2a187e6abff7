import { DEFAULT_CPU, VMSA_4K_48, X86Format } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf } from '../test/bench.js';
import { CAP, ECAP } from '../test/fake-unit.js';
import { modeOf, readFeatures, svaRefusals, type VtdFeatures, vtdDriver } from './index.js';

/** What a unit with these registers can do. */
function featuresOf(options: BenchOptions = {}): VtdFeatures {
  const bench = new Bench(options);
  let features: VtdFeatures | null = null;
  bench.do(function* () {
    features = yield* readFeatures(bench.driver.vtd.mmio);
  });
  return features!;
}

/** The message with which starting a unit, or enabling `feature` of a device, fails. */
function refusal(options: BenchOptions, feature?: 'iopf' | 'sva'): string {
  const bench = new Bench(options);
  let message = '';
  bench.do(function* () {
    const attempt = function* (): Coroutine<void> {
      yield* bench.driver.start();
      if (feature === undefined) return;
      yield* bench.driver.probeDevice(bench.device);
      yield* bench.driver.enable(bench.device, feature);
    };
    try {
      yield* attempt();
    } catch (error) {
      ({ message } = error as Error);
    }
  });
  return message;
}

const cap = (clear: bigint, set = 0n): BenchOptions => ({ cap: (CAP & ~clear) | set });
const ecap = (clear: bigint, set = 0n): BenchOptions => ({ ecap: (ECAP & ~clear) | set });

describe('readFeatures', () => {
  it('reads a unit of QEMU with scalable mode and first stage (vtd.md 8.1)', () => {
    expect(featuresOf()).toMatchObject({
      version: 1,
      domainBits: 16,
      cm: false,
      sagaw: 6,
      guestBits: 48,
      recordsAt: 0x220,
      records: 2,
      psi: true,
      mamv: 18,
      fl1gp: true,
      fl5lp: false,
      coherent: true,
      qi: true,
      dt: true,
      prs: true,
      srs: true,
      pasid: true,
      pasidBits: 20,
      pds: true,
      smts: true,
      slts: true,
      flts: true,
      smpwcs: true,
      seesStores: true,
    });
  });

  it.each([
    ['cm', cap(0n, 1n << 7n)],
    ['rwbf', cap(0n, 1n << 4n)],
    ['fl5lp', cap(0n, 1n << 60n)],
    ['esrtps', cap(0n, 1n << 63n)],
    ['ecs', ecap(0n, 1n << 24n)],
    ['mts', ecap(0n, 1n << 25n)],
    ['nest', ecap(0n, 1n << 26n)],
    ['dis', ecap(0n, 1n << 27n)],
    ['ers', ecap(0n, 1n << 30n)],
    ['eafs', ecap(0n, 1n << 34n)],
    ['dit', ecap(0n, 1n << 41n)],
    ['slads', ecap(0n, 1n << 45n)],
  ] as [keyof VtdFeatures, BenchOptions][])(
    'finds %s where the specification has it (vtd.md 1.2, 1.3)',
    (name, options) => {
      expect([featuresOf()[name], featuresOf(options)[name]]).toEqual([false, true]);
    },
  );

  it('has no PASIDs without ECAP.PASID, whatever PSS says', () => {
    expect(featuresOf(ecap(1n << 40n)).pasidBits).toBe(0);
  });
});

describe('what keeps the driver from a unit (VTD-1, VTD-45)', () => {
  it.each([
    ['ECAP.QI is 0', ecap(1n << 1n)],
    ['ECAP.ECS is 0', { settings: { 'vtd.mode': 'ecs' } }],
  ] as [string, BenchOptions][])('%s', (reason, options) => {
    expect(refusal(options)).toContain(reason);
  });

  it('is nothing else: without scalable mode it is used in legacy mode (VTD-3)', () => {
    const bench = new Bench(ecap(1n << 43n));
    bench.do(() => bench.driver.start());
    const { root } = bench.driver.vtd.contexts.state;
    expect(bench.driver.vtd.mode).toBe('legacy');
    expect(bench.unit.take(/^(w (20|90)=|q)/)).toEqual([
      expect.stringMatching(/^w 90=\w+000$/), // IQA: 128-bit descriptors, QS 0
      `w 20=${root.toString(16)}`, // TTM 0
      'q 11 0',
      'q d2 0',
    ]);
    expect(modeOf(featuresOf(), 'scalable')).toBe('scalable');
    expect(modeOf(featuresOf(), 'legacy')).toBe('legacy');
  });
});

describe('why a device cannot share page tables (FEAT-3)', () => {
  it.each([
    ['ECAP.SMTS is 0', ecap(1n << 43n)],
    ['vtd.mode is legacy', { settings: { 'vtd.mode': 'legacy' } }],
    ['ECAP.PASID is 0', ecap(1n << 40n)],
    ['ECAP.FLTS is 0', ecap(1n << 47n)],
    ['ECAP.SMPWCS is 0', ecap(1n << 48n)],
    ['CAP.FL1GP is 0: no pages of 1 GiB', cap(1n << 56n)],
    ['CAP.FL5LP is 0: no 5-level tables', { levels: 5 }],
    ['0000:00:03.0 has no PASIDs', { pci: { pasid: null } }],
  ] as [string, BenchOptions][])('%s', (reason, options) => {
    expect(refusal(options, 'sva')).toContain(reason);
    expect(refusal(options, 'sva')).toContain('(ENODEV)');
  });

  it('the CPUs have other tables', () => {
    expect(svaRefusals(featuresOf(), 'scalable', DEFAULT_CPU, VMSA_4K_48)).toEqual([
      { reason: "the CPUs' tables are VMSAv8-64 4K/48, it walks x86-64", rule: 'FEAT-3' },
    ]);
  });

  it('nothing else: with 5 levels where the unit has them (FL5LP)', () => {
    const options: BenchOptions = { levels: 5, ...cap(0n, 1n << 60n) };
    const bench = new Bench(options).boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.entry(1)).toEqual([0x49n, 0x800001n, BigInt(mm.pgd + 4)]);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });
});

describe('why a device’s page requests cannot be taken (VTD-10, VTD-30)', () => {
  const pri = { capacity: 16, prgResponsePasidRequired: false };
  it.each([
    ['ECAP.PRS is 0', ecap(1n << 29n)],
    ['ECAP.PDS is 0', ecap(1n << 42n)],
    ['ECAP.DT is 0', ecap(1n << 2n)],
    ['firmware does not say that the root port supports ATS', { properties: { 'ats-supported': false } }],
    ['0000:00:03.0 is not trusted', { properties: { untrusted: true } }],
    ['0000:00:03.0 has no PRI capability', { pci: { pri: null } }],
    ['PRG Response PASID Required is 0', { pci: { pri } }],
  ] as [string, BenchOptions][])('%s', (reason, options) => {
    expect(refusal(options, 'iopf')).toContain(reason);
  });

  it('a device without PASIDs needs no PASID in its answers (VTD-10)', () => {
    expect(refusal({ pci: { pri, pasid: null } }, 'iopf')).toBe('');
  });

  it('devices without PRI may share page tables all the same (VTD-10)', () => {
    expect(refusal({ pci: { pri: null } }, 'sva')).toBe('');
    expect(refusal({}, 'sva')).toContain('enable iopf first');
  });
});

describe('the module', () => {
  it('gives the CPUs x86 tables of 4 or 5 levels, and no others', () => {
    expect(vtdDriver.format({})).toBeInstanceOf(X86Format);
    expect(vtdDriver.format({ 'va-bits': '57' }).addressBits).toBe(57);
    const codes = [{ 'cpu-page': '64K' }, { 'va-bits': '52' }].map((settings) => {
      try {
        vtdDriver.format(settings);
      } catch (error) {
        return (error as { code: string }).code;
      }
      return 'none';
    });
    expect(codes).toEqual(['EINVAL', 'EINVAL']);
  });

  it('keeps nothing of a unit that it cannot drive', () => {
    const bench = new Bench(ecap(2n));
    bench.do(function* () {
      expect(yield* codeOf(bench.driver.start())).toBe('ENODEV');
      expect(bench.driver.vtd.probed).toBe(null);
    });
    expect(bench.unit.log).toEqual([]);
  });
});
