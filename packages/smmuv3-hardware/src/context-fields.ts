/** Doubles, and integers, of one context. */
export const STRIDE = 16;

/** Where a context keeps its doubles. Pages and frames are address / 4096. Fields of the upper half follow those of the lower. */
export const CONTEXT = {
  /** Pages of the lower half that are in range; 0 where nothing is translated. */
  LOW: 0,
  /** Tag of the space's 4 KiB line of key 0; NaN where nothing is translated, so that no line ever matches. */
  BASE: 1,
  /** First frame beyond the output address size, of the two halves. A bypassed stream has the first alone. */
  OUTPUT0: 2,
  OUTPUT1: 3,
  /** Pages of the upper half that are in range. */
  HIGH: 4,
  /** Addresses of the first tables of the two halves. */
  TABLE0: 5,
  TABLE1: 6,
  /** First page beyond what may come in where stage 1 does not translate (3.3). */
  INPUT: 7,
} as const;

/** Where a context keeps its integers. */
export const NUMBER = {
  /** {@link KIND}. */
  KIND: 0,
  /** {@link FLAG} bits. */
  FLAGS: 1,
  /** What indexes of the space's lines are mixed with. */
  SALT: 2,
  /** The space of lines with nG = 1, and that of global lines. */
  SPACE: 3,
  GLOBAL_SPACE: 4,
  /** {@link shapeOf} the tables of the two halves; -1: no walks (EPD). */
  SHAPE0: 5,
  SHAPE1: 6,
  /** 1: tables of the lower half have 4 KiB pages and 48-bit addresses, which the short walk reads. */
  PLAIN: 7,
} as const;

/** What a context does with a request. */
export const KIND = {
  /** Stage 1 translates. */
  STAGE1: 0,
  /** The output address is the input address. */
  BYPASS: 1,
  /** The CD is illegal: every request gets C_BAD_CD until software says that it changed. */
  BAD_CD: 2,
  /** Stage 2 translates, and stage 1 does not. */
  STAGE2: 3,
} as const;

/** Bits of a context's FLAGS. */
export const FLAG = {
  AFFD: 1,
  WXN: 2,
  /** Tables of EL2 without E2H: one level of privilege. */
  ONE_PRIVILEGE: 4,
  PAN: 8,
  HAD0: 16,
  HAD1: 32,
  TBI0: 64,
  TBI1: 128,
  /** Those above that change the rights of a leaf. */
  RIGHTS: 2 + 4 + 8,
  /** CD.A: a terminated transaction aborts. */
  ABORT: 256,
  /** CD.R: faults are recorded. */
  RECORD: 512,
  /** CD.S: faults stall. */
  STALL: 1024,
  /** CD.HA: the Access flag is set by hardware. */
  ACCESS: 2048,
  /** CD.HD with CD.HA: so is the dirty state. */
  DIRTY: 4096,
  /** STE.PRIVCFG and INSTCFG: what every request counts as. */
  UNPRIVILEGED: 2 ** 13,
  PRIVILEGED: 2 ** 14,
  DATA: 2 ** 15,
  INSTRUCTION: 2 ** 16,
  /** The tables are those of stage 2. */
  SECOND_STAGE: 2 ** 17,
  OVERRIDES: 2 ** 13 + 2 ** 14 + 2 ** 15 + 2 ** 16,
} as const;

/** How the address in a descriptor is made (smmuv3.md 3.2). */
export const ADDRESS_FORMAT = {
  /** 48 bits. */
  PLAIN: 0,
  /** 52 bits with 64 KiB pages: [51:48] stand in [15:12]. */
  LARGE: 1,
  /** 52 bits with 4 or 16 KiB pages (DS): [51:50] stand in [9:8]. */
  DS: 2,
} as const;

/** The tables of one half as one integer: start level + 1, log2 of the first table's entries, log2 of the pages in a page, format. */
export const shapeOf = (level: number, entriesLog2: number, pageOrder: number, format: number): number =>
  (level + 1) | (entriesLog2 << 4) | (pageOrder << 9) | (format << 13);
export const startLevelOf = (shape: number): number => (shape & 15) - 1;
export const startEntriesLog2Of = (shape: number): number => (shape >> 4) & 31;
export const pageOrderOf = (shape: number): number => (shape >> 9) & 15;
export const formatOf = (shape: number): number => shape >> 13;
