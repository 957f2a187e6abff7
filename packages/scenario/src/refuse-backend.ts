import type { Backend } from './backend.js';
import { ScenarioError } from './scenario-error.js';
import type { Scenario } from './schema.js';

/** @throws ScenarioError with the scenario's reason, where it says that it is not for this backend */
export function refuseBackend({ name, 'not-on': notOn }: Scenario, backend: Pick<Backend, 'name'>): void {
  const reason = notOn[backend.name];
  if (reason !== undefined) throw new ScenarioError(`${name} does not run on ${backend.name}: ${reason}`);
}
