import { dmaEngine, dmaEngineDriver, dmaEnginePlatform, eduDriver } from '@iommukit/dma-engine';
import type { EndpointDescription } from '@iommukit/machine';
import { type PartOverrides, withParts } from './part-overrides.js';
import type { Scenario } from './schema.js';

/** The devices that scenarios can plug in, and their drivers. */
export function endpointModules({ engine, engineDriver }: PartOverrides) {
  return {
    endpointHardware: [withParts(dmaEngine, engine)],
    platformHardware: [withParts(dmaEnginePlatform, engine)],
    // Hardware that is not modelled here has an edu where scenarios have an engine.
    endpointDrivers: [withParts(dmaEngineDriver, engineDriver), eduDriver],
  };
}

/** What a scenario plugs in, and behind which of several units. */
export function endpointsOf(
  { platform }: Scenario,
  unitOf: ReadonlyMap<string, string>,
): readonly EndpointDescription[] {
  return platform.endpoints.map(({ at, model, capabilities, streams, 'pasid-bits': pasidBits, stall, untrusted }) => ({
    at,
    model,
    capabilities,
    ...(streams === undefined ? {} : { streams }),
    ...(pasidBits === undefined ? {} : { pasidBits }),
    ...(stall === undefined ? {} : { stall }),
    ...(untrusted === undefined ? {} : { untrusted }),
    ...(unitOf.has(at) ? { iommu: unitOf.get(at)! } : {}),
  }));
}
