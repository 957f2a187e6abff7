import type { Backend } from '@iommukit/scenario';
import { smmuv3Driver } from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { UsageError } from './errors.js';

/** The IOMMU architectures that this command composes. */
export const backends: Readonly<Record<string, Backend>> = {
  smmuv3: { name: 'smmuv3', driver: smmuv3Driver, hardware: smmuV3Hardware, switches: smmuv3Driver.switches ?? {} },
};

/** @throws UsageError for a name that is none */
export function backendNamed(name: string): Backend {
  const backend = Object.hasOwn(backends, name) ? backends[name] : undefined;
  if (backend !== undefined) return backend;
  throw new UsageError(`no backend is called '${name}'; there are ${Object.keys(backends).join(', ')}`);
}
