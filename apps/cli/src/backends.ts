import { type Backend, eventsIn } from '@iommukit/scenario';
import * as smmuv3 from '@iommukit/smmuv3-driver';
import { DEFAULT_CAPABILITIES, smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import * as vtd from '@iommukit/vtd-driver';
import { DEFAULT_CAPABILITIES as VTD_CAPABILITIES, vtdHardware } from '@iommukit/vtd-hardware';
import { UsageError } from './errors.js';

/** The IOMMU architectures that this command composes. */
export const backends: Readonly<Record<string, Backend>> = {
  smmuv3: {
    name: 'smmuv3',
    driver: smmuv3.smmuv3Driver,
    hardware: smmuV3Hardware,
    switches: smmuv3.switches,
    events: eventsIn(smmuv3),
    capabilities: { ...DEFAULT_CAPABILITIES },
  },
  vtd: {
    name: 'vtd',
    driver: vtd.vtdDriver,
    hardware: vtdHardware,
    switches: vtd.switches,
    events: eventsIn(vtd),
    capabilities: { ...VTD_CAPABILITIES },
  },
};

/** The backend that runs unless told otherwise. */
export const DEFAULT_BACKEND = 'smmuv3';

/** @throws UsageError for a name that is none */
export function backendNamed(name: string): Backend {
  const backend = Object.hasOwn(backends, name) ? backends[name] : undefined;
  if (backend !== undefined) return backend;
  throw new UsageError(`no backend is called '${name}'; there are ${Object.keys(backends).join(', ')}`);
}
