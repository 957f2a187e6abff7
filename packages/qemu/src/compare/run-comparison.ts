import type { QemuMachineKind } from '../machines/machines.js';
import type { Qemu } from '../qemu-machine.js';
import type { Answers, CompareCase, Performer, Vector } from './case-format.js';
import { type Comparison, compareCase } from './explain.js';
import { featuresOf } from './features.js';
import { RecordingPerformer, vectorOf } from './frozen.js';
import { generateCase } from './generate.js';
import { compareMachine, compareMachines } from './machine.js';
import { QemuPerformer } from './on-qemu.js';
import { shrinkCase } from './shrink.js';
import { reasonOf } from './vtd/faults-seen.js';

/** What to compare. */
export interface ComparisonOptions {
  readonly backend: 'vtd' | 'smmuv3';
  readonly seed: number;
  readonly cases: number;
  /** The models. */
  readonly ours: Performer;
  /** Starts QEMU as a machine. */
  start(kind: QemuMachineKind): Qemu;
  /** Told of every case that was compared. */
  progress?(done: number): void;
  /** Told of a disagreement that nothing explains, shrunk. */
  found?(disagreement: Disagreement): void;
  /** Vectors are kept: whether there is one of that name, and how one is kept. */
  readonly vectors?: { has(name: string): boolean; keep(name: string, vector: Vector): void };
}

/** A disagreement that no deviation explains. */
export interface Disagreement {
  readonly index: number;
  /** The smallest case that was found. */
  readonly case: CompareCase;
  readonly comparison: Comparison;
  /** QEMU's name and version. */
  readonly by: string;
  readonly theirs: Performer;
}

/** How a run went. */
export interface ComparisonTotals {
  cases: number;
  agreed: number;
  explained: number;
  unexplained: number;
  /** Cases by deviation. */
  deviations: Record<string, number>;
}

/** Disagreements that are shrunk; the others are counted. */
const MOST_SHRUNK = 10;

/**
 * Compares `cases` random machines. They are shared among the backend's machines, one QEMU at a time; which case an index is depends on
 * the seed alone.
 * @throws QemuError as `start` does, and when QEMU ends
 */
export function runComparison(options: ComparisonOptions): ComparisonTotals {
  const totals: ComparisonTotals = { cases: 0, agreed: 0, explained: 0, unexplained: 0, deviations: {} };
  const machines = compareMachines(options.backend);
  const share = Math.ceil(options.cases / machines.length);
  machines.forEach((machine, n) => {
    const [first, end] = [n * share, Math.min(options.cases, (n + 1) * share)];
    if (first >= end) return;
    const theirs = new QemuPerformer(() => options.start(machine.kind));
    try {
      const identification = theirs.identification();
      for (let index = first; index < end; index++) {
        compareOne(generateCase(machine, identification, options.seed, index), index, theirs, options, totals);
      }
    } finally {
      theirs.stop();
    }
  });
  return totals;
}

function compareOne(
  what: CompareCase,
  index: number,
  theirs: QemuPerformer,
  options: ComparisonOptions,
  totals: ComparisonTotals,
): void {
  const { ours } = options;
  const comparison = compareCase(what, ours, theirs);
  totals.cases++;
  totals[comparison.verdict]++;
  for (const id of comparison.deviations) totals.deviations[id] = (totals.deviations[id] ?? 0) + 1;
  if (comparison.verdict === 'unexplained' && totals.unexplained <= MOST_SHRUNK) {
    const small = shrunkDisagreement(comparison, ours, theirs);
    options.found?.({ index, case: small.case, comparison: small, by: theirs.name, theirs });
  }
  if (options.vectors !== undefined) keepNew(what, comparison, theirs, options);
  options.progress?.(totals.cases);
}

/** The comparison of the smallest case that still differs in the same way. */
function shrunkDisagreement(comparison: Comparison, ours: Performer, theirs: Performer): Comparison {
  const sign = signatureOf(comparison);
  const machine = compareMachine(comparison.case.machine)!;
  const fails = (what: CompareCase): boolean =>
    machine.sound(what) && signatureOf(compareCase(what, ours, theirs)) === sign;
  return compareCase(shrinkCase(comparison.case, fails), ours, theirs);
}

/** What the first differing step differs in: outcomes, reasons of faults and numbers of events. Empty: nothing is left. */
function signatureOf({ case: what, left }: Comparison): string {
  const first = left[0];
  if (first === undefined) return '';
  const step = what.steps[first.step];
  const essence = (field: string, value: bigint | boolean): string => {
    if (typeof value === 'boolean') return String(value);
    if (field === 'FRCD_HI') return String(reasonOf(value));
    return field === 'EVENT_0' ? String(value & 0xffn) : '';
  };
  const fields = left
    .filter((one) => one.step === first.step)
    .map(({ field, ours, theirs }) => `${field.replace(/0x.*/, '')} ${essence(field, ours)} ${essence(field, theirs)}`);
  return [step?.do ?? 'end', step?.do === 'dma' ? step.device : '', ...new Set(fields)].join(',');
}

/** Keeps a small case of everything that has not been kept: deviations, faults, pages, flags, changes, entries of queues. */
function keepNew(what: CompareCase, comparison: Comparison, theirs: QemuPerformer, options: ComparisonOptions): void {
  const { ours } = options;
  const machine = compareMachine(what.machine)!;
  const keep = (name: string, holds: (found: Comparison, answers: Answers) => boolean): void => {
    const still = (candidate: CompareCase): boolean => {
      if (!machine.sound(candidate)) return false;
      const recorder = new RecordingPerformer(theirs);
      const found = compareCase(candidate, ours, recorder);
      return found.verdict !== 'unexplained' && holds(found, recorder.rounds[0]!.answers);
    };
    // A case that shows several things at once is passed by: one of its own will come.
    if (options.vectors?.has(name) !== false || !still(what)) return;
    options.vectors.keep(name, vectorOf(shrinkCase(what, still), ours, theirs));
  };
  for (const id of comparison.deviations) {
    keep(`deviation-${id}`, ({ deviations }) => deviations.length === 1 && deviations[0] === id);
  }
  // A step that was taken out of the comparison says nothing about the models.
  if (comparison.case !== what || comparison.verdict === 'unexplained') return;
  const known = new Set(comparison.deviations);
  for (const feature of featuresOf(what, theirs.perform(what))) {
    keep(`${what.machine}-${feature}`, ({ case: compared, deviations }, answers) => {
      if (deviations.some((id) => !known.has(id)) || compared.steps.length !== answers.steps.length) return false;
      return featuresOf(compared, answers).includes(feature);
    });
  }
}
