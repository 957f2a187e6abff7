import { type Coroutine, IommuError, Mutex } from '@iommukit/kernel';
import type { PrivateContext, SharedContext } from './records.js';
import type { Smmu } from './smmu.js';

/** What has an ASID. */
export type AsidOwner = SharedContext | PrivateContext;

/** One number, one owner: whether the CPUs chose it for a process, or the SMMU for a context of its own (SMMU-15, TLB-7). */
export class Asids {
  readonly smmu: Smmu;
  readonly what: string;
  readonly owners: Map<number, AsidOwner>;
  /** Every number in [1, lowest) has an owner: where a search begins. */
  readonly state = { lowest: 1 };
  /** Held while numbers change hands, and while the descriptors of their owners are rewritten for that. */
  readonly lock: Mutex;

  constructor(smmu: Smmu) {
    const { kernel } = smmu;
    this.smmu = smmu;
    this.what = `${smmu.name} ASID`;
    this.owners = kernel.checkpoints.keepMap(new Map());
    this.lock = new Mutex(kernel, 'smmuv3 asids');
    kernel.checkpoints.keep(this.state);
  }

  /** The lowest free number, for a context of the SMMU's own. @throws IommuError ENOSPC, ENOMEM */
  alloc(owner: AsidOwner): number {
    this.smmu.kernel.injection.allocate(this.what);
    const end = 2 ** this.smmu.features.asidBits;
    let asid = this.state.lowest;
    while (asid < end && this.owners.has(asid)) asid++;
    if (asid === end) throw this.exhausted();
    this.owners.set(asid, owner);
    this.state.lowest = asid + 1;
    const space = owner.kind === 'shared' ? owner.mm.space : '';
    this.smmu.kernel.observer.handedOut('ASID', asid, space, this.smmu.name);
    return asid;
  }

  /**
   * Exactly this number, the CPUs' for a process; a context of the SMMU's own that has it moves away. Called with the
   * lock held. @throws IommuError EINVAL when it is another process's, ENOSPC when there is none to move to, ENOMEM
   */
  *claim(asid: number, context: SharedContext): Coroutine<void> {
    this.smmu.kernel.injection.allocate(this.what);
    const owner = this.owners.get(asid);
    if (owner?.kind === 'shared') throw this.taken(asid, owner);
    if (owner?.kind === 'private') yield* this.seize(asid, owner, context);
    else this.handOver(asid, context);
  }

  /** TLB-7: nothing is cached under the number any more when its next owner gets it. */
  *seize(asid: number, from: PrivateContext, context: SharedContext): Coroutine<void> {
    yield* this.smmu.privateContexts.vacate(from);
    this.handOver(asid, context);
  }

  handOver(asid: number, context: SharedContext): void {
    this.owners.set(asid, context);
    this.smmu.kernel.observer.handedOut('ASID', asid, context.mm.space, this.smmu.name);
  }

  /** Gives a number back. Its translations have been invalidated (TLB-5). */
  free(asid: number): void {
    if (!this.owners.delete(asid)) {
      this.smmu.kernel.violate('INV-9', `${this.what} ${asid} is freed, but is not in use`);
      return;
    }
    if (asid < this.state.lowest) this.state.lowest = asid;
  }

  exhausted(): IommuError {
    return new IommuError('ENOSPC', `${this.smmu.name} has no free ASID`, {
      rule: 'SMMU-15',
      remedy: 'unbind another process',
    });
  }

  taken(asid: number, owner: SharedContext): IommuError {
    return new IommuError('EINVAL', `ASID ${asid} belongs to ${owner.mm.space} in ${this.smmu.name}`, {
      rule: 'SMMU-15',
      remedy: 'pin one ASID for one address space only',
    });
  }
}
