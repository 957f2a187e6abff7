import type { Field, FieldInfo } from '@iommukit/bitfield';
import { CD, S1DSS, STE, STE_CONFIG } from '@iommukit/smmuv3-spec';
import type { EntryKind } from './entry-writer.js';

/** The bits of some fields, as the words of an entry. */
function maskOf(fields: readonly FieldInfo[]): Uint32Array {
  const mask = new Uint32Array(16);
  for (const field of fields) {
    const word = Math.floor(field.lo / 64) * 2;
    mask[word] |= field.maskLo;
    mask[word + 1] |= field.maskHi;
  }
  return mask;
}

function include(out: Uint32Array, mask: Uint32Array): void {
  for (let i = 0; i < mask.length; i++) out[i] |= mask[i]!;
}

const S = STE.f;
const STE_VALID = maskOf([S.v]);
const STE_ALWAYS = maskOf([S.v, S.config]);
const STE_SHCFG = maskOf([S.shcfg]);
const STE_MEV = maskOf([S.mev]);
const STE_STAGE1 = maskOf([
  ...[S.s1Fmt, S.s1ContextPtr, S.s1cdMax, S.s1dss, S.s1cir, S.s1cor, S.s1csh, S.s1stalld, S.strw, S.eats, S.mev],
  S.s2vmid,
]);
const STE_STAGE2 = maskOf([
  ...[S.s2fwb, S.eats, S.shcfg, S.mev, S.s2vmid, S.s2t0sz, S.s2sl0, S.s2ir0, S.s2or0, S.s2sh0, S.s2tg, S.s2ps],
  ...[S.s2aa64, S.s2endi, S.s2ptw, S.s2s, S.s2r, S.s2ttb],
]);
/** The lower bit of EATS: full ATS (SMMU-5). */
const EATS_FULL = lowestBit(S.eats);

function lowestBit(field: Field): Uint32Array {
  const mask = new Uint32Array(16);
  mask[field.word] = 2 ** field.shift;
  return mask;
}

/** Stream table entries (SMMU-2, SMMU-5). */
export const STREAM_ENTRY: EntryKind = {
  used(entry, out) {
    if (S.v.get(entry) === 0) return include(out, STE_VALID);
    include(out, STE_ALWAYS);
    const config = S.config.get(entry);
    if (config < STE_CONFIG.BYPASS) return;
    if (config === STE_CONFIG.BYPASS) include(out, STE_SHCFG);
    if ((config & 1) !== 0) {
      include(out, STE_STAGE1);
      if (S.s1dss.get(entry) === S1DSS.BYPASS) include(out, STE_SHCFG);
    }
    if ((config & 2) !== 0) include(out, STE_STAGE2);
  },
  safe(current, target, out) {
    include(out, STE_MEV);
    const split = S.eats.get(current) === 2 || S.eats.get(target) === 2;
    if (!split && S.s2s.get(current) === 0 && S.s2s.get(target) === 0) include(out, EATS_FULL);
  },
};

const C = CD.f;
const CD_VALID = maskOf([C.v]);
/** What EPD0 switches off. */
const CD_WALK0 = maskOf([C.t0sz, C.tg0, C.ir0, C.or0, C.sh0, C.ttb0]);

/** Context descriptors (SMMU-3). */
export const CONTEXT_DESCRIPTOR: EntryKind = {
  used(entry, out) {
    if (C.v.get(entry) === 0) return include(out, CD_VALID);
    out.fill(0xffffffff);
    if (C.epd0.get(entry) === 0) return;
    for (let i = 0; i < out.length; i++) out[i] &= ~CD_WALK0[i]!;
  },
  // No bit of a context descriptor is safe.
  safe() {},
};
