import type { CompareCase } from './case-format.js';

/** A case without one step. */
export const withoutStep = (what: CompareCase, index: number): CompareCase => ({
  ...what,
  steps: what.steps.filter((_step, i) => i !== index),
});
