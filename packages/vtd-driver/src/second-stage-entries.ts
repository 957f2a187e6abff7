import type { Refusal } from '@iommukit/core';
import { AW, CONTEXT_TT, LegacyContextEntry, PasidEntry, PGTT } from '@iommukit/vtd-spec';
import type { VtdFeatures } from './features.js';
import type { Mode } from './settings.js';

/** Tables that a second-stage walk reads, and the tag of what it finds there. */
export interface SecondStage {
  /** Physical address of the top-level table. */
  readonly pgd: number;
  /** AW: levels minus 2. */
  readonly aw: number;
  readonly did: number;
}

/** The PASID entry of a DMA domain, for requests without PASID; walks snoop the CPUs' caches where they can. */
export function secondStageEntry({ pgd, aw, did }: SecondStage, snooped: boolean): Uint32Array {
  return PasidEntry.make({ p: 1, aw, pgtt: PGTT.SECOND_STAGE, did, slptptr: pgd, pwsnp: snooped ? 1 : 0 });
}

/** The legacy context entry of a DMA domain: untranslated requests only. */
export function legacyContext({ pgd, aw, did }: SecondStage): Uint32Array {
  return LegacyContextEntry.make({ p: 1, tt: CONTEXT_TT.UNTRANSLATED, slptptr: pgd, aw, did });
}

/** Widths by their bit of CAP.SAGAW, from the narrowest on. */
const WIDTHS = [AW.BITS_39, AW.BITS_48, AW.BITS_57] as const;

/**
 * AW of the unit's DMA domains: the narrowest that has room for every guest address (MGAW), else the widest there is; null if
 * CAP.SAGAW has none.
 */
export function chooseWidth({ sagaw, guestBits }: VtdFeatures): 1 | 2 | 3 | null {
  const offered = WIDTHS.filter((aw) => (sagaw & (1 << aw)) !== 0);
  return offered.find((aw) => 30 + 9 * aw >= guestBits) ?? offered.at(-1) ?? null;
}

/** Why devices behind a unit cannot have DMA domains: nothing, or reasons. */
export function domainRefusals(features: VtdFeatures, mode: Mode): Refusal[] {
  const missing: string[] = [];
  if (chooseWidth(features) === null) missing.push('CAP.SAGAW names no width of second-stage tables');
  if (mode === 'scalable' && !features.slts) missing.push('ECAP.SLTS is 0: it has no second stage in scalable mode');
  return missing.map((reason) => ({ reason, rule: 'vtd.md 2.2' }));
}
