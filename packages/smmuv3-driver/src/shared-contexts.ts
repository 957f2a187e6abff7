import type { Mm } from '@iommukit/core';
import { IdAllocator, IommuError, type Slab } from '@iommukit/kernel';
import { liveContext, quiescedContext, type SvaContext } from './context-descriptors.js';
import type { Domain, SharedContext } from './records.js';
import type { Smmu } from './smmu.js';

/** ASIDs of the SMMU's own, one per mm that some domain uses; invalidated by commands only. */
export class SharedContexts {
  readonly smmu: Smmu;
  readonly slab: Slab<SharedContext>;
  readonly asids: IdAllocator;
  readonly byMm = new Map<Mm, SharedContext>();

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.slab = smmu.kernel.slab<SharedContext>('smmuv3 shared context', {
      mm: null as unknown as Mm,
      asid: 0,
      users: 0,
    });
    this.asids = new IdAllocator(smmu.kernel, `${smmu.name} ASID`, 1, 0xffff);
    smmu.kernel.checkpoints.keepMap(this.byMm);
  }

  /** The context of an mm with one more user; a new one takes the lowest free ASID. @throws IommuError ENOSPC, ENOMEM */
  get(mm: Mm): SharedContext {
    const present = this.byMm.get(mm);
    if (present !== undefined) {
      present.users++;
      return present;
    }
    const asid = this.allocAsid();
    try {
      const context = this.slab.alloc({ mm, asid, users: 1 });
      this.byMm.set(mm, context);
      return context;
    } catch (error) {
      this.unwindAsid(asid);
      throw error;
    }
  }

  /** Drops a user. The last one frees the ASID: its translations have been invalidated before (TLB-5, SMMU-11). */
  put(context: SharedContext): void {
    if (--context.users > 0) return;
    const { mm, asid } = context;
    this.byMm.delete(mm);
    this.slab.free(context);
    this.freeAsid(asid);
  }

  allocAsid(): number {
    const asid = this.asids.alloc(1, 2 ** this.smmu.features.asidBits - 1);
    if (asid !== null) return asid;
    throw new IommuError('ENOSPC', `${this.smmu.name} has no free ASID`, {
      rule: 'SMMU-15',
      remedy: 'unbind another process',
    });
  }

  freeAsid(asid: number): void {
    this.asids.free(asid);
  }

  unwindAsid(asid: number): void {
    this.freeAsid(asid);
  }

  /** The descriptor of a living mm in a domain. */
  live(context: SharedContext, domain: Domain): Uint32Array {
    return liveContext(this.describe(context, domain));
  }

  /** The descriptor of a dead mm in a domain. */
  quiesced(context: SharedContext, domain: Domain): Uint32Array {
    return quiescedContext(this.describe(context, domain));
  }

  describe({ asid, mm }: SharedContext, domain: Domain): SvaContext {
    return { asid, pgd: mm.pgd, cpu: this.smmu.cpu, stalls: domain.masters.some((master) => master.stalls) };
  }
}
