import { buildCommand } from '@stricli/core';
import { DEFAULT_BACKEND } from '../backends.js';
import type { Context } from '../context.js';
import { paintFor } from '../output/paint.js';
import { WIDTH, wrap } from '../output/wrap.js';
import { planOf } from '../plan.js';
import { makeRunner } from './make-runner.js';
import { repeatCommand } from './repeat.js';
import { runOne } from './run-one.js';

const NEXT = `What to try next:
  npx iommukit run --list                            the other scenarios
  npx iommukit run buffer-job --events all           every event, down to translations and DMA
  npx iommukit run buffer-job --trace ftrace         as the Linux kernel traces it
  npx iommukit run killed-job --schedules 10000      what else can happen to the dying process
  npx iommukit run --help                            all options
`;

/** `iommukit start`: the two golden runs on the machine of a real devicetree. */
export const startCommand = buildCommand<Record<never, never>, [], Context>({
  async func(this: Context): Promise<void> {
    const { stdout } = this.process;
    const paint = paintFor(stdout.isTTY, globalThis.process.env);
    const flags = { backend: DEFAULT_BACKEND };
    for (const name of ['buffer-job', 'killed-job']) {
      const runner = makeRunner(await planOf(name, flags), name);
      const about = wrap(`${name}: ${runner.plan.scenario.about}`, WIDTH).join('\n');
      stdout.write(`${about.replace(name, paint.bold(name))}\n\n`);
      await runOne(this, runner, {}, repeatCommand(name, flags));
      stdout.write('\n');
    }
    stdout.write(NEXT);
  },
  parameters: {},
  docs: { brief: 'Watch a process share its page tables with a device: two runs, shown and judged' },
});
