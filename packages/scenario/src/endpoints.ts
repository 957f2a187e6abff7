import { dmaEngine, dmaEngineDriver } from '@iommukit/dma-engine';

/** The devices that scenarios can plug in, and their drivers. */
export const endpointModules = { endpointHardware: [dmaEngine], endpointDrivers: [dmaEngineDriver] };
