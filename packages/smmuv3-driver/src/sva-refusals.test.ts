import { type CpuFeatures, DEFAULT_CPU } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf, SID } from '../test/bench.js';
import { domainRefusals, type SmmuFeatures, svaRefusals } from './index.js';

/** An SMMU that lacks nothing. */
const FULL: SmmuFeatures = {
  stage1: true,
  stage2: false,
  aarch64: true,
  coherent: true,
  broadcast: false,
  httu: 'none',
  hypervisor: false,
  ats: true,
  pri: true,
  sev: true,
  asidBits: 16,
  littleEndian: true,
  stall: 'optional',
  terminateAborts: false,
  twoLevelStreams: true,
  twoLevelContexts: true,
  streamBits: 16,
  ssidBits: 20,
  commandBits: 8,
  eventBits: 8,
  priBits: 8,
  preset: [],
  attributeOverride: false,
  rangeInvalidation: false,
  blockChanges: 0,
  outputBits: 48,
  inputBits: 48,
  largeAddresses: false,
  granules: [12, 14, 16],
  implementation: 0,
  architecture: 0,
};

const wide16 = { pageShift: 14, virtualBits: 52 };
const wide64 = { pageShift: 16, virtualBits: 52 };

/** Each single thing that SMMU-17 asks for, taken away. */
const MISSING: readonly [string, Partial<SmmuFeatures>, Partial<CpuFeatures>, RegExp][] = [
  ['coherent walks', { coherent: false }, {}, /^IDR0\.COHACC is 0/],
  ['4 KiB pages', { granules: [14, 16] }, {}, /^IDR5 lacks the CPUs' page size of 4 KiB/],
  ['16 KiB pages', { granules: [12, 16] }, { pageShift: 14 }, /^IDR5 lacks the CPUs' page size of 16 KiB/],
  ['64 KiB pages', { granules: [12, 14] }, { pageShift: 16 }, /^IDR5 lacks the CPUs' page size of 64 KiB/],
  ['52 address bits with 64 KiB pages', {}, wide64, /^IDR5\.VAX allows 48 address bits, processes use 52/],
  ['52 address bits with small pages', { inputBits: 52 }, wide16, /^IDR5\.DS is 0/],
  ['output bits', { outputBits: 40 }, {}, /^IDR5\.OAS is 40 bits, the CPUs' PARange 44/],
  ['ASID bits', { asidBits: 8 }, {}, /^IDR0\.ASID16 is 0: its ASIDs have 8 bits, the CPUs' 16/],
  ['PASIDs', { ssidBits: 0 }, {}, /^IDR1\.SSIDSIZE is 0/],
];

describe('what SVA needs of an SMMU (SMMU-17, FEAT-3)', () => {
  it('is there when nothing is missing, whatever the page size', () => {
    expect(svaRefusals(FULL, DEFAULT_CPU)).toEqual([]);
    expect(svaRefusals({ ...FULL, inputBits: 52 }, { ...DEFAULT_CPU, ...wide64 })).toEqual([]);
    expect(svaRefusals({ ...FULL, largeAddresses: true }, { ...DEFAULT_CPU, ...wide16 })).toEqual([]);
    expect(svaRefusals({ ...FULL, asidBits: 8 }, { ...DEFAULT_CPU, asidBits: 8 })).toEqual([]);
  });

  it.each(MISSING)('has one reason without %s', (_, features, cpu, reason) => {
    const refusals = svaRefusals({ ...FULL, ...features }, { ...DEFAULT_CPU, ...cpu });
    expect(refusals).toEqual([{ reason: expect.stringMatching(reason) as string, rule: 'SMMU-17' }]);
  });

  it('has every reason at once when everything is missing', () => {
    const none = { ...FULL, coherent: false, granules: [], inputBits: 32, outputBits: 32, asidBits: 8, ssidBits: 0 };
    expect(svaRefusals(none, DEFAULT_CPU).length).toBe(6);
  });

  it('has a reason when the CPUs have tables that no SMMU walks', () => {
    const [refusal] = svaRefusals(FULL, DEFAULT_CPU, { name: 'x86-64 4-level' });
    expect(refusal!.reason).toMatch(/tables are x86-64 4-level/);
    expect(domainRefusals(FULL, DEFAULT_CPU, { name: 'x86-64 4-level' }).length).toBe(1);
  });

  it('is more than what DMA domains need, which have numbers and widths of their own', () => {
    expect(domainRefusals({ ...FULL, asidBits: 8, ssidBits: 0, outputBits: 40 }, DEFAULT_CPU)).toEqual([]);
    expect(domainRefusals({ ...FULL, granules: [] }, DEFAULT_CPU).length).toBe(1);
  });
});

/** The same things, as a model lacks them. */
const LACKING: readonly [
  string,
  Readonly<Record<string, boolean | number>>,
  Readonly<Record<string, string>>,
  RegExp,
][] = [
  ['coherent', { coherent: false }, {}, /COHACC/],
  ['asid16', { asid16: false }, {}, /ASID16/],
  ['oas', { oas: 40 }, {}, /OAS/],
  ['ssidBits', { ssidBits: 0 }, {}, /SSIDSIZE/],
  ['granule4K', { granule4K: false }, {}, /4 KiB/],
  ['granule16K', { granule16K: false }, { 'cpu-page': '16K' }, /16 KiB/],
  ['granule64K', { granule64K: false }, { 'cpu-page': '64K' }, /64 KiB/],
  ['vax', {}, { 'cpu-page': '64K', 'va-bits': '52' }, /VAX/],
  ['ds', { vax: 52 }, { 'cpu-page': '4K', 'va-bits': '52' }, /DS/],
];

describe('enabling SVA', () => {
  it.each(LACKING)(
    'is refused with the reason when the SMMU lacks %s (SMMU-17)',
    (_, capabilities, settings, reason) => {
      const bench = new Bench({ capabilities, settings });
      bench.do(function* () {
        yield* bench.driver.start();
        yield* bench.driver.probeDevice(bench.device);
        yield* bench.driver.enable(bench.device, 'iopf');
        let message = '';
        try {
          yield* bench.driver.enable(bench.device, 'sva');
        } catch (error) {
          message = (error as Error).message;
        }
        expect(message).toMatch(reason);
        expect(message).toMatch(/ENODEV/);
      });
    },
  );

  it('is refused to a device that has no PASIDs (SMMU-17)', () => {
    const bench = new Bench({ properties: { 'pasid-num-bits': 0 } });
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.device);
      expect(bench.driver.smmu.masters.find(SID)!.domain).toBe(null);
      yield* bench.driver.enable(bench.device, 'iopf');
      expect(yield* codeOf(bench.driver.enable(bench.device, 'sva'))).toBe('ENODEV');
    });
  });
});
