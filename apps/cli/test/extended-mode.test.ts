import { type Chooser, FairChooser, RandomChooser, type TraceEvent } from '@iommukit/kernel';
import { parseScenario, type Scenario, ScenarioRunner } from '@iommukit/scenario';
import { describe, expect, it } from 'vitest';
import { builtInScenarios, scenarioText } from '../src/files.js';
import { planOf } from '../src/plan.js';
import { iommukit, refusalWith } from './support.js';

const SET = ['vtd.mode=ecs'];
const SCHEDULES = 10;

/** A built-in scenario, with what it says about backends and order left out. */
async function bare(name: string): Promise<Scenario> {
  const { text, file } = await scenarioText(name);
  const { order: _order, ...scenario } = parseScenario(text, file);
  return { ...scenario, 'not-on': {} };
}

/** A runner of a built-in scenario in the extended-context mode, also where the scenario says that it is not for it. */
async function runnerOf(name: string, set: readonly string[] = [], iommu = {}): Promise<ScenarioRunner> {
  const plan = await planOf('buffer-job', { backend: 'vtd', set: [...SET, ...set] });
  const scenario = await bare(name);
  const platform = { ...scenario.platform, iommu: { ...scenario.platform.iommu, ...iommu } };
  const settings = { ...plan.settings, ...scenario.set };
  return new ScenarioRunner({ ...plan, settings, scenario: { ...scenario, platform } });
}

const NO_FPD = 'its entries have no FPD, so that what a device still asks of a dead process is recorded as a fault';
const PASID_ONLY = 'there only requests with PASID have a first stage';

/** The scenarios of VT-d: those that are for the extended-context mode, and those that are not, by their reason. */
const all = { for: [] as string[], noFpd: [] as string[], pasidOnly: [] as string[] };
for (const name of await builtInScenarios()) {
  if ((await refusalWith(name, 'vtd', [])) !== null) continue;
  const refusal = await refusalWith(name, 'vtd', SET);
  all[refusal === null ? 'for' : refusal.endsWith(PASID_ONLY) ? 'pasidOnly' : 'noFpd'].push(name);
}

/** Events of a whole run, which no oracle of quiet deaths ends: those of bonds, faults and jobs. */
function loudEvents(runner: ScenarioRunner, chooser: Chooser): string[] {
  Object.assign(runner.oracles.quietDeath, { event() {} });
  const told: string[] = [];
  const event = ({ point, record }: TraceEvent): void => void told.push(`${point.name}: ${point.format(record)}`);
  const { findings, outcome } = runner.run(chooser, [{ event }]);
  expect(findings).toEqual([]);
  expect(outcome.end).toBe('finished');
  return told.filter((line) => /^(vtd_(bind|unbind|mm_|fault)|dev_|engine_job)/.test(line));
}

describe.each(all.for)('%s in the extended-context mode', (name) => {
  it.each([
    ['as it is', [], {}],
    ['with deferred invalidations (DIS)', [], { dis: true }],
    ['stepwise, with deferred invalidations (DIS)', ['gait=stepwise'], { dis: true }],
  ])('runs without a finding %s', async (_what, set, iommu) => {
    const runner = await runnerOf(name, set, iommu);
    expect(runner.run(new FairChooser()).findings).toEqual([]);
    for (let i = 0; i < SCHEDULES; i++) {
      const { findings, outcome } = runner.run(new RandomChooser(29, i));
      expect(findings, outcome.token).toEqual([]);
    }
  });
});

describe.each([...all.noFpd.map((name) => [name, NO_FPD]), ...all.pasidOnly.map((name) => [name, PASID_ONLY])])(
  '%s, which is not for the extended-context mode',
  (name, reason) => {
    it('is refused with the reason, and exit code 2, there and nowhere else', async () => {
      const { code, stderr } = await iommukit('run', name, '--backend', 'vtd', '--set', ...SET);
      expect([code, stderr]).toEqual([2, `iommukit: ${name} does not run on vtd with vtd.mode=ecs: ${reason}\n`]);
      expect((await iommukit('run', name, '--backend', 'vtd')).code).toBe(0);
    });
  },
);

describe.each(all.noFpd)('%s, which is about a dying process', (name) => {
  it('ends as INV-5 under some schedule if it is run all the same (SVA-7, SVA-11)', async () => {
    const runner = await runnerOf(name);
    const found = Array.from({ length: 20 }, (_unused, i) => runner.run(new RandomChooser(1, i)).findings);
    const first = found.find((findings) => findings.length > 0);
    expect(first).toMatchObject([{ invariant: 'INV-5' }]);
    expect(first?.[0]?.story).toMatch(
      /records PASID_NOT_PRESENT for stream 0x(18|20), PASID 1, whose process is dying/,
    );
  });

  it('does no other harm than the record', async () => {
    const runner = await runnerOf(name);
    for (let i = 0; i < SCHEDULES; i++) loudEvents(runner, new RandomChooser(1, i));
  });
});

describe.each(all.pasidOnly)('%s, which is about requests without PASID', (name) => {
  it('ends with the refused bind if it is run all the same', async () => {
    const { findings } = (await runnerOf(name)).run(new FairChooser());
    expect(findings).toMatchObject([
      { story: expect.stringMatching(/the first stage is for requests with PASID \(ENODEV\)/) },
    ]);
  });
});

it('is for all scenarios of VT-d but those about dying processes and about requests without PASID', () => {
  expect(all.noFpd).toEqual(['dying-process-quiet', 'exec', 'killed-job', 'two-units']);
  expect(all.pasidOnly).toEqual(['without-pasid-exit', 'without-pasid']);
  expect(all.for.length).toBeGreaterThan(10);
});

/** What the log says of an access to a dead process's memory: PASID-table entry not present (vtd.md 5.2). */
const noise = (count: number, address: string): string[] => [
  `vtd_fault_status: DMAR: DRHD: handling fault status reg ${count}02`.replace('reg 002', 'reg 2'),
  `vtd_fault: DMAR: [DMA Read PASID 0x1] Request device [00:03.0] fault addr 0x${address} [fault reason 0x59] SM: PASID entry not present`,
];
/** The page request that follows, and its answer, INVALID. */
const refused = (group: number, address: string, prot: number): string[] => [
  `dev_fault: IOMMU:0000:00:03.0 type=2 reason=0 addr=0x0000${address} pasid=1 group=${group} flags=3 prot=${prot}`,
  `dev_page_response: IOMMU:0000:00:03.0 code=1 pasid=1 group=${group}`,
];

describe('the noise of a dead process in the extended-context mode (SVA-7, G-V)', () => {
  it('killed-job: a record, a request that is refused, and the job is cancelled', async () => {
    expect(loudEvents(await runnerOf('killed-job'), new FairChooser())).toEqual([
      'vtd_bind_alloc: dev=0000:00:03.0 pasid=1',
      'engine_job: dev=0000:00:03.0 pasid=1 op=copy bytes=8192 status=submitted',
      ...noise(0, '7fffffffd000'),
      ...refused(0, '7fffffffd000', 1),
      'engine_job: dev=0000:00:03.0 pasid=1 op=copy bytes=8192 status=cancelled',
      'vtd_mm_release: pasid=1',
      'vtd_unbind_free: dev=0000:00:03.0 pasid=1',
    ]);
  });

  it('dying-process-quiet: a record for each try, before and after the release has returned', async () => {
    const told = loudEvents(await runnerOf('dying-process-quiet'), new FairChooser());
    const tries = told.filter((line) => line.startsWith('vtd_fault:')).length;
    expect(tries).toBeGreaterThan(3);
    const one = (i: number): string[] => [...noise(i, '7fffffffd000'), ...refused(i, '7fffffffd000', 2)];
    expect(told).toEqual([
      'vtd_bind_alloc: dev=0000:00:03.0 pasid=1',
      'engine_job: dev=0000:00:03.0 pasid=1 op=fill bytes=8192 status=submitted',
      ...one(0),
      'vtd_mm_release: pasid=1',
      ...Array.from({ length: tries - 1 }, (_unused, i) => one(i + 1)).flat(),
      'engine_job: dev=0000:00:03.0 pasid=1 op=fill bytes=8192 status=stopped',
      'vtd_unbind_free: dev=0000:00:03.0 pasid=1',
    ]);
  });

  it('exec: the new program gets the number again, and its pages', async () => {
    const told = loudEvents(await runnerOf('exec'), new FairChooser());
    expect(told.slice(0, 8)).toEqual([
      'vtd_bind_alloc: dev=0000:00:03.0 pasid=1',
      'engine_job: dev=0000:00:03.0 pasid=1 op=fill bytes=16384 status=submitted',
      ...noise(0, '7fffffffb000'),
      ...refused(0, '7fffffffb000', 2),
      'engine_job: dev=0000:00:03.0 pasid=1 op=fill bytes=16384 status=cancelled',
      'vtd_mm_release: pasid=1',
    ]);
    expect(told.filter((line) => line.startsWith('vtd_fault')).length).toBe(2);
    expect(told).toContain('engine_job: dev=0000:00:03.0 pasid=1 op=fill bytes=8192 status=done');
  });
});
