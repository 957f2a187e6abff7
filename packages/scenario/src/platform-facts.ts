import { DEFAULT_CAPABILITIES } from '@iommukit/dma-engine';
import type { Setting } from '@iommukit/kernel';
import { pciHostsOf } from '@iommukit/machine';
import type { Plan } from './runner.js';
import { placeUnits } from './units.js';

/** What one thing of a machine can do, its model's defaults included. */
export interface Ability {
  /** `0000:00:03.0`, or the backend's name. */
  readonly at: string;
  readonly model: string;
  readonly capabilities: Readonly<Record<string, Setting>>;
  /** Which of them the scenario says; the others are the model's defaults. */
  readonly given: readonly string[];
}

/** What a run's machine can do: the platform description with the scenario's overlay on it. */
export interface PlatformFacts {
  readonly atsSupported: boolean;
  readonly iommu: Ability;
  /** The units that the scenario adds. */
  readonly units: readonly Ability[];
  readonly endpoints: readonly Ability[];
}

/** Devicetrees say where things are, the overlay what they can do, and the models what neither says: all of it together. */
export function platformFacts({ platform, scenario, backend }: Plan): PlatformFacts {
  const added = Object.entries(placeUnits(scenario, platform, backend.name).capabilities);
  const { endpoints, iommu } = scenario.platform;
  return {
    atsSupported: scenario.platform['ats-supported'] ?? pciHostsOf(platform).some((host) => host.atsSupported),
    iommu: ability(backend.name, backend.name, backend.capabilities, iommu),
    units: added.map(([name, given]) => ability(name, backend.name, backend.capabilities, { ...iommu, ...given })),
    endpoints: endpoints.map(({ at, model, capabilities }) => ability(at, model, DEFAULT_CAPABILITIES, capabilities)),
  };
}

type Given = Readonly<Record<string, Setting>>;

function ability(at: string, model: string, standard: Given, given: Given): Ability {
  return { at, model, capabilities: { ...standard, ...given }, given: Object.keys(given) };
}
