import { buildCommand } from '@stricli/core';
import { ScenarioRunner } from '@iommukit/scenario';
import type { Context } from '../context.js';
import { EXIT } from '../errors.js';
import { paintFor } from '../output/paint.js';
import { openTrace } from '../output/trace-output.js';
import { verdict } from '../output/verdict.js';
import { planOf } from '../plan.js';

const NEXT = `What to try next:
  npx iommukit run --list                            the other scenarios
  npx iommukit run buffer-job --events all           every event, down to commands and DMA
  npx iommukit run buffer-job --trace ftrace         as the Linux kernel traces it
  npx iommukit run killed-job --schedules 10000      what else can happen to the dying process
  npx iommukit run --help                            all options
`;

/** `iommukit start`: the two golden runs on the machine of a real devicetree. */
export const startCommand = buildCommand<Record<never, never>, [], Context>({
  async func(this: Context): Promise<void> {
    const { stdout } = this.process;
    const paint = paintFor(stdout.isTTY, globalThis.process.env);
    for (const name of ['buffer-job', 'killed-job']) {
      const plan = await planOf(name, { backend: 'smmuv3' });
      stdout.write(`${paint.bold(name)}: ${plan.scenario.about}\n\n`);
      const runner = new ScenarioRunner(plan);
      const trace = await openTrace(this, { list: false, backend: 'smmuv3' });
      const report = runner.run(runner.defaultChooser(), [trace.sink]);
      await trace.close();
      stdout.write(`\n${verdict(plan, report, paint)}\n`);
      if (report.findings.length > 0) this.process.exitCode = EXIT.FINDING;
    }
    stdout.write(NEXT);
  },
  parameters: {},
  docs: { brief: 'Watch a process share its page tables with a device: two runs, shown and judged' },
});
