/** Memory attributes, one byte of MAIR each (smmuv3.md 3.2). */
export const MAIR = {
  /** Normal, not cacheable. */
  NC: 0x44,
  /** Normal, write-back, read- and write-allocate. */
  WB: 0xff,
  /** Device-nGnRE. */
  DEVICE: 0x04,
  /** Normal, inner not cacheable, outer write-back. */
  INNER_NC_OUTER_WB: 0xf4,
} as const;

/** AttrIndx of the memory attributes in {@link MAIR0}. */
export const ATTR_INDEX = { NC: 0, WB: 1, DEVICE: 2, INNER_NC_OUTER_WB: 3 } as const;

/** Attributes 0 to 3 as a register value: what contexts compatible with Linux's io-pgtable put in CD.MAIR0 (smmuv3.md 3.2). */
export const MAIR0 = 0xf404_ff44;

/** Attributes 4 to 7 of the same contexts. */
export const MAIR1 = 0;
