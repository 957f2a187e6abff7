import {
  findQemu,
  GET_QEMU,
  getQemu,
  isQemuError,
  QEMU_MACHINES,
  type QemuArch,
  type QemuMachineKind,
  type QemuProgram,
} from '@iommukit/qemu';
import { buildCommand } from '@stricli/core';
import type { Context } from '../context.js';
import { EXIT, UsageError } from '../errors.js';

/** What `iommukit qemu` was told. */
interface QemuFlags {
  readonly get: boolean;
  readonly json: boolean;
  readonly qemu?: string;
}

/** A program, or why there is none. */
type Found = { readonly program: QemuProgram } | { readonly arch: QemuArch; readonly problem: string };

const kinds = Object.entries(QEMU_MACHINES) as [QemuMachineKind, (typeof QEMU_MACHINES)[QemuMachineKind]][];
const ARCHES: readonly QemuArch[] = [...new Set(kinds.map(([, { arch }]) => arch))];
/** The versions from this one on play every machine in full: `--get` gets one where an older one was found. */
const WHOLE = 11;

function qemu(this: Context, flags: QemuFlags): void {
  const { stdout, stderr } = this.process;
  if (flags.get && flags.qemu !== undefined) {
    throw new UsageError('--get fills the cache and --qemu looks elsewhere: give one of them');
  }
  let found = findAll(flags.qemu);
  const whole = found.every((each) => 'program' in each && each.program.version.major >= WHOLE);
  if (flags.get && !whole) {
    getQemu({ say: (line) => stderr.write(`${line}\n`) });
    found = findAll(flags.qemu);
  }
  stdout.write(flags.json ? `${JSON.stringify(asJson(found))}\n` : asTable(found));
  if (found.some((each) => 'problem' in each)) this.process.exitCode = EXIT.FINDING;
}

function findAll(path: string | undefined): readonly Found[] {
  return ARCHES.map((arch) => {
    try {
      return { program: findQemu(arch, path) };
    } catch (error) {
      if (isQemuError(error)) return { arch, problem: error.message };
      throw error;
    }
  });
}

function asJson(found: readonly Found[]): object {
  return {
    programs: found.map((each) => {
      if ('problem' in each) return { arch: each.arch, path: null, version: null, source: null, problem: each.problem };
      const { arch, path, version, source } = each.program;
      return { arch, path, version: version.text, source, problem: null };
    }),
    machines: kinds.map(([name, { arch, about }]) => ({ name, arch, about })),
  };
}

function asTable(found: readonly Found[]): string {
  const lines = found.map((each) => {
    if ('problem' in each) return `${each.arch.padEnd(9)}${each.problem.replaceAll('\n', `\n${' '.repeat(9)}`)}`;
    const { arch, path, version, source } = each.program;
    return `${arch.padEnd(9)}${version.text.padEnd(8)} ${path} (${source})`;
  });
  const machines = kinds.map(([name, { arch, about }]) => `${name.padEnd(17)}${arch.padEnd(9)}${about}`);
  return `${[...lines, '', 'Machines:', ...machines.map((line) => `  ${line}`)].join('\n')}\n`;
}

/** `iommukit qemu`. */
export const qemuCommand = buildCommand<QemuFlags, [], Context>({
  func: qemu,
  parameters: {
    flags: {
      get: {
        kind: 'boolean',
        brief: 'Get QEMU 11 from Debian where it is missing or older: no root needed, nothing is installed',
        default: false,
        withNegated: false,
      },
      json: { kind: 'boolean', brief: 'One JSON object', default: false, withNegated: false },
      qemu: {
        kind: 'parsed',
        parse: String,
        brief: 'A program, or a folder of programs, to look at instead',
        optional: true,
        placeholder: 'path',
      },
    },
  },
  docs: {
    brief: 'Say which QEMU is used as hardware, and get it',
    fullDescription: [
      'Says which QEMU programs are found, their versions, and what is missing.',
      '',
      'Looked for, in this order: --qemu, IOMMUKIT_QEMU (a program or a folder), ~/.cache/iommukit, PATH.',
      'QEMU 10.0 and newer can be used; from 11 on every machine is played in full.',
      '',
      `\`${GET_QEMU}\` takes it from the Debian archive that this machine's apt uses (Debian 12 and 13), unpacks it`,
      'into ~/.cache/iommukit (about 250 MB) and installs nothing.',
      '',
      'Exit codes: 0 all programs are there, 1 one is missing or too old, 2 it cannot be got, wrong usage.',
    ].join('\n'),
  },
});
