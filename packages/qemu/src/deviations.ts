import type { Answers, CompareCase, Observation } from './compare/case-format.js';
import type { AnswerDifference } from './compare/differences.js';
import { SMMUV3_DEVIATIONS } from './compare/smmuv3/deviations.js';
import { VTD_DEVIATIONS } from './compare/vtd/deviations.js';

/** What a deviation may look at. */
export interface DeviationContext {
  readonly case: CompareCase;
  readonly ours: Answers;
  readonly theirs: Answers;
  /**
   * What the models say of step `index` when everything that waits for software was acknowledged before it. `change`: of another case.
   */
  alone(index: number, change?: (what: CompareCase) => CompareCase): Observation;
}

/** Something that QEMU does otherwise than the specification, or that the specification leaves open. */
export interface Deviation {
  readonly id: string;
  /** What is seen. */
  readonly title: string;
  /** What the specification says, with its place in the fact sheets. */
  readonly specification: string;
  /** Why the models stay as they are. */
  readonly reason: string;
  /** This difference is nothing but the deviation. */
  explains?(difference: AnswerDifference, context: DeviationContext): boolean;
  /**
   * The deviation is why step `index` differs (in all of `found`). Both sides go on from different states then: the case is compared
   * again without the step.
   */
  skips?(index: number, found: readonly AnswerDifference[], context: DeviationContext): boolean;
}

/** Every deviation that is known. A disagreement that none of them explains is a question to the specification. */
export const DEVIATIONS: readonly Deviation[] = [...VTD_DEVIATIONS, ...SMMUV3_DEVIATIONS];
