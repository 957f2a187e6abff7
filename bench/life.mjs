import { readFileSync } from 'node:fs';
import { parseDevicetree, platformFromDevicetree } from '@iommukit/firmware';
import { FairChooser, Kernel } from '@iommukit/kernel';
import { parseScenario, resolveSettings, runSchedules, ScenarioRunner, switchesOf } from '@iommukit/scenario';
import { smmuv3Driver } from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { measure, spread, time } from './harness.mjs';

const backend = { name: 'smmuv3', driver: smmuv3Driver, hardware: smmuV3Hardware, switches: smmuv3Driver.switches };
const command = new URL('../apps/cli/', import.meta.url);

/** The machine of a scenario: a built-in name, or its actors' steps. */
function runnerOf(name, text = readFileSync(new URL(`scenarios/${name}.yaml`, command), 'utf8')) {
  const scenario = parseScenario(text, name);
  const platform = platformFromDevicetree(parseDevicetree(readFileSync(new URL('fixtures/virt.dtb', command))));
  return new ScenarioRunner({
    scenario,
    platform,
    backend,
    settings: resolveSettings(switchesOf(backend), scenario.set),
  });
}

const HEAD = `
about: a benchmark
platform: { ats-supported: true, endpoints: [{ at: "0000:00:03.0", model: dma-engine }] }
actors:
  process:
    - open: 0000:00:03.0
    - bind
`;

/** Runs a scenario that must end without findings. */
function once(runner) {
  const { findings } = runner.run(new FairChooser());
  if (findings.length > 0) throw new Error(`${findings[0].invariant}: ${findings[0].story}`);
}

/** Cost of one of `n` equal things: the time of a scenario with them less that of one without, over n. */
function difference(withThem, without, n, { samples = 31, warmups = 120 } = {}) {
  const runs = (runner) => () => once(runner);
  for (let i = 0; i < warmups; i++) {
    once(withThem);
    once(without);
  }
  return spread(Array.from({ length: samples }, () => (time(runs(withThem), 1) - time(runs(without), 1)) / n));
}

const FAULTS = 256;
const BINDS = 200;

/** What a run is made of. */
export const cases = {
  /** A page request on its way through device, PRI queue, interrupt thread, fault queue, mm, response, and the retry. */
  'fault-round-trip': () => {
    const job = `    - mmap: { buffer: area, pages: ${FAULTS} }\n`;
    const fill = '    - submit: { op: fill, to: area }\n    - wait\n';
    const untouched = runnerOf('faults', `name: faults${HEAD}${job}${fill}${fill}`);
    const present = runnerOf('present', `name: present${HEAD}${job}    - fill: area\n${fill}${fill}`);
    return difference(untouched, present, FAULTS);
  },
  'bind-unbind': () => {
    const pair = '    - unbind\n    - bind\n';
    return difference(
      runnerOf('binds', `name: binds${HEAD}${pair.repeat(BINDS)}`),
      runnerOf('none', `name: none${HEAD}    - exit\n`),
      BINDS,
    );
  },
  /** One preemption point in a coroutine, two tasks runnable, no switch. */
  'coroutine-step': () =>
    measure(
      (n) => {
        const kernel = new Kernel();
        const what = kernel.footprint();
        for (const name of ['one', 'other']) {
          kernel.spawn(name, function* () {
            for (let i = 0; i < n / 2; i++) yield* kernel.point(what, true);
          });
        }
        kernel.begin(new FairChooser(), {
          steps: Number.POSITIVE_INFINITY,
          ns: 1,
          idleSteps: Number.POSITIVE_INFINITY,
        });
        kernel.run();
      },
      { batch: 2 ** 20 },
    ),
  /** One random schedule of killed-job, from restore to verdict, with every oracle watching. */
  'schedule:killed-job': () => {
    const runner = runnerOf('killed-job');
    let seed = 1;
    return measure((n) => runSchedules(runner, n, seed++), { batch: 1000, samples: 11, warmups: 8 });
  },
};
