import { describeEnd, type Plan, type Report } from '@iommukit/scenario';
import { machineRows } from './machine-rows.js';
import type { Paint } from './paint.js';
import { WIDTH, wrap } from './wrap.js';

/** Width of the labels (columns). */
const LABEL = 15;

/** A label and its text. */
export type Row = readonly [label: string, text: string];

/**
 * The verdict of one run, for people: what was found, what was done, on which machine, and how to run it again.
 * `command` is the one that repeats the run but for its schedule.
 */
export function verdict(plan: Plan, report: Report, command: string, paint: Paint): string {
  const { findings, outcome } = report;
  const isFine = findings.length === 0;
  const result = isFine ? 'fine' : `${findings.length} finding${findings.length > 1 ? 's' : ''}`;
  return [
    paint.bold(plan.scenario.name),
    `${paint.dim('verdict'.padEnd(LABEL))} ${isFine ? paint.green(result) : paint.red(result)}`,
    ...findings.map(({ invariant, story }) => row([invariant, story], paint.red)),
    ...[...countRows(plan, report), ...machineRows(plan)].map((entry) => row(entry, paint.dim)),
    // Not wrapped: it is to be copied.
    plan.hardware === undefined
      ? `${paint.dim('replay'.padEnd(LABEL))} ${command} --schedule ${outcome.token}`
      : `${paint.dim('again'.padEnd(LABEL))} ${command}`,
    '',
  ].join('\n');
}

function row([label, text]: Row, colour: (label: string) => string): string {
  const [first = '', ...more] = wrap(text, WIDTH - LABEL - 1);
  return [`${colour(label.padEnd(LABEL))} ${first}`, ...more.map((line) => ' '.repeat(LABEL + 1) + line)].join('\n');
}

function countRows(plan: Plan, report: Report): readonly Row[] {
  const { counts, outcome } = report;
  const [success, invalid, failure] = counts.responses;
  const codes = [`${success} SUCCESS`, `${invalid} INVALID`, `${failure} FAILURE`].filter(
    (code) => !code.startsWith('0 '),
  );
  return [
    ['jobs', list(Object.entries(counts.jobs).map(([status, count]) => `${count} ${status}`))],
    // Models tell of each access; other hardware has its result only.
    ['pages moved', plan.hardware === undefined ? String(counts.pagesMoved) : 'not told by the device'],
    ['page faults', String(counts.faults)],
    ['responses', codes.length === 0 ? '0' : `${success + invalid + failure} (${codes.join(', ')})`],
    ['invalidations', String(counts.invalidations)],
    ['releases', String(counts.releases)],
    ['leaks', leaks(report)],
    ['steps', `${outcome.steps}, ${outcome.end === 'violation' ? 'stopped at the finding' : describeEnd(outcome)}`],
  ];
}

function leaks({ findings, outcome }: Report): string {
  if (outcome.end !== 'finished') return 'not compared: the run did not finish';
  const found = findings.filter((finding) => finding.invariant === 'INV-9');
  return found.length === 0 ? 'none' : String(found.length);
}

function list(items: readonly string[]): string {
  return items.length === 0 ? 'none' : items.join(', ');
}
