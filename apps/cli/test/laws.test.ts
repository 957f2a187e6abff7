import { type Chooser, FairChooser, RandomChooser } from '@iommukit/kernel';
import { type Plan, type Report, ScenarioRunner, TraceHash } from '@iommukit/scenario';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtInScenarios } from '../src/files.js';
import { planOf } from '../src/plan.js';
import { onEachBackend } from './support.js';

const names = await builtInScenarios();
/** Every scenario on every backend that it is for. */
const cases = await onEachBackend(names);

/** One run's report, and a hash of everything that it traced. */
function hashed(runner: ScenarioRunner, chooser: Chooser = runner.defaultChooser()): { report: Report; hash: string } {
  const trace = new TraceHash();
  const report = runner.run(chooser, [trace]);
  return { report, hash: trace.value() };
}

describe.each(cases)('%s on %s', (name, backend) => {
  let plan: Plan;
  let runner: ScenarioRunner;

  beforeAll(async () => {
    plan = await planOf(name, { backend });
    runner = new ScenarioRunner(plan);
  });

  it('runs without a finding, and traces something', () => {
    const { report, hash } = hashed(runner);
    expect(report.findings).toEqual([]);
    expect(report.outcome.end).toBe('finished');
    expect(hash).not.toBe(new TraceHash().value());
  });

  it('traces the same on two machines: nothing but the schedule decides', () => {
    expect(hashed(new ScenarioRunner(plan))).toEqual(hashed(new ScenarioRunner(plan)));
  });

  it('traces the same after boot as after a restore, also when other runs came in between', () => {
    const fresh = hashed(new ScenarioRunner(plan));
    for (let i = 0; i < 20; i++) runner.run(new RandomChooser(7, i));
    expect(hashed(runner)).toEqual(fresh);
  });

  it('runs a random schedule the same after boot as after a restore', () => {
    for (let i = 0; i < 10; i++) {
      const fresh = hashed(new ScenarioRunner(plan), new RandomChooser(3, i));
      expect(hashed(runner, new RandomChooser(3, i))).toEqual(fresh);
    }
  });

  it('leaves every count as it was after boot, whatever the schedule', () => {
    for (let i = 0; i < 100; i++) {
      const { findings, outcome } = runner.run(new RandomChooser(11, i));
      expect(findings, outcome.token).toEqual([]);
      expect(runner.machine.census(), outcome.token).toEqual(runner.baseline);
    }
  });

  it('runs without a finding on a device that posts stop markers (IOPF-14)', () => {
    const posting = new ScenarioRunner({ ...plan, settings: { ...plan.settings, 'stop-kind': 'marker' } });
    for (let i = 0; i < 50; i++) {
      const { findings, outcome } = posting.run(new RandomChooser(13, i));
      expect(findings, outcome.token).toEqual([]);
    }
  });

  it('leaves nothing behind when any one allocation fails (L32)', () => {
    let failed = 0;
    for (let n = 1; ; n++) {
      const starved = new ScenarioRunner({ ...plan, settings: { ...plan.settings, 'alloc-fail': n } });
      const { findings } = starved.run(new FairChooser());
      const { injection } = starved.machine.kernel;
      if (injection.state.count < injection.failAt) break;
      failed++;
      expect(
        findings.filter(({ invariant }) => invariant !== 'scenario'),
        `allocation ${n}`,
      ).toEqual([]);
    }
    expect(failed).toBeGreaterThan(10);
  });
});

it('finds the built-in scenarios', () => {
  expect([...names].sort()).toEqual([
    'asid-rollover',
    'buffer-job',
    'classic-domain',
    'dying-process-quiet',
    'exec',
    'fork-cow',
    'htt-update',
    'killed-job',
    'narrow-device',
    'overflow',
    'page-groups',
    'partial-unmap',
    'permission-upgrade',
    'private-and-shared-asid',
    'prq-overflow',
    'recursive-file-reference',
    'stall-job',
    'supervisor-pasid',
    'two-processes',
    'two-units',
    'without-pasid',
    'without-pasid-exit',
  ]);
});
