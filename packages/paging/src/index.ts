export { DESCRIPTOR_BYTES, GRANULES, type Granule, LAST_LEVEL, shiftOf, startEntries, startLevel } from './granules.js';
export { ATTR_INDEX, MAIR, MAIR0, MAIR1 } from './mair.js';
export { AP, AP_TABLE, DESCRIPTOR_TYPE, SH } from './vmsa.js';
export {
  BlockDescriptorL1,
  BlockDescriptorL2,
  type LeafLayout,
  PageDescriptor,
  TableDescriptor,
  type TableLayout,
  VMSA,
  type VmsaLayout,
  type VmsaName,
} from './vmsa-layouts.js';
export { S2AP, S2XN, Stage2Page } from './vmsa-stage2.js';
export {
  SECOND_STAGE,
  SecondStageBlock1G,
  SecondStageBlock2M,
  SecondStagePage,
  SecondStageTable,
} from './vtd-second-stage.js';
export { X86, X86Block1G, X86Block2M, X86Page, X86Table } from './x86.js';
