import type { Coroutine, Step } from '@iommukit/kernel';
import { EcsPageGroupResponse, IQEI, PageGroupResponse } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';

/** The descriptors that answer page requests (vtd.md 3.9 to 3.11): messages that nobody waits for. */
export class PageResponses {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /**
   * Type 9 of scalable mode. Private data is for what a root complex has inside: with it, an answer to a request that is not the
   * last of its group is taken, and no message of PCI Express (D-3).
   */
  *group(words: Uint32Array): Coroutine<number> {
    const { pp, pdp, rc, rid, pasid, lpig, prgi } = PageGroupResponse.f;
    const isPrivate = pdp.get(words) === 1;
    if (isPrivate && !this.vtd.capabilities.privateData) return IQEI.RESERVED;
    if (!isPrivate && (words[4] | words[5] | words[6] | words[7]) !== 0) return IQEI.RESERVED;
    if (isPrivate && lpig.get(words) === 0) return IQEI.NONE;
    yield* this.respond(rid.get(words), pp.get(words) === 1 ? pasid.get(words) : -1, prgi.get(words), rc.get(words));
    return IQEI.NONE;
  }

  /** Type 9 of the extended mode. */
  *extendedGroup(words: Uint32Array): Coroutine<number> {
    const { pp, rid, pasid, rc, prgi } = EcsPageGroupResponse.f;
    yield* this.respond(rid.get(words), pp.get(words) === 1 ? pasid.get(words) : -1, prgi.get(words), rc.get(words));
    return IQEI.NONE;
  }

  /** Type 0xa: for a request that is not the last of its group, which is nothing that PCI Express has a message for. */
  stream(_words: Uint32Array): number {
    return IQEI.NONE;
  }

  /** Sends a group's answer, whose code is passed on as it stands: what is neither 0 nor 1 is a failure to devices (D-5). */
  respond(rid: number, pasid: number, prgi: number, code: number): Step<void> {
    const link = this.vtd.links.get(rid);
    return link?.down({ kind: 'prg-response', pasid, prgi, code }) ?? this.vtd.kernel.done(undefined);
  }
}
