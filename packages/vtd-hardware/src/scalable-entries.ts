import { powerOfTwo } from '@iommukit/kernel';
import {
  ContextEntry,
  FAULT,
  FLPM,
  PASID_DIR_BYTES,
  PASID_ENTRY_BYTES,
  PASID_TABLE_ENTRIES,
  PasidDirEntry,
  PasidEntry,
  PGTT,
} from '@iommukit/vtd-spec';
import { ADMIT, CONFIG_NEXT, type ConfigFetch, STAGE } from './config-fetch.js';
import { fillPasid, offersWidth } from './decode.js';
import type { Vtd } from './device.js';
import { violates } from './reserved.js';

/** log2 of the PASIDs of a directory with PDTS = 0. */
const PDTS_BITS = 13;

/** The entries of scalable mode below the root: context, PASID directory, PASID entry (vtd.md 2.8 to 2.10). */
export class ScalableEntries {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** RID_PASID: 0 where the unit does not have it, and within the directory (2.8). */
  judgeRidPasid(context: Uint32Array): number {
    const ridPasid = ContextEntry.f.ridPasid.get(context);
    if (ridPasid !== 0 && !this.vtd.capabilities.rps) return FAULT.SM_RID_PASID;
    return ridPasid < this.directoryPasids(context) ? 0 : FAULT.SM_CONTEXT_INVALID;
  }

  /** PASIDs that the directory has entries for. */
  directoryPasids(context: Uint32Array): number {
    return powerOfTwo(ContextEntry.f.pdts.get(context) + PDTS_BITS);
  }

  /** What the context entry lets pass (5.2: SCT.5 to SCT.8), then the PASID entry. */
  through(fetch: ConfigFetch): number {
    const { fetcher } = this.vtd;
    const { context, what, pasid } = fetch;
    const { dte, paside, pre, ridPasid } = ContextEntry.f;
    const device = what === ADMIT.TRANSLATION || what === ADMIT.TRANSLATED;
    if (device && dte.get(context) === 0) return fetcher.fail(fetch, FAULT.SM_DTE);
    if (what === ADMIT.TRANSLATED) return CONFIG_NEXT.READY;
    if (pasid !== -1 && paside.get(context) === 0) return fetcher.fail(fetch, FAULT.SM_PASIDE);
    const limit = Math.min(this.directoryPasids(context), powerOfTwo(this.vtd.capabilities.pss + 1));
    if (pasid !== -1 && !isPasid(pasid, limit)) return fetcher.fail(fetch, FAULT.SM_PASID_LIMIT);
    if (what === ADMIT.PAGE_REQUEST && pre.get(context) === 0) return fetcher.fail(fetch, FAULT.SM_PRE);
    if (what !== ADMIT.ACCESS) return CONFIG_NEXT.READY;
    fetch.effective = pasid === -1 ? ridPasid.get(context) : pasid;
    const line = this.vtd.pasids.find(fetch.stream, fetch.effective);
    if (line >= 0) return fetcher.known(fetch, line);
    const index = Math.floor(fetch.effective / PASID_TABLE_ENTRIES);
    const at = ContextEntry.f.pasiddirptr.get(context) + index * PASID_DIR_BYTES;
    return fetcher.fetch(fetch, STAGE.DIRECTORY, at, PASID_DIR_BYTES);
  }

  throughDirectory(fetch: ConfigFetch): number {
    const { fetcher } = this.vtd;
    const { words } = fetch;
    const { p, fpd, smptblptr } = PasidDirEntry.f;
    if (fpd.get(words) === 1) fetch.fpd = true;
    if (p.get(words) === 0) return fetcher.refuse(fetch, FAULT.PASID_DIR_NOT_PRESENT);
    if (violates(words, fetcher.masks.directory)) return fetcher.refuse(fetch, FAULT.PASID_DIR_RESERVED);
    const at = smptblptr.get(words) + (fetch.effective % PASID_TABLE_ENTRIES) * PASID_ENTRY_BYTES;
    return fetcher.fetch(fetch, STAGE.PASID, at, PASID_ENTRY_BYTES);
  }

  throughPasid(fetch: ConfigFetch): number {
    const { fetcher } = this.vtd;
    const { words } = fetch;
    const { p, fpd } = PasidEntry.f;
    if (fpd.get(words) === 1) fetch.fpd = true;
    if (p.get(words) === 0) return fetcher.refuse(fetch, FAULT.PASID_NOT_PRESENT);
    if (violates(words, fetcher.masks.pasid)) return fetcher.refuse(fetch, FAULT.PASID_RESERVED);
    if (!this.pasidValues(words)) return fetcher.refuse(fetch, FAULT.PASID_INVALID);
    return fetcher.keepPasid(fetch, () => fillPasid(fetch, this.vtd));
  }

  /** PGTT, AW and FLPM are what the unit has (2.10). There is no nested translation. */
  pasidValues(words: Uint32Array): boolean {
    const has = this.vtd.capabilities;
    const { pgtt, aw, flpm } = PasidEntry.f;
    switch (pgtt.get(words)) {
      case PGTT.FIRST_STAGE:
        return has.flts && (flpm.get(words) === FLPM.LEVELS_4 || (flpm.get(words) === FLPM.LEVELS_5 && has.fl5lp));
      case PGTT.SECOND_STAGE:
        return has.slts && offersWidth(has, aw.get(words));
      case PGTT.PASS_THROUGH:
        return has.pt;
      default:
        return false;
    }
  }
}

/** A PASID below the limit: what devices send is not trusted. */
export const isPasid = (pasid: number, limit: number): boolean =>
  pasid >= 0 && pasid < limit && Math.floor(pasid) === pasid;
