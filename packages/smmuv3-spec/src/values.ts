import { enumOf } from '@iommukit/bitfield';

/** IDR0.TTF: translation table formats (smmuv3.md 1.2). */
export const TTF = enumOf({ AARCH32: 1, AARCH64: 2, BOTH: 3 });

/** IDR0.HTTU: which flags the SMMU updates in tables by itself (smmuv3.md 1.2). */
export const HTTU = enumOf({ NONE: 0, ACCESS: 1, ACCESS_DIRTY: 2, TABLE_ACCESS: 3 });

/** IDR0.TTENDIAN: byte orders of tables (smmuv3.md 1.2). */
export const TTENDIAN = enumOf({ MIXED: 0, LITTLE: 2, BIG: 3 });

/** IDR0.STALL_MODEL: what may happen to a faulting transaction (smmuv3.md 1.2). */
export const STALL_MODEL = enumOf({ STALL_AND_TERMINATE: 0, TERMINATE_ONLY: 1, STALL_FORCED: 2 });

/** IDR5.OAS, CD.IPS, STE.S2PS: sizes of an address; bits are in {@link OAS_BITS} (smmuv3.md 1.4). */
export const OAS = enumOf({
  BITS_32: 0,
  BITS_36: 1,
  BITS_40: 2,
  BITS_42: 3,
  BITS_44: 4,
  BITS_48: 5,
  BITS_52: 6,
  BITS_56: 7,
});

/** Bits of an output address, by OAS encoding (smmuv3.md 1.4). */
export const OAS_BITS: readonly number[] = [32, 36, 40, 42, 44, 48, 52, 56];

/** IDR5.VAX: sizes of a virtual address; bits are in {@link VAX_BITS} (smmuv3.md 1.4). */
export const VAX = enumOf({ BITS_48: 0, BITS_52: 1, BITS_56: 2 });

/** Bits of a virtual address, by VAX encoding (smmuv3.md 1.4). */
export const VAX_BITS: readonly number[] = [48, 52, 56];

/** Cacheability in CR1: of queue and table accesses (smmuv3.md 1.5). */
export const CR1_CACHE = enumOf({ NC: 0, WB: 1, WT: 2 });

/** Cacheability of fetches and walks in STE and CD: read- and write-allocate hints (smmuv3.md 2.2, 2.4). */
export const WALK_CACHE = enumOf({ NC: 0, WB_RA: 1, WT_RA: 2, WB_NO_ALLOC: 3 });

/** Shareability in CR1, STE, CD and descriptors (smmuv3.md 1.5). */
export const SHAREABILITY = enumOf({ NON: 0, OUTER: 2, INNER: 3 });

/** STRTAB_BASE_CFG.FMT (smmuv3.md 1.7). */
export const STRTAB_FMT = enumOf({ LINEAR: 0, TWO_LEVEL: 1 });

/** STRTAB_BASE_CFG.SPLIT: log2 of the STEs in a leaf; other values act as 6 (smmuv3.md 1.7). */
export const STRTAB_SPLIT = enumOf({ LEAF_4K: 6, LEAF_16K: 8, LEAF_64K: 10 });

/** STE.Config; 0 to 3 all abort without an event (smmuv3.md 2.2). */
export const STE_CONFIG = enumOf({ ABORT: 0, BYPASS: 4, S1: 5, S2: 6, S1_S2: 7 });

/** STE.S1Fmt: the shape of the CD table; 3 acts as 0 (smmuv3.md 2.2). */
export const S1FMT = enumOf({ LINEAR: 0, TWO_LEVEL_4K: 1, TWO_LEVEL_64K: 2 });

/** STE.S1DSS: traffic without a SubstreamID; 3 acts as 0 (smmuv3.md 2.2). */
export const S1DSS = enumOf({ TERMINATE: 0, BYPASS: 1, SSID0: 2 });

/** STE.EATS: what ATS may do (smmuv3.md 2.2). */
export const EATS = enumOf({ ABORT: 0, FULL: 1, SPLIT: 2, DPT: 3 });

/** STE.STRW: the StreamWorld of stage 1; odd values are ILLEGAL (smmuv3.md 2.2). */
export const STRW = enumOf({ NS_EL1: 0, EL2: 2 });

/** STE.SHCFG (smmuv3.md 2.2). */
export const SHCFG = enumOf({ NON: 0, INCOMING: 1, OUTER: 2, INNER: 3 });

/** STE.PRIVCFG; 1 acts as 0 (smmuv3.md 2.2). */
export const PRIVCFG = enumOf({ INCOMING: 0, UNPRIVILEGED: 2, PRIVILEGED: 3 });

/** STE.INSTCFG, of reads only; 1 acts as 0 (smmuv3.md 2.2). */
export const INSTCFG = enumOf({ INCOMING: 0, DATA: 2, INSTRUCTION: 3 });

/** CD.TG0, STE.S2TG: granule of the lower half and of stage 2. Not the encoding of TG1 or of TLBI (smmuv3.md 2.4). */
export const TG0 = enumOf({ GRANULE_4K: 0, GRANULE_64K: 1, GRANULE_16K: 2 });

/** CD.TG1: granule of the upper half (smmuv3.md 2.4). */
export const TG1 = enumOf({ GRANULE_16K: 1, GRANULE_4K: 2, GRANULE_64K: 3 });

/** CD.ASET: 0, the ASID is shared with the CPUs and broadcast TLBI applies; 1, it is private (smmuv3.md 2.4). */
export const ASET = enumOf({ SHARED: 0, PRIVATE: 1 });
