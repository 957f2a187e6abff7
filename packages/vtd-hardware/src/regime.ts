/** Doubles, and integers, of one regime. */
export const STRIDE = 8;

/** Where a regime keeps its doubles. Pages and frames are address / 4096. */
export const REGIME = {
  /** Pages from 0 on that are in range; 0 where nothing is translated by tables. */
  LOW: 0,
  /** Tag of the space's 4 KiB line of key 0; NaN where no line may match. */
  BASE: 1,
  /** First frame beyond the host address width. */
  OUTPUT: 2,
  /** Address of the first table. */
  TABLE: 3,
} as const;

/** Where a regime keeps its integers. */
export const NUMBER = {
  /** {@link KIND}. */
  KIND: 0,
  /** {@link FLAG} bits. */
  FLAGS: 1,
  /** What indexes of the space's lines are mixed with. */
  SALT: 2,
  /** Number of its space. */
  SPACE: 3,
  /** Levels of its tables: 3, 4 or 5. */
  LEVELS: 4,
  /** The fault reason of a {@link KIND.REFUSED} one. */
  REASON: 5,
  /** Its domain; 0 of what is not present (VTD-5). */
  DID: 6,
} as const;

/** What a regime does with a request. */
export const KIND = {
  /** First-stage tables translate. */
  FIRST: 0,
  /** Second-stage tables translate. */
  SECOND: 1,
  /** The output address is the input address. */
  PASS_THROUGH: 2,
  /** The entry is not present, or wrong: kept in caching mode only. */
  REFUSED: 3,
} as const;

/** Bits of a regime's FLAGS. */
export const FLAG = {
  /** Faults of the second stage and of addresses have legacy numbers (vtd.md 5.1). */
  LEGACY: 1,
  /** Privileged requests are allowed: SRE, or nothing asks for it. */
  SUPERVISOR: 2,
  /** Execute requests are allowed: ERE, or nothing asks for it. */
  EXECUTE: 4,
  /** WPE: write protection is about privileged requests too. */
  WRITE_PROTECT: 8,
  /** EAFE: the extended accessed flag is set. */
  EXTENDED_ACCESSED: 16,
  /** PWSNP, or a mode without it: flags in tables may be updated. */
  SNOOPED: 32,
  /** SLADE: the second stage has Accessed and Dirty flags. */
  SECOND_FLAGS: 64,
  /** Global pages stay when a PASID is invalidated without them (extended-context mode, PGE). */
  GLOBALS: 128,
  /** FPD of an entry on the way: faults are not recorded, where the reason allows that (vtd.md 5.2). */
  FPD: 256,
} as const;
