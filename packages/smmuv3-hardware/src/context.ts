import { GRANULES, type Granule, shiftOf, startLevel } from '@iommukit/paging';
import { saltOf, tagOf } from '@iommukit/pci-ats';
import { ASET, CD, INSTCFG, OAS_BITS, PRIVCFG, STE, STE_CONFIG, STRW, TG0, TG1 } from '@iommukit/smmuv3-spec';
import { GLOBAL, WORLD } from './address-spaces.js';
import type { SmmuCapabilities } from './capabilities.js';
import { ADDRESS_FORMAT, CONTEXT, FLAG, KIND, NUMBER, shapeOf } from './context-fields.js';
import type { SmmuV3 } from './device.js';

/** TxSZ of the largest and the smallest range (smmuv3.md 2.4); the least is 12 with 52-bit addresses. There are no small tables. */
const T_SZ = { wide: 12, min: 16, max: 39 } as const;
const PAGE_BITS = 12;
/** Output addresses of descriptors have 48 bits, or 52. */
const NARROW = 48;
/** A first table lies at a multiple of its size, and at least of 64 bytes where addresses have 52 bits (2.4). */
const WIDE_ALIGN = 64;

/** The granule of TG0 and S2TG; none for the reserved encoding. */
export const GRANULE_OF_TG0: Readonly<Record<number, Granule>> = {
  [TG0.GRANULE_4K]: GRANULES['4K'],
  [TG0.GRANULE_16K]: GRANULES['16K'],
  [TG0.GRANULE_64K]: GRANULES['64K'],
};
const GRANULE_OF_TG1: Readonly<Record<number, Granule>> = {
  [TG1.GRANULE_4K]: GRANULES['4K'],
  [TG1.GRANULE_16K]: GRANULES['16K'],
  [TG1.GRANULE_64K]: GRANULES['64K'],
};

const { v, s, a, r, endi, aa64, ha, hd, asid, aset, ips, epd0, epd1, t0sz, t1sz, tg0, tg1, ttb0, ttb1 } = CD.f;

/** One half of a CD's address range, as its fields say. */
interface Half {
  /** Undefined for a reserved encoding. */
  readonly granule: Granule | undefined;
  readonly size: number;
  readonly table: number;
}

const lowerHalf = (cd: Uint32Array): Half => ({
  granule: GRANULE_OF_TG0[tg0.get(cd)],
  size: t0sz.get(cd),
  table: ttb0.get(cd),
});
const upperHalf = (cd: Uint32Array): Half => ({
  granule: GRANULE_OF_TG1[tg1.get(cd)],
  size: t1sz.get(cd),
  table: ttb1.get(cd),
});

/** The StreamWorld of stage 1 (2.2): STRW counts with Config = 5 where EL2 is implemented. `e2h` is CR2.E2H. */
export function worldOf(stes: Uint32Array, ste: number, has: SmmuCapabilities, e2h: boolean): number {
  if (!has.hyp || STE.f.config.get(stes, ste) !== STE_CONFIG.S1) return WORLD.EL1;
  if (STE.f.strw.get(stes, ste) !== STRW.EL2) return WORLD.EL1;
  return e2h ? WORLD.EL2_E2H : WORLD.EL2;
}

/** The CD is ILLEGAL: C_BAD_CD (smmuv3.md 2.4). */
export function illegalCd(
  cd: Uint32Array,
  stes: Uint32Array,
  ste: number,
  has: SmmuCapabilities,
  world: number,
): boolean {
  if (v.get(cd) === 0) return true;
  if (s.get(cd) === 1 && (has.stall === 'none' || STE.f.s1stalld.get(stes, ste) === 1)) return true;
  if (s.get(cd) === 0 && has.stall === 'forced') return true;
  if (a.get(cd) === 0 && has.terminateAborts) return true;
  if (endi.get(cd) === 1 || aa64.get(cd) === 0) return true;
  if (ha.get(cd) === 1 && has.httu === 'none') return true;
  if (hd.get(cd) === 1 && has.httu !== 'dirty') return true;
  if (!has.asid16 && asid.get(cd) > 0xff) return true;
  // EL2 without E2H has one range, whose walks EPD0 does not stop.
  if (world === WORLD.EL2) return illegalHalf(cd, lowerHalf(cd), has);
  const low = epd0.get(cd) === 0 && illegalHalf(cd, lowerHalf(cd), has);
  return low || (epd1.get(cd) === 0 && illegalHalf(cd, upperHalf(cd), has));
}

function illegalHalf(cd: Uint32Array, { granule, size, table }: Half, has: SmmuCapabilities): boolean {
  if (granule === undefined || !offered(granule, has)) return true;
  const wide = granule.name === '64K' ? has.vax === 52 : usesDs(cd, granule, has);
  return size < (wide ? T_SZ.wide : T_SZ.min) || size > T_SZ.max || table >= 2 ** outputBits(cd, granule, has);
}

export function offered({ name }: Granule, has: SmmuCapabilities): boolean {
  return name === '4K' ? has.granule4K : name === '16K' ? has.granule16K : has.granule64K;
}

/** CD.DS: 52-bit addresses in 4K and 16K descriptors; RES0 where it is not implemented. */
const usesDs = (cd: Uint32Array, { name }: Granule, has: SmmuCapabilities): boolean =>
  has.ds && name !== '64K' && CD.f.ds.get(cd) === 1;

/** Bits of an output address: min(IPS, OAS), and what a descriptor can hold. */
function outputBits(cd: Uint32Array, granule: Granule, has: SmmuCapabilities): number {
  const wide = granule.name === '64K' || usesDs(cd, granule, has);
  return Math.min(OAS_BITS[ips.get(cd)], has.oas, wide ? 52 : NARROW);
}

/** Where a decoded context is put: CONTEXT and NUMBER fields from 0 on. */
export interface ContextFields {
  readonly contexts: Float64Array;
  readonly numbers: Int32Array;
}

/** Nothing is translated: an illegal CD, or a bypassed stream. */
export function fillOther({ contexts, numbers }: ContextFields, smmu: SmmuV3, kind: number, overrides: number): void {
  contexts.fill(0);
  numbers.fill(0);
  contexts[CONTEXT.BASE] = Number.NaN;
  contexts[CONTEXT.INPUT] = 2 ** (smmu.capabilities.oas - PAGE_BITS);
  numbers[NUMBER.KIND] = kind;
  numbers[NUMBER.FLAGS] = overrides;
}

/** Decodes a legal CD. False: there is no number left for its address space. */
export function fillContext(
  into: ContextFields,
  smmu: SmmuV3,
  cd: Uint32Array,
  stes: Uint32Array,
  ste: number,
  world: number,
): boolean {
  const { contexts, numbers } = into;
  const { spaces, capabilities } = smmu;
  const vmid = STE.f.s2vmid.get(stes, ste);
  // EL2 without E2H has no ASIDs (3.6).
  const set = world === WORLD.EL2 ? ASET.SHARED : aset.get(cd);
  const space = spaces.of(world, vmid, world === WORLD.EL2 ? GLOBAL : asid.get(cd), set);
  const globalSpace = spaces.of(world, vmid, GLOBAL, set);
  if (space < 0 || globalSpace < 0) return false;
  contexts.fill(0);
  numbers.fill(0);
  numbers[NUMBER.KIND] = KIND.STAGE1;
  numbers[NUMBER.FLAGS] =
    flagsOf(cd) | overridesOf(stes, ste, capabilities) | (world === WORLD.EL2 ? FLAG.ONE_PRIVILEGE : 0);
  numbers[NUMBER.SPACE] = space;
  numbers[NUMBER.GLOBAL_SPACE] = globalSpace;
  numbers[NUMBER.SALT] = saltOf(space);
  contexts[CONTEXT.BASE] = tagOf(spaces.bases[space], 0, 0);
  const one = world === WORLD.EL2;
  contexts[CONTEXT.LOW] = fillHalf(into, smmu, cd, 0, lowerHalf(cd), !one && epd0.get(cd) === 1);
  contexts[CONTEXT.HIGH] = one ? 0 : fillHalf(into, smmu, cd, 1, upperHalf(cd), epd1.get(cd) === 1);
  numbers[NUMBER.PLAIN] = isPlain(cd, capabilities) && numbers[NUMBER.SHAPE0] >= 0 ? 1 : 0;
  return true;
}

const isPlain = (cd: Uint32Array, has: SmmuCapabilities): boolean =>
  tg0.get(cd) === TG0.GRANULE_4K && !usesDs(cd, GRANULES['4K'], has);

/**
 * Shape, first table and output limit of one half. With EPD nothing is walked for and the fields are ignored; what the TLB
 * holds still hits, in the whole range. Returns the pages in range.
 */
function fillHalf(
  { contexts, numbers }: ContextFields,
  smmu: SmmuV3,
  cd: Uint32Array,
  half: 0 | 1,
  { granule, size, table }: Half,
  disabled: boolean,
): number {
  if (disabled || granule === undefined) {
    numbers[NUMBER.SHAPE0 + half] = -1;
    return smmu.spaces.shape.half;
  }
  const has = smmu.capabilities;
  const ds = usesDs(cd, granule, has);
  const bits = 64 - size;
  const level = startLevel(granule, bits, ds ? -1 : 0);
  const entriesLog2 = bits - shiftOf(granule, level);
  const wide = granule.name === '64K' && has.oas === 52;
  const format = ds ? ADDRESS_FORMAT.DS : wide ? ADDRESS_FORMAT.LARGE : ADDRESS_FORMAT.PLAIN;
  const limit = outputBits(cd, granule, has);
  const align = Math.max(2 ** entriesLog2 * 8, limit === 52 ? WIDE_ALIGN : 0);
  numbers[NUMBER.SHAPE0 + half] = shapeOf(level, entriesLog2, granule.shift - PAGE_BITS, format);
  contexts[CONTEXT.TABLE0 + half] = table - (table % align);
  contexts[CONTEXT.OUTPUT0 + half] = 2 ** (limit - PAGE_BITS);
  return 2 ** (bits - PAGE_BITS);
}

function flagsOf(cd: Uint32Array): number {
  const { affd, wxn, pan, had0, had1, tbi0, tbi1 } = CD.f;
  return (
    affd.get(cd) * FLAG.AFFD +
    wxn.get(cd) * FLAG.WXN +
    pan.get(cd) * FLAG.PAN +
    had0.get(cd) * FLAG.HAD0 +
    had1.get(cd) * FLAG.HAD1 +
    tbi0.get(cd) * FLAG.TBI0 +
    tbi1.get(cd) * FLAG.TBI1 +
    a.get(cd) * FLAG.ABORT +
    r.get(cd) * FLAG.RECORD +
    s.get(cd) * FLAG.STALL +
    ha.get(cd) * FLAG.ACCESS +
    // HD without HA is off.
    ha.get(cd) * hd.get(cd) * FLAG.DIRTY
  );
}

/** STE.PRIVCFG and INSTCFG (2.2) as FLAG bits; RES0 where permissions cannot be overridden. */
export function overridesOf(stes: Uint32Array, ste: number, has: SmmuCapabilities): number {
  if (!has.permsOverride) return 0;
  const privilege = STE.f.privcfg.get(stes, ste);
  const instruction = STE.f.instcfg.get(stes, ste);
  return (
    (privilege === PRIVCFG.UNPRIVILEGED ? FLAG.UNPRIVILEGED : 0) |
    (privilege === PRIVCFG.PRIVILEGED ? FLAG.PRIVILEGED : 0) |
    (instruction === INSTCFG.DATA ? FLAG.DATA : 0) |
    (instruction === INSTCFG.INSTRUCTION ? FLAG.INSTRUCTION : 0)
  );
}
