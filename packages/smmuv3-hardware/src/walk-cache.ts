import { TableCache } from '@iommukit/pci-ats';
import type { SmmuV3 } from './device.js';
import type { DropRange } from './iotlb.js';

/** The walk cache. Tables are never global; what is inherited are the high words of the descriptors above, or-ed. */
export class WalkCache extends TableCache<DropRange> {
  constructor({ kernel, name, spaces, memory, capabilities }: SmmuV3) {
    super(kernel, `${name} walk cache`, capabilities.walkEntries, spaces, memory);
  }
}
