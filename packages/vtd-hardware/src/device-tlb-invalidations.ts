import type { Coroutine } from '@iommukit/kernel';
import { DeviceTlbInv, IQEI, PasidDeviceTlbInv } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import { WAIT } from './invalidation-queue.js';

/** S of an invalidate request's body, and what it says with {@link PasidDeviceTlbInv}'s G (pcie-ats.md 2.4). */
const BODY_S = 0x800;
const BODY_GLOBAL = 1;
const ADDR = 0xfffff000;

/** The descriptors that invalidate device-TLBs (vtd.md 3.3, 3.8): messages that waits wait for. */
export class DeviceTlbInvalidations {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** Type 3: without PASID. */
  *deviceTlb(words: Uint32Array): Coroutine<number> {
    const { sid, mip, s, pfsidLow, pfsidHigh } = DeviceTlbInv.f;
    const pfsid = pfsidHigh.get(words) * 16 + pfsidLow.get(words);
    const lo = (words[2] & ADDR) | (s.get(words) === 1 ? BODY_S : 0);
    return yield* this.send(sid.get(words), pfsid, mip.get(words), -1, lo >>> 0, words[3]);
  }

  /** Type 8: of one PASID, or with G of all PASIDs of the function. SID and S do not stand where type 3 has them. */
  *pasidDeviceTlb(words: Uint32Array): Coroutine<number> {
    const { sid, mip, pasid, g, s, pfsidLow, pfsidHigh } = PasidDeviceTlbInv.f;
    const pfsid = pfsidHigh.get(words) * 16 + pfsidLow.get(words);
    const flags = (s.get(words) === 1 ? BODY_S : 0) | (g.get(words) === 1 ? BODY_GLOBAL : 0);
    const lo = (words[2] & ADDR) | flags;
    return yield* this.send(sid.get(words), pfsid, mip.get(words), pasid.get(words), lo >>> 0, words[3]);
  }

  /** Sends an invalidate request, or waits for an ITag. A device that is not there never completes it: FSTS.ITE (L51). */
  *send(sid: number, pfsid: number, mip: number, pasid: number, lo: number, hi: number): Coroutine<number> {
    const { invalidateRequests, links, capabilities } = this.vtd;
    if (pfsid !== 0 && !capabilities.dit) return IQEI.RESERVED;
    const itag = invalidateRequests.begin(sid, pfsid !== 0 ? pfsid : sid, mip);
    if (itag < 0) return WAIT;
    const link = links.get(sid);
    if (link !== undefined) yield* link.down({ kind: 'invalidate-request', itag, pasid, lo, hi });
    return IQEI.NONE;
  }
}
