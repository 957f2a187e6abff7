import { type ScenarioRunner, type ScheduleReport, runSchedules } from '@iommukit/scenario';
import type { Context } from '../context.js';
import { EXIT } from '../errors.js';
import { type Paint, paintFor } from '../output/paint.js';
import type { RunFlags } from './run-flags.js';

/** The seed of `--schedules` unless `--seed` says otherwise: two users see the same counts. */
const DEFAULT_SEED = 1;

/** `iommukit run … --schedules N`: prints each distinct trace shape with its count and one token. */
export function runMany({ process }: Context, runner: ScenarioRunner, name: string, flags: RunFlags): void {
  const { stdout, stderr } = process;
  const seed = flags.seed ?? DEFAULT_SEED;
  const total = flags.schedules!;
  const progress = (done: number): void => stderr.write(`\r${done} of ${total} schedules`);
  const report = runSchedules(runner, total, seed, stderr.isTTY ? progress : undefined);
  if (stderr.isTTY) stderr.write('\r\x1b[K');
  stdout.write(summary(report, name, seed, paintFor(stdout.isTTY, globalThis.process.env)));
  if (report.failed > 0) process.exitCode = EXIT.FINDING;
}

function summary(report: ScheduleReport, name: string, seed: number, paint: Paint): string {
  const kinds = report.kinds.map(
    ({ shape, count, token }, i) =>
      `${paint.bold(`kind ${i + 1}`)}  ${count} runs  ${paint.dim(`--schedule ${token}`)}\n${shape.map((line) => `    ${line}`).join('\n')}\n`,
  );
  const failures = report.failures.map(({ findings, outcome }) => {
    const told = findings.map(({ invariant, story }) => `  ${paint.red(invariant)} ${story}`).join('\n');
    return `${told}\n    ${paint.dim(`iommukit run ${name} --schedule ${outcome.token}`)}`;
  });
  const verdict = report.failed === 0 ? paint.green('no findings') : paint.red(`${report.failed} runs with findings`);
  const head = `${name}: ${report.runs} random schedules (seed ${seed}), ${report.kinds.length} kinds of traces, ${verdict}`;
  return `${[...kinds, ...failures, head].join('\n')}\n`;
}
