import { TableCache } from '@iommukit/pci-ats';
import type { Vtd } from './device.js';
import type { IotlbScope } from './iotlb.js';

/** The walk cache (paging-structure caches). What is inherited are LESS bits of the entries above, or-ed. */
export class WalkCache extends TableCache<IotlbScope> {
  constructor({ kernel, name, spaces, memory, capabilities }: Vtd) {
    super(kernel, `${name} walk cache`, capabilities.walkEntries, spaces, memory);
  }
}
