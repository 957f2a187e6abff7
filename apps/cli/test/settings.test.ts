import { RandomChooser } from '@iommukit/kernel';
import { ScenarioRunner } from '@iommukit/scenario';
import { describe, expect, it } from 'vitest';
import { builtInScenarios } from '../src/files.js';
import { planOf } from '../src/plan.js';
import { onEachBackend } from './support.js';

/** Machines and kernels of other kinds, by backend: every scenario must do there what it is about. */
const KINDS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  vtd: [
    ['gait=stepwise'],
    ['cache-ro=on'],
    ['caching-mode=on'],
    ['hw-af-dirty=on'],
    ['mn.duplicate=off', 'sentinel=all-ones', 'upgrade=flush-before-response', 'grow-stack=off'],
    ['stop-kind=marker'],
  ],
  smmuv3: [
    ['gait=stepwise'],
    ['smmuv3.asids=private'],
    ['btm=on'],
    ['btm=on', 'cpu-el2=on'],
    ['cpu-el2=on'],
    ['hw-af-dirty=on'],
    ['quiesce-form=later'],
    ['cache-ro=off'],
    ['cpu-page=16K'],
    ['cpu-page=64K', 'gait=stepwise'],
    ['mn.duplicate=off', 'sentinel=all-ones', 'upgrade=flush-before-response', 'grow-stack=off'],
    ['smmuv3.cmdq-entries=4', 'smmuv3.cd-leaf=4K', 'stop-kind=marker'],
  ],
};

/** Random schedules of each. */
const SCHEDULES = 5;

describe.each(await onEachBackend(await builtInScenarios()))('%s on %s', (name, backend) => {
  it.each(KINDS[backend]!.map((set) => [set.join(' '), set] as const))(
    'runs without a finding with %s',
    async (_what, set) => {
      const runner = new ScenarioRunner(await planOf(name, { backend, set }));
      const fair = runner.run(runner.defaultChooser());
      expect(fair.findings).toEqual([]);
      expect(fair.outcome.end).toBe('finished');
      for (let i = 0; i < SCHEDULES; i++) {
        const { findings, outcome } = runner.run(new RandomChooser(23, i));
        expect(findings, outcome.token).toEqual([]);
      }
    },
  );
});
