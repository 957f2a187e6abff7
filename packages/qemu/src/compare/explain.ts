import { DEVIATIONS, type Deviation, type DeviationContext } from '../deviations.js';
import type { Answers, CompareCase, Observation, Performer } from './case-format.js';
import { memoryBefore } from './case-memory.js';
import { type AnswerDifference, differences } from './differences.js';
import { compareMachine } from './machine.js';
import { withoutStep } from './without-step.js';

/** What two answers to one case come to. */
export interface Judgement {
  /** Differences that no deviation explains by themselves. */
  readonly left: readonly AnswerDifference[];
  /** The ids of the deviations that explain the others. */
  readonly seen: readonly string[];
  /** The first step that {@link left} is about, and the deviation that is why; null if there is none. */
  readonly cause: { readonly step: number; readonly deviation: string } | null;
}

/** What a comparison found. */
export interface Comparison {
  /** `agreed`: no difference. `explained`: deviations explain every one. `unexplained`: {@link left} tells what is left. */
  readonly verdict: 'agreed' | 'explained' | 'unexplained';
  /** The ids of the deviations that were seen. */
  readonly deviations: readonly string[];
  /** The case as it was when the comparison ended: without the steps that a deviation changes. */
  readonly case: CompareCase;
  readonly left: readonly AnswerDifference[];
}

/** Rounds of leaving out what deviates; every round leaves out a step. */
const MOST_ROUNDS = 64;

/** Judges answers to a case. `models` performs other cases where a deviation asks for it. */
export function judge(
  what: CompareCase,
  ours: Answers,
  theirs: Answers,
  models: Performer,
  deviations: readonly Deviation[] = DEVIATIONS,
): Judgement {
  const context: DeviationContext = {
    case: what,
    ours,
    theirs,
    alone: (index, change = (same) => same) => alone(change(what), index, models),
  };
  const seen = new Set<string>();
  const left: AnswerDifference[] = [];
  for (const difference of differences(ours, theirs, memoryBefore(what, what.steps.length))) {
    const by = deviations.find((one) => one.explains?.(difference, context) ?? false);
    if (by === undefined) left.push(difference);
    else seen.add(by.id);
  }
  return { left, seen: [...seen], cause: causeOf(left, context, deviations) };
}

/** The first step that differs, if a deviation is why. Where the end alone differs, a step that told nothing may be why. */
function causeOf(
  left: readonly AnswerDifference[],
  context: DeviationContext,
  deviations: readonly Deviation[],
): Judgement['cause'] {
  if (left.length === 0) return null;
  const first = left.find((one) => one.step >= 0)?.step;
  for (const step of first === undefined ? silentSteps(context.case) : [first]) {
    const found = left.filter((one) => one.step === step);
    const by = deviations.find((one) => one.skips?.(step, found, context) ?? false);
    if (by !== undefined) return { step, deviation: by.id };
  }
  return null;
}

/** Accesses: none tells where it went, and edu's not even how. */
const silentSteps = ({ steps }: CompareCase): readonly number[] =>
  [...steps.keys()].filter((i) => steps[i]!.do === 'dma');

/**
 * Compares the answers of two performers to a case. A deviation may explain single differences. One that changes what hardware goes on
 * with explains a step as a whole: the case is then compared again without it, so that nothing else is excused.
 */
export function compareCase(
  what: CompareCase,
  ours: Performer,
  theirs: Performer,
  deviations: readonly Deviation[] = DEVIATIONS,
): Comparison {
  const all = new Set<string>();
  let current = what;
  for (let round = 0; ; round++) {
    const { left, seen, cause } = judge(current, ours.perform(current), theirs.perform(current), ours, deviations);
    for (const id of seen) all.add(id);
    if (left.length === 0) {
      return { verdict: all.size === 0 ? 'agreed' : 'explained', deviations: [...all], case: current, left };
    }
    if (cause === null || round === MOST_ROUNDS) {
      return { verdict: 'unexplained', deviations: [...all], case: current, left };
    }
    all.add(cause.deviation);
    current = withoutStep(current, cause.step);
  }
}

/** What `models` say of a step when everything was acknowledged before it. */
function alone(what: CompareCase, index: number, models: Performer): Observation {
  const before = (compareMachine(what.machine)?.acknowledge ?? []).map((write) => ({ do: 'write', ...write }) as const);
  const steps = [...what.steps.slice(0, index), ...before, what.steps[index]!];
  return models.perform({ ...what, steps }).steps[steps.length - 1] ?? {};
}
