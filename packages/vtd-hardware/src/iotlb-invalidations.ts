import { powerOfTwo } from '@iommukit/kernel';
import {
  ECS_IOTLB_GRANULARITY,
  EcsIotlbInv,
  IOTLB_GRANULARITY,
  IotlbInv,
  IQEI,
  PASID_IOTLB_GRANULARITY,
  PasidIotlbInv,
} from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';

const PAGES = 2 ** 52;

/** A range of pages in AM form (vtd.md 3.12a): both ends included. */
export interface PageSpan {
  readonly first: number;
  readonly last: number;
}

/** 2^AM pages around `page`, whose low AM bits count as 0. More than there are: everything. */
export function spanOf(page: number, am: number): PageSpan {
  const pages = Math.min(powerOfTwo(am), PAGES);
  const first = page - (page % pages);
  return { first, last: first + pages - 1 };
}

/** The descriptors that drop cached translations (vtd.md 3.2, 3.6): each takes effect in the step that consumes it. */
export class IotlbInvalidations {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** Type 2. Pages need CAP.PSI and AM ≤ CAP.MAMV (VTD-22). */
  iotlb(words: Uint32Array): number {
    const { psi, mamv } = this.vtd.capabilities;
    const { g, did, am, ih, dr, dw } = IotlbInv.f;
    const granularity = g.get(words);
    if (granularity === IOTLB_GRANULARITY.NONE) return IQEI.RESERVED;
    const pages = granularity === IOTLB_GRANULARITY.PAGE;
    if (pages && (!psi || am.get(words) > mamv)) return IQEI.RESERVED;
    this.drop(granularity, did.get(words), this.spanAt(words), ih.get(words) === 1);
    this.drained(dr.get(words) === 1, dw.get(words) === 1);
    return IQEI.NONE;
  }

  /** What an IOTLB invalidation of a granularity drops. */
  drop(granularity: number, did: number, { first, last }: PageSpan, leaf: boolean): void {
    const { iotlb } = this.vtd;
    if (granularity === IOTLB_GRANULARITY.GLOBAL) iotlb.dropAll();
    else if (granularity === IOTLB_GRANULARITY.DOMAIN) iotlb.dropDomain(did);
    else iotlb.dropPages(did, first, last, leaf);
  }

  /** Accesses under way are waited for as DR and DW ask, walks always. A unit that cannot drain takes the bits for 0. */
  drained(reads: boolean, writes: boolean): void {
    const { inFlight, capabilities } = this.vtd;
    inFlight.invalidated(reads && capabilities.drd, writes && capabilities.dwd);
  }

  /** Type 6 of scalable mode. AM is not limited, and CAP.PSI not asked (VTD-22). It always drains. */
  pasidIotlb(words: Uint32Array): number {
    const { g, did, pasid, ih } = PasidIotlbInv.f;
    const { iotlb } = this.vtd;
    const granularity = g.get(words);
    if (granularity === PASID_IOTLB_GRANULARITY.PASID) iotlb.dropPasid(did.get(words), pasid.get(words));
    else if (granularity === PASID_IOTLB_GRANULARITY.PAGE) {
      const { first, last } = this.spanAt(words);
      iotlb.dropPasidPages(did.get(words), pasid.get(words), first, last, ih.get(words) === 1);
    } else return IQEI.RESERVED;
    this.vtd.invalidated();
    return IQEI.NONE;
  }

  /** Type 6 of the extended mode, where global pages are dropped only if the descriptor says so (VTD-47). */
  extended(words: Uint32Array): number {
    const { g, did, pasid, ih, gl } = EcsIotlbInv.f;
    const { iotlb } = this.vtd;
    const domain = did.get(words);
    switch (g.get(words)) {
      case ECS_IOTLB_GRANULARITY.ALL:
        iotlb.dropDomainPasids(domain, true);
        break;
      case ECS_IOTLB_GRANULARITY.ALL_NON_GLOBAL:
        iotlb.dropDomainPasids(domain, false);
        break;
      case ECS_IOTLB_GRANULARITY.PASID:
        iotlb.dropPasid(domain, pasid.get(words), false);
        break;
      default: {
        const { first, last } = this.spanAt(words);
        iotlb.dropPasidPages(domain, pasid.get(words), first, last, ih.get(words) === 1, gl.get(words) === 1);
      }
    }
    this.vtd.invalidated();
    return IQEI.NONE;
  }

  /** The pages that qw1 names, in all three descriptors. A page number has 52 bits: exact as a number, where its address is not. */
  spanAt(words: Uint32Array): PageSpan {
    const page = words[3] * 2 ** 20 + (words[2] >>> 12);
    return spanOf(page, IotlbInv.f.am.get(words));
  }
}
