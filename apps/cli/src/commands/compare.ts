import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  type CompareCase,
  type ComparisonTotals,
  caseToJson,
  compareCase,
  compareMachine,
  DEVIATIONS,
  type Disagreement,
  differenceLines,
  EmbeddedPerformer,
  findQemu,
  isCaseError,
  jsonText,
  type Performer,
  QEMU_MACHINES,
  type QemuMachineKind,
  QemuPerformer,
  readCase,
  reportOf,
  runComparison,
  startQemu,
  type Vector,
  vectorOf,
  vectorToJson,
} from '@iommukit/qemu';
import { capabilitiesFrom as smmuV3CapabilitiesFrom, smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { capabilitiesFrom as vtdCapabilitiesFrom, vtdHardware } from '@iommukit/vtd-hardware';
import { buildCommand } from '@stricli/core';
import type { Context } from '../context.js';
import { EXIT, UsageError } from '../errors.js';
import { readBytes } from '../files.js';

/** What `iommukit compare` was told. */
interface CompareFlags {
  readonly backend?: 'vtd' | 'smmuv3';
  readonly seed: number;
  readonly cases: number;
  readonly qemu?: string;
  readonly replay?: string;
  readonly out?: string;
  readonly freeze?: string;
  readonly list: boolean;
  readonly json: boolean;
}

/** The models that are compared. */
export const embeddedPerformer = (): EmbeddedPerformer =>
  new EmbeddedPerformer({
    vtd: { module: vtdHardware, capabilitiesFrom: vtdCapabilitiesFrom },
    smmuv3: { module: smmuV3Hardware, capabilitiesFrom: smmuV3CapabilitiesFrom },
  });

/** Cases between two lines of progress. */
const PROGRESS = 500;

async function compare(this: Context, flags: CompareFlags): Promise<void> {
  if (flags.list) this.process.stdout.write(deviationList());
  else if (flags.replay !== undefined) await replay(this, flags, flags.replay);
  else compareMany(this, flags);
}

function compareMany(context: Context, flags: CompareFlags): void {
  const { backend } = flags;
  if (backend === undefined) throw new UsageError('give --backend vtd or --backend smmuv3 (or --replay, or --list)');
  const { stdout, stderr } = context.process;
  const began = performance.now();
  const ours = embeddedPerformer();
  const kept = new Set<string>();
  const totals = runComparison({
    backend,
    seed: flags.seed,
    cases: flags.cases,
    ours,
    start: (kind) => start(kind, flags.qemu),
    progress: (done) => {
      if (done % PROGRESS !== 0) return;
      stderr.write(`${done} of ${flags.cases} cases, ${rate(done, began)} a second\n`);
    },
    found: (disagreement) => tellDisagreement(context, flags, ours, disagreement),
    ...(flags.freeze === undefined ? {} : { vectors: vectorsIn(flags.freeze, kept) }),
  });
  stdout.write(flags.json ? `${jsonTotals(totals)}\n` : textTotals(totals, rate(totals.cases, began)));
  if (totals.unexplained > 0) context.process.exitCode = EXIT.FINDING;
}

const rate = (cases: number, began: number): number =>
  Math.round((cases * 1000) / Math.max(1, performance.now() - began));

function start(kind: QemuMachineKind, path: string | undefined) {
  return startQemu(findQemu(QEMU_MACHINES[kind].arch, path), kind);
}

function vectorsIn(folder: string, kept: Set<string>) {
  mkdirSync(folder, { recursive: true });
  return {
    has: (name: string) => kept.has(name),
    keep: (name: string, vector: Vector) => {
      kept.add(name);
      writeFileSync(join(folder, `${name}.json`), `${jsonText(vectorToJson(vector))}\n`);
    },
  };
}

function tellDisagreement(context: Context, flags: CompareFlags, ours: Performer, found: Disagreement): void {
  const { stdout, stderr } = context.process;
  const folder = flags.out ?? '.';
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `disagreement-${found.case.machine}-${flags.seed}-${found.index}.json`);
  writeFileSync(file, `${jsonText(caseToJson(found.case))}\n`);
  const names = [ours.name, found.by] as const;
  const lines = [
    `case ${found.index} of seed ${flags.seed}: nothing explains a disagreement; the smallest case of it:`,
    '',
    reportOf(found.case, ours.perform(found.case), found.theirs.perform(found.case), [...names]),
    ...differenceLines(found.comparison, [...names]),
    '',
    `again: iommukit compare --replay ${file}`,
    '',
  ];
  (flags.json ? stderr : stdout).write(`${lines.join('\n')}\n`);
}

async function replay(context: Context, flags: CompareFlags, file: string): Promise<void> {
  const what = await caseIn(file);
  const ours = embeddedPerformer();
  const theirs = new QemuPerformer(() => start(what.machine, flags.qemu));
  try {
    const comparison = compareCase(what, ours, theirs);
    const { verdict, deviations } = comparison;
    const names = [ours.name, theirs.name] as const;
    const totals = { cases: 1, agreed: 0, explained: 0, unexplained: 0, [verdict]: 1 };
    if (flags.json) context.process.stdout.write(`${JSON.stringify(totals)}\n`);
    else {
      context.process.stdout.write(reportOf(what, ours.perform(what), theirs.perform(what), [...names]));
      const why = deviations.length === 0 ? '' : ` (${deviations.join(', ')})`;
      context.process.stdout.write(`${verdict}${why}\n${differenceLines(comparison, [...names]).join('\n')}\n`);
    }
    if (flags.freeze !== undefined) {
      vectorsIn(flags.freeze, new Set()).keep(basename(file, '.json'), vectorOf(what, ours, theirs));
    }
    if (verdict === 'unexplained') context.process.exitCode = EXIT.FINDING;
  } finally {
    theirs.stop();
  }
}

async function caseIn(file: string): Promise<CompareCase> {
  let data: unknown;
  try {
    data = JSON.parse(new TextDecoder().decode(await readBytes(file)));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`${file}: ${error.message}`);
    throw error;
  }
  try {
    const what = readCase(data);
    if (compareMachine(what.machine) !== null) return what;
    throw new UsageError(`${file}: no cases are for ${what.machine}`);
  } catch (error) {
    if (isCaseError(error)) throw new UsageError(`${file}: ${error.message}`);
    throw error;
  }
}

const jsonTotals = ({ cases, agreed, explained, unexplained }: ComparisonTotals): string =>
  JSON.stringify({ cases, agreed, explained, unexplained });

function textTotals(
  { cases, agreed, explained, unexplained, deviations }: ComparisonTotals,
  perSecond: number,
): string {
  const lines = [
    `${cases} cases (${perSecond} a second): ${agreed} agreed, ${explained} explained, ${unexplained} unexplained`,
  ];
  const byCount = Object.entries(deviations).sort((a, b) => b[1] - a[1]);
  for (const [id, count] of byCount) {
    lines.push(`${String(count).padStart(7)}  ${id}: ${DEVIATIONS.find((one) => one.id === id)?.title ?? ''}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Every deviation with the specification's word and the reason. */
function deviationList(): string {
  return DEVIATIONS.map(
    ({ id, title, specification, reason }) =>
      `${id}\n  ${title}.\n  ${specification}.\n  Why the models stay: ${reason}.\n`,
  ).join('\n');
}

function countOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new SyntaxError('give a number');
}

const path = (brief: string, placeholder = 'file') =>
  ({ kind: 'parsed', parse: String, brief, placeholder, optional: true }) as const;

/** `iommukit compare`. */
export const compareCommand = buildCommand<CompareFlags, [], Context>({
  func: compare,
  parameters: {
    flags: {
      backend: { kind: 'enum', values: ['vtd', 'smmuv3'], brief: 'The IOMMU architecture', optional: true },
      seed: {
        kind: 'parsed',
        parse: countOf,
        brief: 'Which cases; a case depends on it and its number alone',
        default: '1',
      },
      cases: { kind: 'parsed', parse: countOf, brief: 'How many cases', default: '1000' },
      qemu: path('QEMU: a program, or a folder that has one', 'path'),
      replay: path('Performs one case file again'),
      out: path('Where case files of disagreements go; default: here', 'folder'),
      freeze: path(
        'Keeps a small case with QEMU’s answers of everything that is new; with --replay: that case',
        'folder',
      ),
      list: { kind: 'boolean', brief: 'Tells what QEMU is known to do otherwise', default: false, withNegated: false },
      json: { kind: 'boolean', brief: 'Ends with a line of JSON', default: false, withNegated: false },
    },
  },
  docs: {
    customUsage: [
      '--backend vtd|smmuv3 [--seed <n>] [--cases <n>] [--qemu <path>] [--out <folder>] [--json]',
      '--backend vtd|smmuv3 --freeze <folder> [--seed <n>] [--cases <n>] [--qemu <path>]',
      '--replay <file> [--qemu <path>] [--freeze <folder>] [--json]',
      '--list',
    ],
    brief: 'Compare the hardware models with QEMU on random machines',
    fullDescription: [
      'Makes random machines (tables with pages of every size, rights, flags, reserved bits, entries that are wrong at every level), loads',
      'them into the hardware model and into QEMU, lets devices access memory and software change and invalidate, and compares every',
      'outcome, fault record, register and word of memory. A disagreement is explained by a known deviation, or shrunk and shown.',
      '',
      'Exit codes: 0 all agreed or explained, 1 a disagreement that nothing explains, 2 wrong usage.',
    ].join('\n'),
  },
});
