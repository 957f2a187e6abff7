import { type Chooser, decodeToken, RandomChooser, ReplayChooser } from '@iommukit/kernel';
import { eventsOf, type ScenarioRunner } from '@iommukit/scenario';
import type { Context } from '../context.js';
import { EXIT } from '../errors.js';
import { eventFilter } from '../output/event-filter.js';
import { paintFor } from '../output/paint.js';
import { type TraceFormat, timelineOutput, traceOutput } from '../output/trace-output.js';
import { verdict } from '../output/verdict.js';

/** How one run is chosen and shown. */
export interface RunOneFlags {
  readonly trace?: TraceFormat;
  readonly events?: string;
  readonly out?: string;
  readonly seed?: number;
  readonly schedule?: string;
}

/**
 * Runs a scenario once, and prints the timeline or the trace, and the verdict: on stdout, or on stderr where stdout has the
 * trace. `command` repeats the run but for its schedule.
 */
export async function runOne(
  context: Context,
  runner: ScenarioRunner,
  flags: RunOneFlags,
  command: string,
): Promise<void> {
  const { process } = context;
  const { plan } = runner;
  const { trace: format, out } = flags;
  const chooser = chooserOf(runner, flags);
  const shown = eventFilter(flags.events, format === undefined, eventsOf(plan.backend));
  const trace = format === undefined ? timelineOutput(context, shown) : await traceOutput(context, format, shown, out);
  const report = runner.run(chooser, [trace.sink]);
  await trace.close();
  const to = format !== undefined && out === undefined ? process.stderr : process.stdout;
  const told = verdict(plan, report, command, paintFor(to.isTTY, globalThis.process.env));
  to.write(format === undefined ? `\n${told}` : told);
  if (report.findings.length > 0) process.exitCode = EXIT.FINDING;
}

function chooserOf(runner: ScenarioRunner, { schedule, seed }: RunOneFlags): Chooser {
  if (schedule !== undefined) return new ReplayChooser(decodeToken(schedule, runner.hash));
  if (seed !== undefined) return new RandomChooser(seed);
  return runner.defaultChooser();
}
