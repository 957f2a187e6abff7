import { dmaEngine, dmaEngineDriver } from '@iommukit/dma-engine';
import { type PartOverrides, withParts } from './part-overrides.js';

/** The devices that scenarios can plug in, and their drivers. */
export function endpointModules({ engine, engineDriver }: PartOverrides) {
  return {
    endpointHardware: [withParts(dmaEngine, engine)],
    endpointDrivers: [withParts(dmaEngineDriver, engineDriver)],
  };
}
