import type { Scenario } from './schema.js';

/** The actors that another one starts by `fork:` or `thread:`; the others begin with the run. */
export function startedActors({ actors }: Scenario): ReadonlySet<string> {
  const steps = Object.values(actors).flat();
  return new Set(steps.flatMap((step) => (step.do === 'fork' || step.do === 'thread' ? [step.child] : [])));
}
