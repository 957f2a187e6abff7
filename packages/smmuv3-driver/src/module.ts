import type { Core, Device } from '@iommukit/core';
import { Smmuv3Driver } from './driver.js';
import { type Smmuv3Parts, smmuv3Parts } from './parts.js';
import { switches } from './settings.js';

/** The driver as a machine takes it: `{ ...smmuv3Driver, parts: { ...smmuv3Driver.parts, Sva: MySva } }` changes a step. */
export const smmuv3Driver = {
  backend: 'smmuv3',
  matches: ['arm,smmu-v3'],
  parts: smmuv3Parts,
  switches,
  create(device: Device, core: Core, parts: Smmuv3Parts = smmuv3Parts): Smmuv3Driver {
    return new Smmuv3Driver(device, core, parts);
  },
};
