import type { Settings } from '@iommukit/kernel';
import { type Backend, switchesOf } from './backend.js';
import { ScenarioError } from './scenario-error.js';
import type { Scenario } from './schema.js';
import { parseSetting, resolveSettings } from './settings.js';

/**
 * Why a scenario is not for a backend with these settings, or null. Without settings only what it says of the backend as such.
 * @throws ScenarioError where it names a setting that the backend does not have
 */
export function refusalOf(scenario: Scenario, backend: Backend, settings: Settings | null = null): string | null {
  for (const [key, reason] of Object.entries(scenario['not-on'])) {
    const [name, ...given] = key.split(' ');
    if (name !== backend.name) continue;
    if (given.length === 0) return `${scenario.name} does not run on ${name}: ${reason}`;
    if (settings === null) continue;
    const excluded = Object.fromEntries(given.map(parseSetting));
    const values = resolveSettings(switchesOf(backend), excluded);
    if (Object.keys(excluded).some((each) => values[each] !== settings[each])) continue;
    return `${scenario.name} does not run on ${name} with ${given.join(' and ')}: ${reason}`;
  }
  return null;
}

/** @throws ScenarioError with the scenario's reason, where {@link refusalOf} has one */
export function refuseBackend(scenario: Scenario, backend: Backend, settings: Settings | null = null): void {
  const refusal = refusalOf(scenario, backend, settings);
  if (refusal !== null) throw new ScenarioError(refusal);
}
