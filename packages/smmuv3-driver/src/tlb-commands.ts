import { TLBI_TG, TlbiEl2All, TlbiEl2Asid, TlbiEl2Va, TlbiNhAsid, TlbiNhVa, TlbiNsnhAll } from '@iommukit/smmuv3-spec';
import type { CommandBatch } from './command-batch.js';
import type { TlbRange } from './tlb-ranges.js';

// Templates, as in commands.ts. The form follows the world of the streams, never the descriptor (SMMU-14).
const NH_ASID = TlbiNhAsid.make();
const NH_VA = TlbiNhVa.make();
const NSNH_ALL = TlbiNsnhAll.make();
const EL2_ASID = TlbiEl2Asid.make();
const EL2_VA = TlbiEl2Va.make();
const EL2_ALL = TlbiEl2All.make();

/** TG by log2 of the granule in bytes. */
const GRANULE: Readonly<Record<number, number>> = {
  12: TLBI_TG.GRANULE_4K,
  14: TLBI_TG.GRANULE_16K,
  16: TLBI_TG.GRANULE_64K,
};

/** What a TLBI by address is about. */
export interface TlbTarget {
  /** The streams' world is EL2-E2H, else Non-secure EL1. */
  readonly el2: boolean;
  readonly asid: number;
  /** log2 of the bytes of a translation granule. */
  readonly granuleShift: number;
  /** Last-level entries only; else the tables in front of them too: they may be freed. */
  readonly leaf: boolean;
  /** The level of these entries in a range command; 0: any. */
  readonly ttl: number;
}

/** Forget the translations of an ASID. */
export function addTlbiAsid(batch: CommandBatch, el2: boolean, asid: number): void {
  if (el2) TlbiEl2Asid.f.asid.set(batch.words, asid, batch.add(EL2_ASID));
  else TlbiNhAsid.f.asid.set(batch.words, asid, batch.add(NH_ASID));
}

/** Forget an ASID's translation of one page. */
export function addTlbiPage(batch: CommandBatch, target: TlbTarget, page: number): void {
  const at = addTlbiVa(batch, target);
  const { f } = target.el2 ? TlbiEl2Va : TlbiNhVa;
  f.addr.set(batch.words, page * 4096, at);
}

/** Forget an ASID's translations of a range of granules (SMMU-24). */
export function addTlbiRange(batch: CommandBatch, target: TlbTarget, range: TlbRange): void {
  const at = addTlbiVa(batch, target);
  const { f } = target.el2 ? TlbiEl2Va : TlbiNhVa;
  f.num.set(batch.words, range.num, at);
  f.scale.set(batch.words, range.scale, at);
  f.tg.set(batch.words, GRANULE[target.granuleShift]!, at);
  f.ttl.set(batch.words, target.ttl, at);
  f.addr.set(batch.words, range.page * 4096, at);
}

function addTlbiVa(batch: CommandBatch, { el2, asid, leaf }: TlbTarget): number {
  const at = batch.add(el2 ? EL2_VA : NH_VA);
  const { f } = el2 ? TlbiEl2Va : TlbiNhVa;
  f.asid.set(batch.words, asid, at);
  f.leaf.set(batch.words, leaf ? 1 : 0, at);
  return at;
}

/** Forget every translation of the Non-secure EL1 world. */
export function addTlbiAll(batch: CommandBatch): void {
  batch.add(NSNH_ALL);
}

/** Forget every translation of the EL2 world. */
export function addTlbiEl2All(batch: CommandBatch): void {
  batch.add(EL2_ALL);
}
