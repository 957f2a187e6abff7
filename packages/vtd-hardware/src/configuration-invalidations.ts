import {
  CONTEXT_GRANULARITY,
  ContextCacheInv,
  FUNCTION_MASK,
  IQEI,
  PASID_CACHE_GRANULARITY,
  PasidCacheInv,
  TTM,
} from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';

/** Function bits of a requester id that FM leaves out of the comparison (vtd.md 1.6). */
const IGNORED: Readonly<Record<number, number>> = {
  [FUNCTION_MASK.NONE]: 0,
  [FUNCTION_MASK.BIT2]: 4,
  [FUNCTION_MASK.BITS2_1]: 6,
  [FUNCTION_MASK.BITS2_0]: 7,
};

/** The descriptors that drop cached context and PASID entries (vtd.md 3.1, 3.7): each takes effect in the step that consumes it. */
export class ConfigurationInvalidations {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** Type 1. */
  contextCache(words: Uint32Array): number {
    const { g, did, sid, fm } = ContextCacheInv.f;
    const granularity = g.get(words);
    if (granularity === CONTEXT_GRANULARITY.NONE) return IQEI.RESERVED;
    this.dropContexts(granularity, did.get(words), sid.get(words), fm.get(words));
    return IQEI.NONE;
  }

  /** What a context-cache invalidation of a granularity drops. Context entries of scalable mode have no domain. */
  dropContexts(granularity: number, did: number, sid: number, fm: number): void {
    const { contexts, registers } = this.vtd;
    const scalable = registers.ttm === TTM.SCALABLE || registers.ttm === TTM.ABORT;
    if (granularity === CONTEXT_GRANULARITY.DEVICE) {
      contexts.dropDevice(sid, IGNORED[fm], scalable ? -1 : did);
    } else if (granularity === CONTEXT_GRANULARITY.DOMAIN && !scalable) contexts.dropDomain(did);
    else contexts.dropAll();
    this.vtd.invalidated();
  }

  /** Type 7: also of the extended mode, which has no global granularity. */
  pasidCache(words: Uint32Array): number {
    const { g, did, pasid } = PasidCacheInv.f;
    const { pasids, registers } = this.vtd;
    switch (g.get(words)) {
      case PASID_CACHE_GRANULARITY.DOMAIN:
        pasids.dropDomain(did.get(words));
        break;
      case PASID_CACHE_GRANULARITY.PASID:
        pasids.dropPasid(did.get(words), pasid.get(words));
        break;
      case PASID_CACHE_GRANULARITY.GLOBAL:
        if (registers.ttm === TTM.EXTENDED) return IQEI.RESERVED;
        pasids.dropAll();
        break;
      default:
        return IQEI.RESERVED;
    }
    this.vtd.invalidated();
    return IQEI.NONE;
  }
}
