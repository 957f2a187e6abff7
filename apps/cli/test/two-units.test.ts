import type { DmaEngineDriver } from '@iommukit/dma-engine';
import { RandomChooser } from '@iommukit/kernel';
import { parseScenario, ScenarioRunner } from '@iommukit/scenario';
import { describe, expect, it } from 'vitest';
import { planOf } from '../src/plan.js';
import { iommukit, lines } from './support.js';

/** The units of the default machines, and the one that the scenario adds: where firmware would have put it. */
const UNITS = {
  smmuv3: ['smmuv3@9050000', 'narrow@9070000'],
  vtd: ['dmar@fed90000', 'narrow@fed91000'],
} as const;

describe.each(Object.entries(UNITS))('two-units on %s', (backend, names) => {
  const prefix = backend === 'vtd' ? 'vtd' : 'smmu';

  it('has the devices behind two units, one PASID on both, and a refusal by the one that it does not fit', async () => {
    const { code, stdout } = await iommukit('run', 'two-units', '--backend', backend, '--trace', 'ftrace');
    expect(code).toBe(0);
    const events = lines(stdout);
    expect(events.filter((event) => event.includes('_bind_alloc'))).toEqual([
      `${prefix}_bind_alloc: dev=0000:00:03.0 pasid=1`,
      `${prefix}_bind_alloc: dev=0000:00:04.0 pasid=1`,
      `${prefix}_bind_alloc: dev=0000:00:03.0 pasid=2`,
      `${prefix}_bind_alloc: dev=0000:00:04.0 pasid=1`,
    ]);
    // Each unit has a notifier of its own, and both are told of the death.
    expect(events.filter((event) => event === `${prefix}_mm_release: pasid=1`)).toHaveLength(2);
  });

  it('says in the verdict what each unit can do', async () => {
    const { stdout } = await iommukit('run', 'two-units', '--backend', backend);
    const given =
      backend === 'vtd' ? /narrow@fed91000 +another unit of its kind: .*PSS 0;/ : /narrow@9070000 .*SSIDSIZE 1/;
    expect(stdout).toMatch(given);
  });

  it('makes a machine in which each unit judges its own device (FEAT-3)', async () => {
    const { machine } = new ScenarioRunner(await planOf('two-units', { backend }));
    expect([...machine.iommus.values()].map(({ node }) => node.name)).toEqual(names);
    const [first, second] = [...machine.iommus.values()].map(({ driver }) => driver);
    expect(machine.iommuOf.get('0000:00:03.0')).toBe(first);
    expect(machine.iommuOf.get('0000:00:04.0')).toBe(second);
  });

  it.each([
    ['page requests', { smmuv3: 'pri: false', vtd: 'prs: false' }],
    ['PASIDs', { smmuv3: 'ssidBits: 0', vtd: 'pasid: false' }],
    ['the CPUs’ tables', { smmuv3: 'granule4K: false', vtd: 'flts: false' }],
    ['coherent walks', { smmuv3: 'coherent: false', vtd: 'smpwcs: false' }],
  ])('refuses the device of a unit without %s, and serves the other (FEAT-3)', async (_what, lack) => {
    const plan = await planOf('two-units', { backend });
    const scenario = parseScenario(lacking(lack[backend as keyof typeof lack]), 'lacking.yaml');
    const runner = new ScenarioRunner({ ...plan, scenario });
    for (const chooser of [runner.defaultChooser(), ...Array.from({ length: 20 }, (_, i) => new RandomChooser(1, i))]) {
      const { findings, outcome } = runner.run(chooser);
      expect(findings, outcome.token).toEqual([]);
    }
  });

  it('refuses 5-level tables for the device of the unit that knows 4, and serves the other (FEAT-3)', async () => {
    if (backend === 'smmuv3') return;
    const plan = await planOf('two-units', { backend, set: ['va-bits=57'] });
    const five = '  iommu: { fl5lp: true, sagaw: 14, mgaw: 56 }\n';
    const scenario = parseScenario(lacking('fl5lp: false').replace('actors:', `${five}actors:`), 'five.yaml');
    const runner = new ScenarioRunner({ ...plan, scenario });
    expect(runner.run(runner.defaultChooser()).findings).toEqual([]);
    const told = [...runner.machine.drivers.values()].map((driver) => (driver as DmaEngineDriver).state.refusal);
    expect(told).toEqual(['', expect.stringMatching(/CAP.FL5LP is 0: no 5-level tables, and processes use 57 bits/)]);
  });
});

it('lets accelerators stall under two SMMUs, with one PASID and streams of one number', async () => {
  const plan = await planOf('stall-job', { backend: 'smmuv3' });
  const text = `
name: two-stalls
about: an accelerator behind each of two units
platform:
  endpoints:
    - { at: one@a000000, model: dma-engine, streams: [0x40], pasid-bits: 16, stall: true }
    - { at: two@a100000, model: dma-engine, streams: [0x40], pasid-bits: 16, stall: true }
  units: { other: { behind: [two@a100000] } }
actors:
  first:
    - open: one@a000000
    - bind
    - mmap: { buffer: area, pages: 2 }
    - thread: second
    - submit: { op: fill, to: area, byte: 0x11 }
    - wait
    - unbind
    - join: second
  second:
    - open: two@a100000
    - bind
    - mmap: { buffer: other, pages: 2 }
    - submit: { op: fill, to: other, byte: 0x22 }
    - wait
    - expect: { buffer: other, byte: 0x22 }
    - munmap: other
`;
  const runner = new ScenarioRunner({ ...plan, scenario: parseScenario(text, 'two-stalls.yaml') });
  for (const chooser of [runner.defaultChooser(), ...Array.from({ length: 50 }, (_, i) => new RandomChooser(2, i))]) {
    const { findings, outcome } = runner.run(chooser);
    expect(findings, outcome.token).toEqual([]);
  }
});

/** Two threads of a process, a device each: the second's unit has these capabilities. */
const lacking = (capabilities: string): string => `
name: lacking
about: the second unit lacks something
platform:
  ats-supported: true
  endpoints: [{ at: '0000:00:03.0', model: dma-engine }, { at: '0000:00:04.0', model: dma-engine }]
  units:
    lacking:
      behind: ['0000:00:04.0']
      capabilities: { smmuv3: { ${capabilities} }, vtd: { ${capabilities} } }
actors:
  first:
    - open: 0000:00:03.0
    - bind
    - mmap: { buffer: area, pages: 2 }
    - thread: second
    - submit: { op: fill, to: area, byte: 0x11 }
    - wait
    - join: second
    - expect: { buffer: area, byte: 0x11 }
  second:
    - open: 0000:00:04.0
    - bind: ENODEV
`;
