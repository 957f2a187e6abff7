import { buildCommand } from '@stricli/core';
import { type Chooser, decodeToken, RandomChooser, ReplayChooser } from '@iommukit/kernel';
import { parseScenario, ScenarioRunner } from '@iommukit/scenario';
import type { Context } from '../context.js';
import { EXIT, UsageError } from '../errors.js';
import { builtInScenarios, scenarioText } from '../files.js';
import { paintFor } from '../output/paint.js';
import { openTrace } from '../output/trace-output.js';
import { verdict } from '../output/verdict.js';
import { planOf } from '../plan.js';
import { checkFlags, type RunFlags, wholeNumber } from './run-flags.js';
import { runMany } from './run-many.js';

async function run(this: Context, flags: RunFlags, name?: string): Promise<void> {
  checkFlags(flags);
  if (flags.list) return listScenarios(this);
  if (name === undefined) throw new UsageError('which scenario? `iommukit run --list` names the built-in ones');
  const plan = await planOf(name, flags);
  const runner = new ScenarioRunner(plan);
  if (flags.schedules !== undefined) return runMany(this, runner, name, flags);
  const chooser = chooserOf(runner, flags);
  const trace = await openTrace(this, flags);
  const report = runner.run(chooser, [trace.sink]);
  await trace.close();
  const { process } = this;
  const to = flags.trace !== undefined && flags.out === undefined ? process.stderr : process.stdout;
  to.write(
    `${flags.trace === undefined ? '\n' : ''}${verdict(plan, report, paintFor(to.isTTY, globalThis.process.env))}`,
  );
  if (report.findings.length > 0) process.exitCode = EXIT.FINDING;
}

function chooserOf(runner: ScenarioRunner, flags: RunFlags): Chooser {
  if (flags.schedule !== undefined) return new ReplayChooser(decodeToken(flags.schedule, runner.hash));
  if (flags.seed !== undefined) return new RandomChooser(flags.seed);
  return runner.defaultChooser();
}

async function listScenarios({ process }: Context): Promise<void> {
  for (const name of await builtInScenarios()) {
    const { text, file } = await scenarioText(name);
    process.stdout.write(`${name.padEnd(16)} ${parseScenario(text, file).about}\n`);
  }
}

/** `iommukit run`. */
export const runCommand = buildCommand<RunFlags, [string?], Context>({
  func: run,
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        { brief: 'A built-in scenario, or a YAML file', parse: String, placeholder: 'scenario', optional: true },
      ],
    },
    flags: {
      list: { kind: 'boolean', brief: 'List the built-in scenarios', default: false, withNegated: false },
      backend: { kind: 'parsed', parse: String, brief: 'The IOMMU architecture: smmuv3', default: 'smmuv3' },
      platform: {
        kind: 'parsed',
        parse: String,
        brief: 'The machine: a flattened devicetree (.dtb or .dtb.xz)',
        optional: true,
        placeholder: 'file',
      },
      trace: {
        kind: 'enum',
        values: ['ftrace', 'json', 'perfetto'],
        brief: 'Print the trace: kernel trace text, JSON lines, or for ui.perfetto.dev',
        optional: true,
      },
      events: {
        kind: 'parsed',
        parse: String,
        brief: "Events to show, separated by commas, or 'all' (default: the six of a bond's life)",
        optional: true,
        placeholder: 'list',
      },
      out: { kind: 'parsed', parse: String, brief: 'Write the trace to a file', optional: true, placeholder: 'file' },
      seed: {
        kind: 'parsed',
        parse: wholeNumber(0),
        brief: 'A random schedule of this seed',
        optional: true,
        placeholder: 'n',
      },
      schedule: {
        kind: 'parsed',
        parse: String,
        brief: 'Replay a schedule from its token',
        optional: true,
        placeholder: 'token',
      },
      schedules: {
        kind: 'parsed',
        parse: wholeNumber(1),
        brief: 'Run this many random schedules and count the kinds of traces',
        optional: true,
        placeholder: 'n',
      },
      set: {
        kind: 'parsed',
        parse: String,
        brief: 'Set a switch: key=value (an unknown key lists them all)',
        optional: true,
        variadic: true,
        placeholder: 'key=value',
      },
    },
  },
  docs: {
    brief: 'Run a scenario: once and shown step by step, or many times under random schedules',
    fullDescription: [
      'Runs a scenario on a machine made of real drivers and bit-accurate hardware models, and prints a timeline and a verdict.',
      '',
      'Examples:',
      '  iommukit run buffer-job                              watch one job from bind to unbind',
      '  iommukit run killed-job --trace ftrace               the same six events as the Linux kernel traces',
      '  iommukit run killed-job --schedules 10000            every kind of trace that random schedules find',
      '  iommukit run killed-job --schedule ik1.…             replay one of them',
      '  iommukit run buffer-job --set mn.duplicate=off       one invalidation an munmap, as from Linux 6.6',
      '',
      'Exit codes: 0 fine, 1 a finding or a failed run, 2 wrong usage.',
    ].join('\n'),
  },
});
