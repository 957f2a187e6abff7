import { runSchedules, type ScenarioRunner, type ScheduleReport } from '@iommukit/scenario';
import type { Context } from '../context.js';
import { EXIT } from '../errors.js';
import { type Paint, paintFor } from '../output/paint.js';

/** The seed of `--schedules` unless `--seed` says otherwise: two users see the same counts. */
const DEFAULT_SEED = 1;

/** `iommukit run … --schedules N`: prints each distinct trace shape with its count and one token. */
export function runMany(
  { process }: Context,
  runner: ScenarioRunner,
  { runs, seed = DEFAULT_SEED }: { readonly runs: number; readonly seed: number | undefined },
  command: string,
): void {
  const { stdout, stderr } = process;
  const progress = (done: number): void => stderr.write(`\r${done} of ${runs} schedules`);
  const report = runSchedules(runner, runs, seed, stderr.isTTY ? progress : undefined);
  if (stderr.isTTY) stderr.write('\r\x1b[K');
  const { name } = runner.plan.scenario;
  stdout.write(summary(report, `${name}, seed ${seed}`, command, paintFor(stdout.isTTY, globalThis.process.env)));
  if (report.failed > 0) process.exitCode = EXIT.FINDING;
}

function summary(report: ScheduleReport, what: string, command: string, paint: Paint): string {
  const width = String(report.runs).length;
  const kinds = report.kinds.map(({ shape, count, token }, i) => {
    const runs = `${String(count).padStart(width)} run${count === 1 ? ' ' : 's'}`;
    const lines = shape.map((line) => `    ${line}\n`).join('');
    return `${paint.bold(`kind ${i + 1}`)}  ${runs}  ${paint.dim(`--schedule ${token}`)}\n${lines}`;
  });
  const failures = report.failures.map(({ findings, outcome }) => {
    const told = findings.map(({ invariant, story }) => `${paint.red(invariant)} ${story}`).join('\n');
    return `${told}\n    ${paint.dim(`${command} --schedule ${outcome.token}`)}\n`;
  });
  const verdict =
    report.failed === 0 ? paint.green('no findings') : paint.red(`${report.failed} of the runs with findings`);
  const counted = `${report.runs} random schedules, ${report.kinds.length} kinds of traces, ${verdict}`;
  return `${[...kinds, ...failures, `${what}: ${counted}`].join('\n')}\n${paint.dim(`replay one: ${command} --schedule …`)}\n`;
}
