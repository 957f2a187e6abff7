import type { Answers, CaseStep, CompareCase, Performer, Vector } from './case-format.js';
import { compareCase } from './explain.js';
import { withoutStep } from './without-step.js';

/** Performs as another does, and keeps what it was asked and answered. */
export class RecordingPerformer implements Performer {
  readonly performer: Performer;
  readonly rounds: { readonly case: CompareCase; readonly answers: Answers }[] = [];

  constructor(performer: Performer) {
    this.performer = performer;
  }

  get name(): string {
    return this.performer.name;
  }

  perform(what: CompareCase): Answers {
    const answers = this.performer.perform(what);
    this.rounds.push({ case: what, answers });
    return answers;
  }
}

/** Answers with what a vector holds. */
export class FrozenPerformer implements Performer {
  readonly vector: Vector;

  constructor(vector: Vector) {
    this.vector = vector;
  }

  get name(): string {
    return this.vector.by;
  }

  /** @throws Error for a case that the vector has no answers to */
  perform(what: CompareCase): Answers {
    let { case: current, answers } = this.vector;
    for (const next of this.vector.further) {
      if (sameSteps(what.steps, current.steps)) return answers;
      [current, answers] = [withoutStep(current, next.without), next.answers];
    }
    if (sameSteps(what.steps, current.steps)) return answers;
    throw new Error(`${this.name} was not asked about these ${what.steps.length} steps`);
  }
}

const sameSteps = (one: readonly CaseStep[], other: readonly CaseStep[]): boolean =>
  one.length === other.length && one.every((step, i) => step === other[i]);

/** A case with the answers of a performer, and what explains where they differ from the models'. */
export function vectorOf(what: CompareCase, ours: Performer, theirs: Performer): Vector {
  const recorder = new RecordingPerformer(theirs);
  const { deviations } = compareCase(what, ours, recorder);
  const [first, ...rest] = recorder.rounds;
  const further = rest.map(({ case: { steps }, answers }, i) => {
    const before = recorder.rounds[i]!.case.steps;
    const without = before.findIndex((step, n) => step !== steps[n]);
    return { without, answers };
  });
  return { case: what, by: theirs.name, deviations, answers: first!.answers, further };
}

/** What is no longer as the vector says, for people; null: the models agree, or differ by exactly the deviations that it names. */
export function complaintOf(vector: Vector, ours: Performer): string | null {
  const frozen = new FrozenPerformer(vector);
  let comparison: ReturnType<typeof compareCase>;
  try {
    comparison = compareCase(vector.case, ours, frozen);
  } catch (error) {
    if (error instanceof Error && error.message.includes('was not asked')) return error.message;
    throw error;
  }
  const { verdict, deviations, left } = comparison;
  if (verdict === 'unexplained') {
    const fields = left.map(({ step, field }) => (step < 0 ? field : `${field} after step ${step}`));
    return `differs in ${fields.join(', ')}`;
  }
  const [seen, named] = [deviations, vector.deviations].map((list) => [...list].sort().join(', ') || 'nothing');
  return seen === named ? null : `explained by ${seen}, and was by ${named}`;
}
