import type { Core, Device } from '@iommukit/core';
import { type HardwarePlace, IommuError, type Kernel } from '@iommukit/kernel';
import { type Backend, eventsIn } from '@iommukit/scenario';
import { ReferenceDriver } from './driver.js';
import { ReferenceModel } from './model.js';
import * as tracePoints from './trace-points.js';

const MATCHES = ['iommukit,reference'];

/** A backend as applications compose it. Its driver finds the model of the same name in the same machine. */
export function referenceBackend(): Backend {
  const models = new WeakMap<Kernel, Map<string, ReferenceModel>>();
  const modelOf = ({ kernel, name }: Device): ReferenceModel => {
    const model = models.get(kernel)?.get(name);
    if (model !== undefined) return model;
    throw new IommuError('ENODEV', `${name} is no reference IOMMU`, { remedy: "use the backend's own hardware" });
  };
  return {
    name: 'reference',
    hardware: {
      matches: MATCHES,
      parts: {},
      create(place: HardwarePlace): ReferenceModel {
        const model = new ReferenceModel(place);
        const names = models.get(place.kernel) ?? new Map<string, ReferenceModel>();
        models.set(place.kernel, names.set(place.name, model));
        return model;
      },
    },
    driver: {
      backend: 'reference',
      matches: MATCHES,
      parts: {},
      create: (device: Device, core: Core) => new ReferenceDriver(device, core, modelOf(device)),
    },
    switches: {},
    events: eventsIn(tracePoints),
    capabilities: {},
  };
}
