import { enumOf } from '@iommukit/bitfield';

/** RTADDR.TTM: what the root table is. EXTENDED is the root type of the extended mode; units without it have it reserved (vtd.md 1.5). */
export const TTM = enumOf({ LEGACY: 0, SCALABLE: 1, EXTENDED: 2, ABORT: 3 });

/** CCMD.CIRG and CAIG, and G of a context-cache descriptor; 0 is none: failed, or invalid (vtd.md 1.6, 3.1). */
export const CONTEXT_GRANULARITY = enumOf({ NONE: 0, GLOBAL: 1, DOMAIN: 2, DEVICE: 3 });

/** CCMD.FM, and FM of a context-cache descriptor: which function bits of SID are not compared (vtd.md 1.6). */
export const FUNCTION_MASK = enumOf({ NONE: 0, BIT2: 1, BITS2_1: 2, BITS2_0: 3 });

/** IOTLB.IIRG and IAIG, and G of an IOTLB descriptor; 0 is none: failed, or invalid (vtd.md 1.7, 3.2). */
export const IOTLB_GRANULARITY = enumOf({ NONE: 0, GLOBAL: 1, DOMAIN: 2, PAGE: 3 });

/** G of a PASID-based IOTLB descriptor in scalable mode; 0 and 1 are invalid (vtd.md 3.6). */
export const PASID_IOTLB_GRANULARITY = enumOf({ PASID: 2, PAGE: 3 });

/** G of an extended IOTLB descriptor (vtd.md 3.6). */
export const ECS_IOTLB_GRANULARITY = enumOf({ ALL: 0, ALL_NON_GLOBAL: 1, PASID: 2, PAGE: 3 });

/** G of a PASID-cache descriptor; 2 is invalid, GLOBAL is absent in the extended mode (vtd.md 3.7). */
export const PASID_CACHE_GRANULARITY = enumOf({ DOMAIN: 0, PASID: 1, GLOBAL: 3 });

/** G of an interrupt entry cache descriptor (vtd.md 3.4). */
export const IEC_GRANULARITY = enumOf({ GLOBAL: 0, INDEX: 1 });

/** TT of a legacy context entry; 3 is reserved (vtd.md 2.2). */
export const CONTEXT_TT = enumOf({ UNTRANSLATED: 0, DEVICE_TLB: 1, PASS_THROUGH: 2 });

/** TT of an extended context entry; 4 and 5 need PASIDE=1 (vtd.md 2.4). */
export const ECS_TT = enumOf({
  UNTRANSLATED: 0,
  DEVICE_TLB: 1,
  PASS_THROUGH: 2,
  PASS_THROUGH_PASID: 4,
  PASS_THROUGH_PASID_DEVICE_TLB: 5,
});

/** AW: width of the second stage: levels are AW+2, bits 30+9*AW. It must be in CAP.SAGAW (vtd.md 2.2, 2.10). */
export const AW = enumOf({ BITS_39: 1, BITS_48: 2, BITS_57: 3 });

/** PGTT of a PASID entry: which stages translate; others are fault 0x5b (vtd.md 2.10). */
export const PGTT = enumOf({ FIRST_STAGE: 1, SECOND_STAGE: 2, NESTED: 3, PASS_THROUGH: 4 });

/** FLPM of a PASID entry: levels of the first stage (vtd.md 2.10). */
export const FLPM = enumOf({ LEVELS_4: 0, LEVELS_5: 1 });

/** IQERCD.IQEI: why the invalidation queue stopped (vtd.md 1.9; from one source). */
export const IQEI = enumOf({
  NONE: 0,
  TAIL: 1,
  FETCH: 2,
  TYPE: 3,
  RESERVED: 4,
  WIDTH: 5,
  TAIL_ALIGN: 6,
  TTM: 7,
});

/** RC of a page response: every value but these counts as failure (vtd.md 4.3). */
export const RESPONSE = enumOf({ SUCCESS: 0, INVALID: 1, FAILURE: 0xf });

/** AT of a fault record: the address type of the PCIe request (vtd.md 1.8). */
export const ADDRESS_TYPE = enumOf({ UNTRANSLATED: 0, TRANSLATION_REQUEST: 1, TRANSLATED: 2 });

/** What ECMD does (vtd.md 1.1; from one source). */
export const ECMD_COMMAND = enumOf({ ENABLE: 0xf0, DISABLE: 0xf1, FREEZE: 0xf4, UNFREEZE: 0xf5 });
