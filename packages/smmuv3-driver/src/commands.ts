import {
  ATC_SIZE_ALL,
  AtcInv,
  CfgiAll,
  CfgiCd,
  CfgiSte,
  PRI_RESP,
  PriResp,
  Resume,
  SHAREABILITY,
  SYNC_CS,
  Sync,
  TLBI_TG,
  TlbiEl2All,
  TlbiNhAsid,
  TlbiNhVa,
  TlbiNsnhAll,
} from '@iommukit/smmuv3-spec';
import type { AtcSpan } from './atc-range.js';
import type { CommandBatch } from './command-batch.js';
import type { TlbRange } from './tlb-ranges.js';

// Commands are copied from these and filled in: a batch is built without making an object for each.
const CFGI_STE = CfgiSte.make();
const CFGI_CD = CfgiCd.make();
const CFGI_ALL = CfgiAll.make();
const NH_ASID = TlbiNhAsid.make();
const NH_VA = TlbiNhVa.make();
const NSNH_ALL = TlbiNsnhAll.make();
const EL2_ALL = TlbiEl2All.make();
const ATC_INV = AtcInv.make();
const PRI_RESPONSE = PriResp.make();
const RESUME = Resume.make();
/** As an inner-shareable write-back access would be signalled; CONS is polled. */
const SYNC = Sync.make({ cs: SYNC_CS.SEV, msh: SHAREABILITY.INNER, msiattr: 0xf });

/** A SYNC that signals nobody, for a slot whose command is skipped. */
export const SYNC_NO_SIGNAL: Uint32Array = Sync.make();

const ste = CfgiSte.f;
const cd = CfgiCd.f;
const nhAsid = TlbiNhAsid.f;
const nhVa = TlbiNhVa.f;
const atc = AtcInv.f;
const pri = PriResp.f;
const resume = Resume.f;

/** Forget the STE of a stream, and what was reached through it; with `leaf` false also the level-1 descriptor. */
export function addCfgiSte(batch: CommandBatch, sid: number, leaf: boolean): void {
  const at = batch.add(CFGI_STE);
  ste.sid.set(batch.words, sid, at);
  ste.leaf.set(batch.words, leaf ? 1 : 0, at);
}

/** Forget a context descriptor; with `leaf` false also the level-1 descriptor in front of it. */
export function addCfgiCd(batch: CommandBatch, sid: number, ssid: number, leaf: boolean): void {
  const at = batch.add(CFGI_CD);
  cd.sid.set(batch.words, sid, at);
  cd.ssid.set(batch.words, ssid, at);
  cd.leaf.set(batch.words, leaf ? 1 : 0, at);
}

/** Forget every STE and context descriptor. */
export function addCfgiAll(batch: CommandBatch): void {
  batch.add(CFGI_ALL);
}

/** Forget the translations of an ASID. */
export function addTlbiAsid(batch: CommandBatch, asid: number): void {
  nhAsid.asid.set(batch.words, asid, batch.add(NH_ASID));
}

/** Forget an ASID's translation of one page, and the tables in front of it (Leaf=0: they may be freed). */
export function addTlbiPage(batch: CommandBatch, asid: number, page: number): void {
  const at = batch.add(NH_VA);
  nhVa.asid.set(batch.words, asid, at);
  nhVa.addr.set(batch.words, page * 4096, at);
}

/** Forget an ASID's translations of a range of 4 KiB pages, and the tables in front of them (SMMU-24). */
export function addTlbiRange(batch: CommandBatch, asid: number, range: TlbRange): void {
  const at = batch.add(NH_VA);
  nhVa.asid.set(batch.words, asid, at);
  nhVa.num.set(batch.words, range.num, at);
  nhVa.scale.set(batch.words, range.scale, at);
  nhVa.tg.set(batch.words, TLBI_TG.GRANULE_4K, at);
  nhVa.addr.set(batch.words, range.page * 4096, at);
}

/** Forget every translation of the Non-secure EL1 world. */
export function addTlbiAll(batch: CommandBatch): void {
  batch.add(NSNH_ALL);
}

/** Forget every translation of the EL2 world. */
export function addTlbiEl2All(batch: CommandBatch): void {
  batch.add(EL2_ALL);
}

/** Have a device forget translations of one PASID. Never PASID 0: it would not be a tag (TLB-10). */
export function addAtcInv(batch: CommandBatch, sid: number, pasid: number, span: AtcSpan): void {
  const at = batch.add(ATC_INV);
  atc.sid.set(batch.words, sid, at);
  atc.ssv.set(batch.words, 1, at);
  atc.ssid.set(batch.words, pasid, at);
  atc.size.set(batch.words, span.size, at);
  atc.addr.set(batch.words, span.page * 4096, at);
}

/** Have a device forget every translation, of all PASIDs and of none (SMMU-23). */
export function addAtcInvAll(batch: CommandBatch, sid: number): void {
  const at = batch.add(ATC_INV);
  atc.sid.set(batch.words, sid, at);
  atc.size.set(batch.words, ATC_SIZE_ALL, at);
}

/** `Resp` of a group's answer by {@link ResponseCode}: SUCCESS, INVALID, FAILURE. */
const RESP = [PRI_RESP.SUCCESS, PRI_RESP.INVALID, PRI_RESP.FAILURE];

/** Answers a page-request group; `pasid` -1 sends none. */
export function addPriResponse(batch: CommandBatch, sid: number, pasid: number, group: number, code: number): void {
  const at = batch.add(PRI_RESPONSE);
  pri.sid.set(batch.words, sid, at);
  if (pasid >= 0) {
    pri.ssv.set(batch.words, 1, at);
    pri.ssid.set(batch.words, pasid, at);
  }
  pri.prgIndex.set(batch.words, group, at);
  pri.resp.set(batch.words, RESP[code]!, at);
}

/** Lets a stalled transaction try again, or aborts it (SMMU-31). */
export function addResume(batch: CommandBatch, sid: number, stag: number, retry: boolean): void {
  const at = batch.add(RESUME);
  resume.sid.set(batch.words, sid, at);
  resume.stag.set(batch.words, stag, at);
  (retry ? resume.ac : resume.ab).set(batch.words, 1, at);
}

/** The end of a batch that is waited for. */
export function addSync(batch: CommandBatch): void {
  batch.add(SYNC);
}
