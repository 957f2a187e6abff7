import { parseScenario } from '@iommukit/scenario';
import { buildCommand } from '@stricli/core';
import { DEFAULT_BACKEND } from '../backends.js';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { builtInScenarios, scenarioText } from '../files.js';
import { WIDTH, wrap } from '../output/wrap.js';
import { planOf } from '../plan.js';
import { makeRunner } from './make-runner.js';
import { repeatCommand, whereOf } from './repeat.js';
import { checkFlags, type RunFlags, wholeNumber } from './run-flags.js';
import { runMany } from './run-many.js';
import { runOnQemu } from './run-on-qemu.js';
import { runOne } from './run-one.js';

async function run(this: Context, flags: RunFlags, name?: string): Promise<void> {
  checkFlags(flags, name);
  if (flags.list) return listScenarios(this);
  if (name === undefined) throw new UsageError('which scenario? `iommukit run --list` names the built-in ones');
  if (flags.hardware === 'qemu') return runOnQemu(this, name, flags);
  const runner = makeRunner(await planOf(name, flags), whereOf(name, flags));
  const command = repeatCommand(name, flags);
  if (flags.schedules === undefined) await runOne(this, runner, flags, command);
  else runMany(this, runner, { runs: flags.schedules, seed: flags.seed }, command);
}

async function listScenarios({ process }: Context): Promise<void> {
  const names = await builtInScenarios();
  const column = Math.max(...names.map((name) => name.length)) + 2;
  for (const name of names) {
    const { text, file } = await scenarioText(name);
    const about = wrap(parseScenario(text, file).about, WIDTH - column);
    process.stdout.write(`${name.padEnd(column)}${about.join(`\n${' '.repeat(column)}`)}\n`);
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
      backend: {
        kind: 'parsed',
        parse: String,
        brief: 'The IOMMU architecture: smmuv3 or vtd',
        default: DEFAULT_BACKEND,
      },
      platform: {
        kind: 'parsed',
        parse: String,
        brief: 'The machine: a flattened devicetree (.dtb or .dtb.xz) or an ACPI IORT or DMAR',
        optional: true,
        placeholder: 'file',
      },
      hardware: {
        kind: 'enum',
        values: ['models', 'qemu'],
        brief: 'What the drivers run on: the models of this package, or QEMU',
        default: 'models',
      },
      qemu: {
        kind: 'parsed',
        parse: String,
        brief: 'The QEMU for --hardware qemu: a program or its folder (default: what `iommukit qemu` finds)',
        optional: true,
        placeholder: 'path',
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
    customUsage: [
      '[options] <scenario>',
      '<scenario> --hardware qemu [--qemu <path>]',
      '<scenario> --schedules <n> [--seed <n>]',
      '--list',
    ],
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
      "  iommukit run without-pasid --hardware qemu           the same drivers on QEMU's SMMUv3",
      '',
      'Exit codes: 0 fine, 1 a finding or a failed run, 2 wrong usage.',
    ].join('\n'),
  },
});
