export { DESCRIPTOR_BYTES, GRANULES, type Granule, LAST_LEVEL, startEntries, startLevel } from './granules.js';
export { ATTR_INDEX, MAIR, MAIR0, MAIR1 } from './mair.js';
export {
  AP,
  AP_TABLE,
  BlockDescriptorL1,
  BlockDescriptorL2,
  DESCRIPTOR_TYPE,
  PageDescriptor,
  SH,
  TableDescriptor,
} from './vmsa.js';
