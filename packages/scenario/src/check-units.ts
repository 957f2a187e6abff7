import { ScenarioError } from './scenario-error.js';
import type { Scenario } from './schema.js';
import type { YamlPlaces } from './yaml-places.js';

/**
 * Checks that what is behind the units that a scenario adds is plugged in, and behind one of them only.
 * @throws ScenarioError at the place that is wrong
 */
export function checkUnits({ platform }: Scenario, places: YamlPlaces): void {
  const endpoints = platform.endpoints.map(({ at }) => at);
  const taken = new Map<string, string>();
  for (const [name, { behind }] of Object.entries(platform.units)) {
    behind.forEach((at, i) => {
      const fail = (problem: string): never => {
        throw new ScenarioError(`${places.at(['platform', 'units', name, 'behind', i])}: ${problem}`);
      };
      if (!endpoints.includes(at)) {
        fail(`no device is at ${at}; platform.endpoints has: ${endpoints.join(', ') || 'none'}`);
      }
      if (taken.has(at)) fail(`${at} is behind ${taken.get(at)} already`);
      taken.set(at, name);
    });
  }
}
