import type { PageRange } from '@iommukit/pci-ats';
import {
  ATC_SIZE_ALL,
  AtcInv,
  CfgiAll,
  CfgiCd,
  CfgiSte,
  PRI_RESP,
  PrefetchConfig,
  PriResp,
  Resume,
  SHAREABILITY,
  StallTerm,
  SYNC_CS,
  Sync,
} from '@iommukit/smmuv3-spec';
import type { CommandBatch } from './command-batch.js';

// Commands are copied from these and filled in: a batch is built without making an object for each.
const CFGI_STE = CfgiSte.make();
const CFGI_CD = CfgiCd.make();
const CFGI_ALL = CfgiAll.make();
const ATC_INV = AtcInv.make();
const PRI_RESPONSE = PriResp.make();
const RESUME = Resume.make();
const STALL_TERM = StallTerm.make();
const PREFETCH_CONFIG = PrefetchConfig.make();
/** As an inner-shareable write-back access would be signalled; CONS is polled. */
const SYNC = Sync.make({ cs: SYNC_CS.SEV, msh: SHAREABILITY.INNER, msiattr: 0xf });

/** A SYNC that signals nobody, for a slot whose command is skipped. */
export const SYNC_NO_SIGNAL: Uint32Array = Sync.make();

const ste = CfgiSte.f;
const cd = CfgiCd.f;
const atc = AtcInv.f;
const pri = PriResp.f;
const resume = Resume.f;
const stallTerm = StallTerm.f;
const prefetch = PrefetchConfig.f;

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

/**
 * Have a device forget translations of one PASID, or with `pasid` -1 of all PASIDs and of none: untagged ones cannot be
 * hit alone. PASID 0 is no tag (TLB-10).
 */
export function addAtcInv(batch: CommandBatch, sid: number, pasid: number, span: PageRange): void {
  const at = batch.add(ATC_INV);
  atc.sid.set(batch.words, sid, at);
  if (pasid >= 0) {
    atc.ssv.set(batch.words, 1, at);
    atc.ssid.set(batch.words, pasid, at);
  }
  atc.size.set(batch.words, span.order, at);
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

/** Ends every stalled transaction of a stream with an abort, recorded or not (smmuv3.md 5.4). */
export function addStallTerm(batch: CommandBatch, sid: number): void {
  stallTerm.sid.set(batch.words, sid, batch.add(STALL_TERM));
}

/** Fetch the configuration of a stream, before it is needed: a hint (SMMU-9). */
export function addPrefetchConfig(batch: CommandBatch, sid: number): void {
  prefetch.sid.set(batch.words, sid, batch.add(PREFETCH_CONFIG));
}

/** The end of a batch that is waited for. */
export function addSync(batch: CommandBatch): void {
  batch.add(SYNC);
}
