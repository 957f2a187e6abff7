import { type Granule, LAST_LEVEL, shiftOf } from '@iommukit/paging';
import { saltOf, tagOf } from '@iommukit/pci-ats';
import { OAS_BITS, STE } from '@iommukit/smmuv3-spec';
import { GLOBAL, WORLD } from './address-spaces.js';
import type { SmmuCapabilities } from './capabilities.js';
import { type ContextFields, GRANULE_OF_TG0, offered, overridesOf } from './context.js';
import { ADDRESS_FORMAT, CONTEXT, FLAG, KIND, NUMBER, shapeOf } from './context-fields.js';
import type { SmmuV3 } from './device.js';

const { s2vmid, s2t0sz, s2sl0, s2sl0Two, s2tg, s2ps, s2aa64, s2endi, s2affd, s2hd, s2ha, s2s, s2r, s2ds, s2ttb } =
  STE.f;

const PAGE_BITS = 12;
const NARROW = 48;
const WIDE = 52;
/** S2T0SZ of the smallest range. There are no small tables. */
const LARGEST_T0SZ = 39;
/** log2 of the tables that may lie side by side at the start level (2.2). */
const CONCATENATED = 4;
/** The first table lies at a multiple of its size, and at least of 64 bytes where addresses have 52 bits. */
const WIDE_ALIGN = 64;

/** Physical address bits that a start level needs (2.2): by granule and level; a level that is not here never begins a walk. */
const START_NEEDS: Readonly<Record<Granule['name'], Readonly<Record<number, number>>>> = {
  '4K': { [-1]: WIDE, 0: 44, 1: 0, 2: 0 },
  '16K': { 0: WIDE, 1: 42, 2: 0, 3: 0 },
  '64K': { 1: 44, 2: 0, 3: 0 },
};

/** What an STE says of stage 2: fields that are out of range are left as they are. */
interface Stage2 {
  readonly granule: Granule | undefined;
  readonly ds: boolean;
  readonly level: number;
  /** Bits of an intermediate physical address. */
  readonly bits: number;
  /** Bits of an output address: S2PS, at most OAS, and what a descriptor can hold. */
  readonly output: number;
  readonly table: number;
}

function read(words: Uint32Array, at: number, has: SmmuCapabilities): Stage2 {
  const granule = GRANULE_OF_TG0[s2tg.get(words, at)];
  const ds = has.ds && s2ds.get(words, at) === 1 && granule?.name !== '64K';
  const wide = ds || granule?.name === '64K';
  return {
    granule,
    ds,
    level: startOf(words, at, granule, ds),
    bits: 64 - s2t0sz.get(words, at),
    output: Math.min(OAS_BITS[s2ps.get(words, at)] ?? WIDE, has.oas, wide ? WIDE : NARROW),
    table: s2ttb.get(words, at),
  };
}

/** S2SL0, with its third bit where addresses have 52 bits. */
function startOf(words: Uint32Array, at: number, granule: Granule | undefined, ds: boolean): number {
  const code = s2sl0.get(words, at) + (ds ? 4 * s2sl0Two.get(words, at) : 0);
  if (granule?.name !== '4K') return LAST_LEVEL - code;
  // 3 is level 3, which small tables only begin at; 4 is level -1.
  return code === 3 ? LAST_LEVEL : code === 4 ? -1 : 2 - code;
}

/** What makes an STE ILLEGAL where stage 2 translates (2.2). */
export function illegalStage2(words: Uint32Array, at: number, has: SmmuCapabilities): boolean {
  if (!has.stage2) return true;
  if (s2aa64.get(words, at) === 0 || s2endi.get(words, at) === 1) return true;
  if (s2s.get(words, at) === 1 ? has.stall === 'none' : has.stall === 'forced') return true;
  if (s2ha.get(words, at) === 1 && has.httu === 'none') return true;
  if (s2hd.get(words, at) === 1 && has.httu !== 'dirty') return true;
  if (!has.vmid16 && s2vmid.get(words, at) > 0xff) return true;
  const stage = read(words, at, has);
  return illegalRange(stage, has) || stage.table >= 2 ** stage.output;
}

/** S2TG, S2T0SZ and S2SL0 fit each other and what there is. */
function illegalRange({ granule, ds, level, bits }: Stage2, has: SmmuCapabilities): boolean {
  if (granule === undefined || !offered(granule, has)) return true;
  const wide = ds || (granule.name === '64K' && has.oas === WIDE);
  if (bits > (wide ? WIDE : NARROW) || bits > has.oas || 64 - bits > LARGEST_T0SZ) return true;
  const needs = START_NEEDS[granule.name][level];
  if (needs === undefined || (level < 1 && needs === WIDE ? !ds : has.oas < needs)) return true;
  const index = bits - shiftOf(granule, level);
  return index < 1 || index > granule.bitsPerLevel + CONCATENATED;
}

/** Decodes what a legal STE says of stage 2. False: there is no number left for its address space. */
export function fillStage2(into: ContextFields, smmu: SmmuV3, stes: Uint32Array, ste: number): boolean {
  const { contexts, numbers } = into;
  const { spaces, capabilities } = smmu;
  const space = spaces.of(WORLD.STAGE2, s2vmid.get(stes, ste), GLOBAL, 0);
  if (space < 0) return false;
  const { granule, ds, level, bits, output, table } = read(stes, ste, capabilities);
  const tables = granule as Granule;
  const entriesLog2 = bits - shiftOf(tables, level);
  const large = tables.name === '64K' && capabilities.oas === WIDE;
  const format = ds ? ADDRESS_FORMAT.DS : large ? ADDRESS_FORMAT.LARGE : ADDRESS_FORMAT.PLAIN;
  const align = Math.max(2 ** entriesLog2 * 8, output === WIDE ? WIDE_ALIGN : 0);
  contexts.fill(0);
  numbers.fill(0);
  numbers[NUMBER.KIND] = KIND.STAGE2;
  numbers[NUMBER.FLAGS] = flagsOf(stes, ste) | overridesOf(stes, ste, capabilities);
  numbers[NUMBER.SPACE] = space;
  numbers[NUMBER.GLOBAL_SPACE] = space;
  numbers[NUMBER.SALT] = saltOf(space);
  numbers[NUMBER.SHAPE0] = shapeOf(level, entriesLog2, tables.shift - PAGE_BITS, format);
  numbers[NUMBER.SHAPE1] = -1;
  contexts[CONTEXT.BASE] = tagOf(spaces.bases[space], 0, 0);
  contexts[CONTEXT.LOW] = 2 ** (bits - PAGE_BITS);
  contexts[CONTEXT.INPUT] = 2 ** (capabilities.oas - PAGE_BITS);
  contexts[CONTEXT.OUTPUT0] = 2 ** (output - PAGE_BITS);
  contexts[CONTEXT.TABLE0] = table - (table % align);
  return true;
}

/** A fault at stage 2 that does not stall always aborts. */
function flagsOf(stes: Uint32Array, ste: number): number {
  return (
    FLAG.SECOND_STAGE +
    FLAG.ABORT +
    s2affd.get(stes, ste) * FLAG.AFFD +
    s2r.get(stes, ste) * FLAG.RECORD +
    s2s.get(stes, ste) * FLAG.STALL +
    s2ha.get(stes, ste) * FLAG.ACCESS +
    s2ha.get(stes, ste) * s2hd.get(stes, ste) * FLAG.DIRTY
  );
}
