import type { PageSpan, TableRoot } from '@iommukit/core';
import type { Coroutine, Slab } from '@iommukit/kernel';
import { type Context, liveContext } from './context-descriptors.js';
import type { Domain, PrivateContext } from './records.js';
import type { Smmu } from './smmu.js';
import { smmuAsidSeize } from './trace-points.js';

/** The descriptor of requests without PASID. */
const SSID0 = 0;

/** Contexts of the SMMU's own: the address spaces of DMA domains, each at descriptor 0 of its table (SMMU-9, SMMU-15). */
export class PrivateContexts {
  readonly smmu: Smmu;
  readonly slab: Slab<PrivateContext>;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.slab = smmu.kernel.slab<PrivateContext>('smmuv3 private context', {
      kind: 'private',
      domain: null as unknown as Domain,
      tables: null as unknown as TableRoot,
      asid: 0,
      leaving: 0,
    });
  }

  /** Gives a domain that no device is attached to an address space. @throws IommuError ENOSPC, ENOMEM */
  *create(domain: Domain, tables: TableRoot): Coroutine<PrivateContext> {
    const { asids } = this.smmu;
    const context = this.slab.alloc({ domain, tables });
    const lock = yield* asids.lock.acquire();
    try {
      context.asid = asids.alloc(context);
      yield* this.publish(context);
      domain.own = context;
      return context;
    } catch (error) {
      if (context.asid !== 0) asids.free(context.asid);
      this.slab.free(context);
      throw error;
    } finally {
      lock.release();
    }
  }

  /** Takes the address space away; no device is attached. */
  *destroy(context: PrivateContext): Coroutine<void> {
    const { asids } = this.smmu;
    const lock = yield* asids.lock.acquire();
    try {
      context.domain.own = null;
      yield* this.retract(context);
      yield* this.flushFreed(context);
      asids.free(context.asid);
      this.slab.free(context);
    } finally {
      lock.release();
    }
  }

  publish(context: PrivateContext): Coroutine<void> {
    return this.smmu.contexts.write(context.domain, SSID0, this.image(context));
  }

  retract(context: PrivateContext): Coroutine<void> {
    return this.smmu.contexts.clear(context.domain, SSID0);
  }

  /** TLB-5: the number's next owner must not hit what this one cached. */
  flushFreed(context: PrivateContext): Coroutine<void> {
    return this.smmu.invalidation.tlbAsid(context.asid);
  }

  // ── a number that somebody else needs (SMMU-15, TLB-7) ─────────────────────────────────────────────────────────

  /** Moves a context, whose devices go on, to another number. Called with the ASID lock held. @throws ENOSPC, ENOMEM */
  *vacate(context: PrivateContext): Coroutine<void> {
    this.renumber(context);
    yield* this.rewrite(context);
    yield* this.flushLeft(context);
    this.settle(context);
  }

  /** From here on both numbers live: who unmaps has to flush both, for the hardware may still use the old one. */
  renumber(context: PrivateContext): void {
    const asid = this.smmu.asids.alloc(context);
    context.leaving = context.asid;
    context.asid = asid;
  }

  /** Hitless: the ASID lies in the descriptor's first 64 bits. */
  rewrite(context: PrivateContext): Coroutine<void> {
    return this.publish(context);
  }

  /** Nothing is translated under the old number any more; now nothing is cached under it either. */
  flushLeft(context: PrivateContext): Coroutine<void> {
    return this.smmu.invalidation.tlbAsid(context.leaving);
  }

  settle(context: PrivateContext): void {
    const { kernel, name } = this.smmu;
    const { asid: moved, leaving: asid } = context;
    if (kernel.trace.wants(smmuAsidSeize)) kernel.trace.emit(smmuAsidSeize, { smmu: name, asid, moved });
    context.leaving = 0;
  }

  // ── what was mapped ────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The SMMU's translations of some pages (see {@link Invalidation.tlbRange}). The numbers are looked up after the tables
   * changed: one that comes later has cached nothing older.
   */
  *flushRange(context: PrivateContext, range: PageSpan, leafShift: number): Coroutine<void> {
    for (const asid of this.asidsOf(context)) yield* this.smmu.invalidation.tlbRange(asid, range, leafShift);
  }

  asidsOf({ asid, leaving }: PrivateContext): readonly number[] {
    return leaving === 0 ? [asid] : [asid, leaving];
  }

  image(context: PrivateContext): Uint32Array {
    return liveContext(this.describe(context));
  }

  /** SMMU-9: in the private set, faults recorded, and no flags updated: mappings have them set already (PF-10). */
  describe({ domain, tables, asid }: PrivateContext): Context {
    const { cpu, features } = this.smmu;
    return {
      asid,
      shared: false,
      pgd: tables.pgd,
      tables: { ...cpu, physicalBits: Math.min(features.outputBits, 52) },
      stalls: domain.stalls,
      httu: 'none',
    };
  }
}
