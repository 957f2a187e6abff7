import { powerOfTwo } from '@iommukit/kernel';
import { EATS, S1FMT, STE, STE_CONFIG } from '@iommukit/smmuv3-spec';
import type { SmmuCapabilities } from './capabilities.js';
import { illegalStage2 } from './stage2.js';

const { v, config, s1stalld, s1cdMax, s1Fmt, eats, s1ContextPtr, s2s, strw } = STE.f;

/** The STE is ILLEGAL: C_BAD_STE (smmuv3.md 2.2). Both stages one after the other are not implemented. */
export function illegalSte(words: Uint32Array, at: number, has: SmmuCapabilities): boolean {
  if (v.get(words, at) === 0) return true;
  const mode = config.get(words, at);
  if (mode < STE_CONFIG.BYPASS) return false;
  if (mode === STE_CONFIG.BYPASS) return false;
  if (mode === STE_CONFIG.S1_S2) return true;
  if (mode === STE_CONFIG.S2) return illegalStage2(words, at, has) || illegalEats(words, at, has);
  if (!has.stage1) return true;
  if (s1stalld.get(words, at) === 1 && has.stall !== 'optional') return true;
  if (illegalCdTable(words, at, has)) return true;
  // Without EL2 STRW is ignored.
  if (has.hyp && strw.get(words, at) % 2 === 1) return true;
  return illegalEats(words, at, has) || s1ContextPtr.get(words, at) >= powerOfTwo(has.oas);
}

/** The STE is legal, and its stream is not aborted. */
export function allowsTraffic(words: Uint32Array, at: number, has: SmmuCapabilities): boolean {
  return !illegalSte(words, at, has) && config.get(words, at) >= STE_CONFIG.BYPASS;
}

function illegalCdTable(words: Uint32Array, at: number, has: SmmuCapabilities): boolean {
  const cdBits = s1cdMax.get(words, at);
  if (has.ssidBits === 0 || cdBits === 0) return false;
  if (cdBits > has.ssidBits) return true;
  const format = s1Fmt.get(words, at);
  return !has.cd2l && (format === S1FMT.TWO_LEVEL_4K || format === S1FMT.TWO_LEVEL_64K);
}

/** Split-stage ATS needs Config=7, which is not implemented; full ATS and stalls of stage 2 exclude each other. */
function illegalEats(words: Uint32Array, at: number, has: SmmuCapabilities): boolean {
  if (!has.ats) return false;
  const value = eats.get(words, at);
  const stalls = config.get(words, at) === STE_CONFIG.S2 && s2s.get(words, at) === 1;
  return value === EATS.SPLIT || (stalls && (value === EATS.FULL || value === EATS.DPT));
}

/** EATS as it takes effect: 0 without ATS, for a bypassed stream, and for DPT, which is not implemented. */
export function effectiveEats(words: Uint32Array, at: number, has: SmmuCapabilities): number {
  const mode = config.get(words, at);
  if (!has.ats || mode === STE_CONFIG.BYPASS) return EATS.ABORT;
  const value = eats.get(words, at);
  return value === EATS.FULL ? value : EATS.ABORT;
}
