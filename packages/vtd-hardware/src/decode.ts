import { SECOND_STAGE } from '@iommukit/paging';
import { saltOf, tagOf } from '@iommukit/pci-ats';
import {
  CONTEXT_TT,
  EcsContextEntry,
  EcsPasidEntry,
  FLPM,
  LegacyContextEntry,
  PasidEntry,
  PGTT,
} from '@iommukit/vtd-spec';
import { STAGE_KIND } from './address-spaces.js';
import type { VtdCapabilities } from './capabilities.js';
import type { ConfigFetch } from './config-fetch.js';
import type { Vtd } from './device.js';
import { FLAG, KIND, NUMBER, REGIME } from './regime.js';

/** AW of the widest second stage: its spaces are the wide ones. */
const WIDE_AW = 3;
const PAGE_BITS = 12;

/** What an entry means. */
interface Meaning {
  readonly kind: number;
  readonly did: number;
  readonly flags: number;
  /** Address of the first table. */
  readonly table: number;
  readonly levels: number;
  /** First stage: its PASID. */
  readonly pasid: number;
  /** log2 of the pages from 0 on that are in range. */
  readonly lowBits: number;
}

/** The second stage of this width exists. */
export const offersWidth = (has: VtdCapabilities, aw: number): boolean =>
  aw >= 1 && aw <= WIDE_AW && (has.sagaw & (1 << aw)) !== 0;

const firstStage = (levels: number): Pick<Meaning, 'kind' | 'levels' | 'lowBits'> => ({
  kind: KIND.FIRST,
  levels,
  lowBits: 9 * levels - 1,
});

function secondStage(has: VtdCapabilities, aw: number): Pick<Meaning, 'kind' | 'levels' | 'lowBits'> {
  const bits = Math.min(has.mgaw + 1, SECOND_STAGE.inputBits[aw]);
  return { kind: KIND.SECOND, levels: SECOND_STAGE.levels[aw], lowBits: bits - PAGE_BITS };
}

const PASS_THROUGH = { kind: KIND.PASS_THROUGH, levels: 0, lowBits: 0 } as const;
/** Flags of what knows neither supervisor nor execute requests, and needs no snooping. */
const PLAIN = FLAG.SUPERVISOR | FLAG.EXECUTE | FLAG.SNOOPED;

/** Decodes a valid legacy context entry. False: there is no number left for its address space. */
export function fillLegacy(fetch: ConfigFetch, vtd: Vtd): boolean {
  const { tt, slptptr, aw, did } = LegacyContextEntry.f;
  const words = fetch.context;
  const stage = tt.get(words) === CONTEXT_TT.PASS_THROUGH ? PASS_THROUGH : secondStage(vtd.capabilities, aw.get(words));
  const common = { did: did.get(words), table: slptptr.get(words), flags: PLAIN | FLAG.LEGACY, pasid: -1 };
  return fill(fetch, vtd, { ...common, ...stage });
}

/** Decodes a valid PASID entry, in `fetch.words`. */
export function fillPasid(fetch: ConfigFetch, vtd: Vtd): boolean {
  const { words } = fetch;
  const has = vtd.capabilities;
  const { pgtt, aw, did, slptptr, flptptr, flpm, sre, ere, wpe, eafe, pwsnp, slade } = PasidEntry.f;
  const type = pgtt.get(words);
  const common = { did: did.get(words), pasid: fetch.effective };
  if (type === PGTT.PASS_THROUGH) return fill(fetch, vtd, { ...common, ...PASS_THROUGH, table: 0, flags: PLAIN });
  const snooped = pwsnp.get(words) * FLAG.SNOOPED;
  if (type === PGTT.SECOND_STAGE) {
    const flags = FLAG.SUPERVISOR | FLAG.EXECUTE | snooped | (slade.get(words) * FLAG.SECOND_FLAGS);
    return fill(fetch, vtd, { ...common, ...secondStage(has, aw.get(words)), table: slptptr.get(words), flags });
  }
  const flags =
    snooped |
    (sre.get(words) * FLAG.SUPERVISOR) |
    ((has.ers ? ere.get(words) : 1) * FLAG.EXECUTE) |
    (wpe.get(words) * FLAG.WRITE_PROTECT) |
    (eafe.get(words) * FLAG.EXTENDED_ACCESSED);
  const levels = flpm.get(words) === FLPM.LEVELS_5 ? 5 : 4;
  return fill(fetch, vtd, { ...common, ...firstStage(levels), table: flptptr.get(words), flags });
}

/** Decodes what a valid extended context entry says about requests without PASID. `pass`: it passes them through. */
export function fillEcsContext(fetch: ConfigFetch, vtd: Vtd, pass: boolean): boolean {
  const words = fetch.context;
  const { aw, did, slptptr } = EcsContextEntry.f;
  const common = { did: did.get(words), table: slptptr.get(words), flags: PLAIN | FLAG.LEGACY, pasid: -1 };
  return fill(fetch, vtd, { ...common, ...(pass ? PASS_THROUGH : secondStage(vtd.capabilities, aw.get(words))) });
}

/** Decodes a valid PASID entry of the extended-context mode, in `fetch.words`. */
export function fillEcsPasid(fetch: ConfigFetch, vtd: Vtd): boolean {
  const { words, context } = fetch;
  const { did, wpe, eafe, ere, pge } = EcsContextEntry.f;
  const { flptptr, flpm, sre } = EcsPasidEntry.f;
  const flags =
    FLAG.SNOOPED |
    (sre.get(words) * FLAG.SUPERVISOR) |
    ((vtd.capabilities.ers ? ere.get(context) : 1) * FLAG.EXECUTE) |
    (wpe.get(context) * FLAG.WRITE_PROTECT) |
    (eafe.get(context) * FLAG.EXTENDED_ACCESSED) |
    (pge.get(context) * FLAG.GLOBALS);
  const stage = firstStage(flpm.get(words) === 1 ? 5 : 4);
  return fill(fetch, vtd, {
    ...stage,
    did: did.get(context),
    pasid: fetch.effective,
    table: flptptr.get(words),
    flags,
  });
}

/** A regime that refuses: what is not present, or wrong, in caching mode. */
export function fillRefused({ doubles, numbers, fpd }: ConfigFetch, reason: number): void {
  doubles.fill(0);
  numbers.fill(0);
  doubles[REGIME.BASE] = Number.NaN;
  numbers[NUMBER.KIND] = KIND.REFUSED;
  numbers[NUMBER.REASON] = reason;
  numbers[NUMBER.FLAGS] = fpd ? FLAG.FPD : 0;
}

function fill(fetch: ConfigFetch, vtd: Vtd, meaning: Meaning): boolean {
  const { doubles, numbers } = fetch;
  const { kind, did, levels } = meaning;
  doubles.fill(0);
  numbers.fill(0);
  doubles[REGIME.BASE] = Number.NaN;
  doubles[REGIME.OUTPUT] = 2 ** (vtd.capabilities.haw - PAGE_BITS);
  doubles[REGIME.TABLE] = meaning.table;
  numbers[NUMBER.KIND] = kind;
  numbers[NUMBER.FLAGS] = meaning.flags | (fetch.fpd ? FLAG.FPD : 0);
  numbers[NUMBER.LEVELS] = levels;
  numbers[NUMBER.DID] = did;
  if (kind === KIND.PASS_THROUGH) return true;
  const wide = levels === 5;
  const space =
    kind === KIND.FIRST
      ? vtd.spaces.of(STAGE_KIND.FIRST, did, meaning.pasid, wide)
      : vtd.spaces.of(STAGE_KIND.SECOND, did, -1, wide);
  if (space < 0) return false;
  doubles[REGIME.LOW] = 2 ** meaning.lowBits;
  doubles[REGIME.BASE] = tagOf(vtd.spaces.bases[space], 0, 0);
  numbers[NUMBER.SPACE] = space;
  numbers[NUMBER.SALT] = saltOf(space);
  return true;
}
