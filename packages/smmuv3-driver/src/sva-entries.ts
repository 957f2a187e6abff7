import { Bonds, type Mm, NO_PASID } from '@iommukit/core';
import { type Coroutine, Mutex, type Slab, type Step } from '@iommukit/kernel';
import type { Bond, Domain, Master, NotifierObject, SharedContext } from './records.js';
import { type SvaSettings, svaSettings } from './settings.js';
import type { Smmu } from './smmu.js';
import { smmuSva } from './trace-points.js';

/** A bond before anything is known of it. */
const BLANK: Bond = {
  device: null as unknown as Bond['device'],
  mm: null as unknown as Mm,
  master: null as unknown as Master,
  object: null as unknown as NotifierObject,
  pasid: NO_PASID,
  refs: 1,
  faults: null,
};

/** The descriptors of address spaces in their domains, and what is cached through them. Callers hold {@link lock}. */
export abstract class SvaEntries extends Bonds<Master, Bond> {
  readonly smmu: Smmu;
  readonly settings: SvaSettings;
  readonly objects: Slab<NotifierObject>;
  /** The SVA lock: bonds, notifier objects, and the descriptors at their PASIDs. Never held while faults are flushed. */
  readonly lock: Mutex;

  constructor(smmu: Smmu) {
    super(smmu, smmuSva, BLANK);
    this.smmu = smmu;
    this.settings = svaSettings(smmu.core.settings);
    this.lock = new Mutex(smmu.kernel, 'smmuv3 sva');
    this.objects = smmu.kernel.slab<NotifierObject>('smmuv3 notifier object', {
      domain: null as unknown as Domain,
      withoutPasid: false,
      context: null as unknown as SharedContext,
      asid: 0,
      cleared: false,
      users: 0,
      subscription: null,
    });
  }

  override lockBonds(): Step<Mutex> {
    return this.lock.acquire();
  }

  override isUntagged({ object }: Bond): boolean {
    return object.withoutPasid;
  }

  /** Makes room for the entry. */
  reserveEntry(object: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.reserve(object.domain, this.ssidOf(object));
  }

  /** Which descriptor is the address space's: that of its PASID, or 0 for requests without one (smmuv3.md 2.2, S1DSS). */
  ssidOf({ withoutPasid, context }: NotifierObject): number {
    return withoutPasid ? NO_PASID : context.mm.pasid;
  }

  /** From here on devices of the domain may reach the address space. */
  publishEntry(object: NotifierObject): Coroutine<void> {
    const { domain, context } = object;
    return this.smmu.contexts.write(domain, this.ssidOf(object), this.smmu.sharedContexts.live(context, domain));
  }

  /** No new walks; the entry stays valid, so that what the device still sends ends quietly (SVA-9). */
  quiesceEntry(object: NotifierObject): Coroutine<void> {
    const { contexts, sharedContexts } = this.smmu;
    const { domain, context, withoutPasid } = object;
    return contexts.write(domain, this.ssidOf(object), sharedContexts.quiesced(context, domain, withoutPasid));
  }

  /** SMMU-11: clear, then forget; nothing is left to forget after a release (SVA-13). */
  *removeEntry(object: NotifierObject): Coroutine<void> {
    yield* this.clearEntry(object);
    if (!object.cleared) yield* this.flushAll(object);
    this.markDead(object);
  }

  clearEntry(object: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.clear(object.domain, this.ssidOf(object));
  }

  *flushAll(object: NotifierObject): Coroutine<void> {
    yield* this.flushFreedAsid(object);
    yield* this.flushDevTlbs(object);
  }

  /** TLB-5: the ASID's next owner must not hit what this one cached. */
  flushFreedAsid(object: NotifierObject): Coroutine<void> {
    return this.flushIotlb(object);
  }

  flushIotlb({ asid }: NotifierObject): Coroutine<void> {
    return this.smmu.invalidation.tlbAsid(asid);
  }

  /** Last: a device would refill from what is cached above. What it has translated already stops only here (TLB-2). */
  flushDevTlbs({ domain, subscription, withoutPasid }: NotifierObject): Coroutine<void> {
    const { invalidation } = this.smmu;
    return withoutPasid ? invalidation.atcEverything(domain) : invalidation.atcPasid(domain, subscription!.mm.pasid);
  }

  /** SVA-23: a release that waits for the lock finds nothing to do; the PASID may be somebody else's by then. */
  markDead(object: NotifierObject): void {
    object.cleared = true;
  }

  /** Gives back the room for the entry. */
  releaseEntry(object: NotifierObject): Coroutine<void> {
    return this.smmu.contexts.release(object.domain, this.ssidOf(object));
  }
}
