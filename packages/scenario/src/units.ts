import type { PlatformDescription } from '@iommukit/firmware';
import type { Setting } from '@iommukit/kernel';
import { iommusOf, withUnit } from '@iommukit/machine';
import type { Scenario } from './schema.js';

/** A machine with the units that a scenario adds to its platform. */
export interface UnitPlacement {
  readonly platform: PlatformDescription;
  /** Capabilities of the added units, by their names in the description. */
  readonly capabilities: Readonly<Record<string, Readonly<Record<string, Setting>>>>;
  /** Endpoint → the name of the unit that it is behind, where there are several. */
  readonly unitOf: ReadonlyMap<string, string>;
}

/**
 * Puts the units of `platform.units` beside the platform's own, with the capabilities that the scenario has for `backend`. What it
 * puts behind none of them is behind the first one.
 * @throws IommuError ENODEV for a platform without IOMMU, ENOSPC without room for another one's registers
 */
export function placeUnits(
  { platform: overlay }: Scenario,
  platform: PlatformDescription,
  backend: string,
): UnitPlacement {
  const units = Object.entries(overlay.units);
  if (units.length === 0) return { platform, capabilities: {}, unitOf: new Map() };
  const unitOf = new Map<string, string>();
  for (const { name } of iommusOf(platform).slice(0, 1)) for (const { at } of overlay.endpoints) unitOf.set(at, name);
  const capabilities: Record<string, Readonly<Record<string, Setting>>> = {};
  let placed = platform;
  for (const [name, { behind, capabilities: given }] of units) {
    const added = withUnit(placed, { name, behind: behind.filter((at) => !at.includes('@')) });
    placed = added.platform;
    capabilities[added.unit.name] = given[backend] ?? {};
    for (const at of behind) unitOf.set(at, added.unit.name);
  }
  return { platform: placed, capabilities, unitOf };
}
