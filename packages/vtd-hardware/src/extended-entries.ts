import { powerOfTwo } from '@iommukit/kernel';
import {
  ECS_PASID_BYTES,
  ECS_TT,
  EcsContextEntry,
  EcsPasidEntry,
  EcsPasidStateEntry,
  FAULT,
  TTM,
} from '@iommukit/vtd-spec';
import { ADMIT, CONFIG_NEXT, type ConfigFetch, STAGE } from './config-fetch.js';
import { fillEcsContext, fillEcsPasid, offersWidth } from './decode.js';
import type { Vtd } from './device.js';
import { violates } from './reserved.js';
import { isPasid } from './scalable-entries.js';

/** log2 of the PASIDs of a table with PTS = 0. */
const PTS_BITS = 5;
const PIECE = 8;

/** The entries of the extended-context mode below the root: context, PASID entry, PASID-state entry (vtd.md 2.4 to 2.6). */
export class ExtendedEntries {
  readonly vtd: Vtd;
  readonly word = new Uint32Array(2);

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** TT and AW of an extended context entry are what the unit has (2.4). */
  values(context: Uint32Array): boolean {
    const has = this.vtd.capabilities;
    const { tt, aw, paside } = EcsContextEntry.f;
    const type = tt.get(context);
    const withPasid = type === ECS_TT.PASS_THROUGH_PASID || type === ECS_TT.PASS_THROUGH_PASID_DEVICE_TLB;
    if (type > ECS_TT.PASS_THROUGH && !withPasid) return false;
    if (withPasid && paside.get(context) === 0) return false;
    if (hasDeviceTlb(type) && !has.dt) return false;
    if (type >= ECS_TT.PASS_THROUGH && !has.pt) return false;
    return offersWidth(has, aw.get(context));
  }

  /**
   * The entry's own requests, or the PASID table (2.4). No source lists the fault reasons of this mode beyond the legacy ones (D-12):
   * what PASIDs and first stages do wrong has the numbers of scalable mode.
   */
  through(fetch: ConfigFetch): number {
    const { fetcher } = this.vtd;
    const { context, what, pasid } = fetch;
    const { tt, paside, pre, pts, pasidptr } = EcsContextEntry.f;
    const type = tt.get(context);
    const device = what === ADMIT.TRANSLATION || what === ADMIT.TRANSLATED;
    if (device && !hasDeviceTlb(type)) return fetcher.fail(fetch, FAULT.BLOCKED);
    if (what === ADMIT.TRANSLATED) return CONFIG_NEXT.READY;
    // With TT=2 PASIDE is ignored, and requests with PASID are blocked.
    if (pasid !== -1 && (paside.get(context) === 0 || type === ECS_TT.PASS_THROUGH)) {
      return fetcher.fail(fetch, FAULT.SM_PASIDE);
    }
    const limit = Math.min(powerOfTwo(pts.get(context) + PTS_BITS), powerOfTwo(this.vtd.capabilities.pss + 1));
    if (pasid !== -1 && !isPasid(pasid, limit)) return fetcher.fail(fetch, FAULT.SM_PASID_LIMIT);
    if (what === ADMIT.PAGE_REQUEST && pre.get(context) === 0) return fetcher.fail(fetch, FAULT.SM_PRE);
    if (what !== ADMIT.ACCESS) return CONFIG_NEXT.READY;
    if (pasid === -1) {
      return fetcher.fromContext(fetch, () => fillEcsContext(fetch, this.vtd, type >= ECS_TT.PASS_THROUGH));
    }
    fetch.effective = pasid;
    if (this.defers(fetch)) {
      const state = EcsContextEntry.f.pasidstptr.get(context) + pasid * ECS_PASID_BYTES;
      return fetcher.fetch(fetch, STAGE.ECS_STATE, state, ECS_PASID_BYTES);
    }
    return this.toPasid(fetch, pasidptr.get(context));
  }

  /** The context entry has a PASID-state table (2.6). */
  defers({ context }: ConfigFetch): boolean {
    return this.vtd.capabilities.dis && EcsContextEntry.f.dinve.get(context) === 1;
  }

  /** Every request has to look at its PASID-state entry: its regime is not to be remembered. */
  looksAgain(fetch: ConfigFetch): boolean {
    return fetch.mode === TTM.EXTENDED && fetch.pasid !== -1 && this.defers(fetch);
  }

  toPasid(fetch: ConfigFetch, table: number): number {
    const { fetcher } = this.vtd;
    const line = this.vtd.pasids.find(fetch.stream, fetch.effective);
    if (line >= 0) return fetcher.known(fetch, line);
    return fetcher.fetch(fetch, STAGE.ECS_PASID, table + fetch.effective * ECS_PASID_BYTES, ECS_PASID_BYTES);
  }

  /** A PASID-state entry: a deferred invalidation is done now, before the PASID is used (2.6). */
  throughState(fetch: ConfigFetch): number {
    if (EcsPasidStateEntry.f.dinv.get(fetch.words) === 0) {
      return this.toPasid(fetch, EcsContextEntry.f.pasidptr.get(fetch.context));
    }
    return CONFIG_NEXT.CLEAR;
  }

  /** Clears DINV in one atomic step, and invalidates; where software was faster, the entry is read again. */
  clear(fetch: ConfigFetch): number {
    const { fetcher } = this.vtd;
    const { vtd } = this;
    const { words, effective } = fetch;
    const { maskHi } = EcsPasidStateEntry.f.dinv;
    this.word[0] = words[0];
    this.word[1] = words[1];
    vtd.kernel.touch(Math.floor(fetch.address / PIECE), true);
    if (!vtd.memory.swap64(fetch.address, this.word, words[0], (words[1] & ~maskHi) >>> 0)) {
      return fetcher.fetch(fetch, STAGE.ECS_STATE, fetch.address, ECS_PASID_BYTES);
    }
    const did = EcsContextEntry.f.did.get(fetch.context);
    vtd.pasids.dropPasid(did, effective);
    vtd.iotlb.dropPasid(did, effective);
    vtd.invalidated();
    return this.toPasid(fetch, EcsContextEntry.f.pasidptr.get(fetch.context));
  }

  throughPasid(fetch: ConfigFetch): number {
    const { fetcher } = this.vtd;
    const { words } = fetch;
    const { p, flpm } = EcsPasidEntry.f;
    if (p.get(words) === 0) return fetcher.refuse(fetch, FAULT.PASID_NOT_PRESENT);
    if (violates(words, fetcher.masks.ecsPasid)) return fetcher.refuse(fetch, FAULT.PASID_RESERVED);
    if (flpm.get(words) === 1 && !this.vtd.capabilities.fl5lp) return fetcher.refuse(fetch, FAULT.PASID_INVALID);
    return fetcher.keepPasid(fetch, () => fillEcsPasid(fetch, this.vtd));
  }
}

/** TT of an extended context entry allows translation requests. */
const hasDeviceTlb = (tt: number): boolean => tt === ECS_TT.DEVICE_TLB || tt === ECS_TT.PASS_THROUGH_PASID_DEVICE_TLB;
