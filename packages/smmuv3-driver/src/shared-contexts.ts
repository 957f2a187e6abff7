import type { Mm } from '@iommukit/core';
import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import { type Context, liveContext, quiescedContext, silence } from './context-descriptors.js';
import type { Domain, SharedContext } from './records.js';
import type { Smmu } from './smmu.js';

/**
 * What the descriptors of one mm have in common: an ASID, either the CPUs' own, which is pinned, so that their broadcast
 * TLB maintenance means the SMMU's translations too; or one of the SMMU's, invalidated by commands only (SMMU-15).
 */
export class SharedContexts {
  readonly smmu: Smmu;
  readonly slab: Slab<SharedContext>;
  readonly byMm: Map<Mm, SharedContext>;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.slab = smmu.kernel.slab<SharedContext>('smmuv3 shared context', {
      kind: 'shared',
      mm: null as unknown as Mm,
      asid: 0,
      holdsMm: false,
      users: 1,
    });
    this.byMm = smmu.kernel.checkpoints.keepMap(new Map());
  }

  // ── get ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The context of an mm with one more user. A new one takes its ASID, if need be from a context of the SMMU's own.
   * @throws IommuError ESRCH when the CPUs have no ASID left to pin, ENOSPC, EINVAL, ENOMEM
   */
  *get(mm: Mm): Coroutine<SharedContext> {
    const lock = yield* this.smmu.asids.lock.acquire();
    try {
      const present = this.byMm.get(mm);
      if (present === undefined) return yield* this.create(mm);
      present.users++;
      return present;
    } finally {
      lock.release();
    }
  }

  *create(mm: Mm): Coroutine<SharedContext> {
    const context = this.allocRecord(mm);
    try {
      this.grabMm(context);
      yield* this.takeAsid(context);
      this.byMm.set(mm, context);
      return context;
    } catch (error) {
      this.unwindGrab(context);
      this.unwindRecord(context);
      throw error;
    }
  }

  allocRecord(mm: Mm): SharedContext {
    return this.slab.alloc({ mm });
  }

  /** SVA-16: the ASID is the mm's, so the mm outlives the context. */
  grabMm(context: SharedContext): void {
    this.smmu.core.mms.grab(context.mm);
    context.holdsMm = true;
  }

  *takeAsid(context: SharedContext): Coroutine<void> {
    if (!this.smmu.sva.settings.sharedAsids) {
      context.asid = this.smmu.asids.alloc(context);
      return;
    }
    context.asid = yield* this.pinAsid(context.mm);
    try {
      yield* this.smmu.asids.claim(context.asid, context);
    } catch (error) {
      yield* this.unwindAsidPin(context);
      throw error;
    }
  }

  /** ASID-10: a pinned number never changes, so hardware can be programmed with it. @throws IommuError ESRCH (TLB-7) */
  *pinAsid(mm: Mm): Coroutine<number> {
    const asid = yield* this.smmu.core.asids.pin(mm);
    if (asid !== 0) return asid;
    throw new IommuError('ESRCH', `no ASID can be pinned for ${mm.space}: the CPUs need the rest`, {
      rule: 'TLB-7',
      remedy: 'unbind another process',
    });
  }

  unwindAsidPin(context: SharedContext): Coroutine<void> {
    return this.unpinAsid(context);
  }

  unwindGrab(context: SharedContext): void {
    this.dropMm(context);
  }

  unwindRecord(context: SharedContext): void {
    this.slab.free(context);
  }

  // ── put ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Drops a user. With the last one the ASID goes: its translations have been invalidated before (TLB-5, SMMU-11). */
  *put(context: SharedContext): Coroutine<void> {
    const lock = yield* this.smmu.asids.lock.acquire();
    try {
      if (--context.users > 0) return;
      this.byMm.delete(context.mm);
      this.freeAsid(context);
      if (this.smmu.sva.settings.sharedAsids) yield* this.unpinAsid(context);
      this.dropMm(context);
      this.slab.free(context);
    } finally {
      lock.release();
    }
  }

  freeAsid({ asid }: SharedContext): void {
    this.smmu.asids.free(asid);
  }

  unpinAsid({ mm }: SharedContext): Coroutine<void> {
    return this.smmu.core.asids.unpin(mm);
  }

  /** Last: this may have been the last reference of all. */
  dropMm(context: SharedContext): void {
    if (context.holdsMm) this.smmu.core.mms.drop(context.mm);
    context.holdsMm = false;
  }

  // ── descriptors ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The descriptor of a living mm in a domain. */
  live(context: SharedContext, domain: Domain): Uint32Array {
    return liveContext(this.describe(context, domain));
  }

  /**
   * The descriptor of a dead mm in a domain. With R, untranslated requests would have events: those without PASID, which a
   * device without a TLB sends, are quiet in the later form alone (SVA-10).
   */
  quiesced(context: SharedContext, domain: Domain, withoutPasid = false): Uint32Array {
    const words = quiescedContext(this.describe(context, domain));
    return this.clearsStallBits(withoutPasid) ? silence(words) : words;
  }

  /** SVA-10: not where stalls are forced: a descriptor without S is illegal there (SMMU-12). */
  clearsStallBits(withoutPasid = false): boolean {
    const { features, sva } = this.smmu;
    return (withoutPasid || !sva.settings.keepsStallBits) && features.stall !== 'forced';
  }

  describe({ asid, mm }: SharedContext, domain: Domain): Context {
    const { cpu, sva } = this.smmu;
    return {
      asid,
      shared: sva.settings.sharedAsids,
      pgd: mm.pgd,
      tables: cpu,
      stalls: domain.stalls,
      httu: this.hardwareUpdate(),
    };
  }

  /** PF-10, SMMU-18: what the tables are made for and the SMMU can; all descriptors of an ASID have it the same. */
  hardwareUpdate(): Context['httu'] {
    const { cpu, features, sva } = this.smmu;
    if (!sva.settings.hardwareUpdate || cpu.httu === 'none') return 'none';
    return cpu.httu === 'dirty' ? features.httu : features.httu === 'none' ? 'none' : 'access';
  }
}
