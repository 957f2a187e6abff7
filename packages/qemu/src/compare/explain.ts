import { DEVIATIONS, type Deviation } from '../deviations.js';
import type { CompareCase, Observation, Performer } from './case-format.js';
import { memoryBefore } from './case-memory.js';
import { type AnswerDifference, differences } from './differences.js';
import { compareMachine } from './machine.js';

/** What a comparison found. */
export interface Comparison {
  /** `agreed`: no difference. `explained`: deviations explain every one. `unexplained`: {@link left} tells what is left. */
  readonly verdict: 'agreed' | 'explained' | 'unexplained';
  /** The ids of the deviations that were seen. */
  readonly deviations: readonly string[];
  /** The case as it was when the comparison ended: without the accesses that a deviation changes. */
  readonly case: CompareCase;
  readonly left: readonly AnswerDifference[];
}

/** Rounds of leaving out what deviates; every round leaves out a step. */
const MOST_ROUNDS = 64;

/**
 * Compares the answers of two performers to a case. A deviation may explain single differences. One that changes what hardware goes on
 * with explains an access as a whole: the case is then compared again without it, so that nothing else is excused.
 */
export function compareCase(
  what: CompareCase,
  ours: Performer,
  theirs: Performer,
  deviations: readonly Deviation[] = DEVIATIONS,
): Comparison {
  const seen = new Set<string>();
  let current = what;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const mine = ours.perform(current);
    const other = theirs.perform(current);
    const now = current;
    const context = {
      case: current,
      ours: mine,
      theirs: other,
      alone: (index: number, change = (same: CompareCase) => same) => alone(change(now), index, ours),
    };
    const left: AnswerDifference[] = [];
    for (const difference of differences(mine, other, finalMemory(current))) {
      const by = deviations.find((one) => one.explains?.(difference, context) ?? false);
      if (by === undefined) left.push(difference);
      else seen.add(by.id);
    }
    if (left.length === 0) {
      const verdict = seen.size === 0 ? 'agreed' : 'explained';
      return { verdict, deviations: [...seen], case: current, left };
    }
    const cause = causeOf(left, (index, found) =>
      deviations.find((one) => one.skips?.(index, found, context) ?? false),
    );
    if (cause === null) return { verdict: 'unexplained', deviations: [...seen], case: current, left };
    seen.add(cause.by.id);
    current = { ...current, steps: current.steps.filter((_step, i) => i !== cause.step) };
  }
  return {
    verdict: 'unexplained',
    deviations: [...seen],
    case: current,
    left: differences(ours.perform(current), theirs.perform(current), finalMemory(current)),
  };
}

/** What `ours` says of a step when everything was acknowledged before it. */
function alone(what: CompareCase, index: number, ours: Performer): Observation {
  const before = (compareMachine(what.machine)?.acknowledge ?? []).map((write) => ({ do: 'write', ...write }) as const);
  const steps = [...what.steps.slice(0, index), ...before, what.steps[index]!];
  return ours.perform({ ...what, steps }).steps[steps.length - 1] ?? {};
}

/** Memory as software left it. */
const finalMemory = (what: CompareCase): ReadonlyMap<number, bigint> => memoryBefore(what, what.steps.length);

/** The first step with a difference, and the deviation that is the reason; null if there is none. */
function causeOf(
  left: readonly AnswerDifference[],
  find: (step: number, found: readonly AnswerDifference[]) => Deviation | undefined,
): { readonly step: number; readonly by: Deviation } | null {
  const first = left.find(({ step }) => step >= 0)?.step;
  if (first === undefined) return null;
  const by = find(
    first,
    left.filter(({ step }) => step === first),
  );
  return by === undefined ? null : { step: first, by };
}
