import { RandomChooser } from '@iommukit/kernel';
import { ScenarioRunner } from '@iommukit/scenario';
import { describe, expect, it } from 'vitest';
import { builtInScenarios } from '../src/files.js';
import { planOf } from '../src/plan.js';
import { onEachBackend, refusalWith } from './support.js';

/** Machines and kernels of other kinds, by backend: every scenario must do there what it is about. */
const KINDS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  vtd: [
    ['gait=stepwise'],
    ['cache-ro=on'],
    ['caching-mode=on'],
    ['hw-af-dirty=on'],
    ['mn.duplicate=off', 'sentinel=all-ones', 'upgrade=flush-before-response', 'grow-stack=off'],
    ['stop-kind=marker'],
    ['vtd.mode=ecs'],
    ['vtd.mode=ecs', 'gait=stepwise', 'caching-mode=on'],
    ['vtd.prq-handler=thread'],
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

const pairs = await onEachBackend(await builtInScenarios());
/** Without the kinds that a scenario says it is not for. */
const ROWS = await Promise.all(
  pairs.map(async ([name, backend]) => {
    const refusals = await Promise.all(KINDS[backend]!.map((set) => refusalWith(name, backend, set)));
    return [name, backend, KINDS[backend]!.filter((_set, i) => refusals[i] === null)] as const;
  }),
);

describe.each(ROWS)('%s on %s', (name, backend, kinds) => {
  it.each(kinds.map((set) => [set.join(' '), set] as const))('runs without a finding with %s', async (_what, set) => {
    const runner = new ScenarioRunner(await planOf(name, { backend, set }));
    const fair = runner.run(runner.defaultChooser());
    expect(fair.findings).toEqual([]);
    expect(fair.outcome.end).toBe('finished');
    for (let i = 0; i < SCHEDULES; i++) {
      const { findings, outcome } = runner.run(new RandomChooser(23, i));
      expect(findings, outcome.token).toEqual([]);
    }
  });
});
