import { type Coroutine, PREEMPT, type TlbInvalidation, type TlbListener } from '@iommukit/kernel';
import { WORLD } from './address-spaces.js';
import type { SmmuV3 } from './device.js';

/**
 * Follows the TLB maintenance that CPUs broadcast (smmuv3.md 3.6, TLB-9, SMMU-16), where IDR0.BTM is 1 and while CR2.PTM is 0. A
 * message reaches lines of its own exception level only. What the architecture leaves open: forms with an ASID skip lines of the
 * private set (ASET = 1), forms for every ASID do not. ATCs never hear of it.
 */
export class Broadcast implements TlbListener {
  readonly smmu: SmmuV3;
  readonly name: string;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.name = smmu.name;
  }

  /** Applies one message; done when no transaction uses an old translation any more. */
  *invalidate(message: TlbInvalidation): Coroutine<void> {
    const { kernel, footprint, registers, inFlight } = this.smmu;
    if (kernel.at(footprint, true)) yield PREEMPT;
    if (!registers.followsBroadcast) return;
    this.apply(message);
    yield* inFlight.drain();
  }

  apply(message: TlbInvalidation): void {
    const { iotlb } = this.smmu;
    const { kind, vmid, asid, first, last, leaf } = message;
    const world = this.worldOf(message);
    const scope = world === WORLD.EL1 ? vmid : 0;
    if (kind === 'asid') iotlb.dropAsid(world, scope, asid, true);
    else if (kind === 'va') {
      iotlb.dropRange({ world, vmid: scope, asid, first, last, level: 0, granule: 0, leaf, shared: true });
    } else if (kind === 'vaa') {
      iotlb.dropRange({ world, vmid: scope, asid: -1, first, last, level: 0, granule: 0, leaf, shared: false });
    } else if (world === WORLD.EL1) iotlb.dropVmid(vmid);
    else iotlb.dropWorld(world);
    this.smmu.invalidated();
  }

  /** The stream world that CPUs at an exception level mean: at EL2 they are those with VHE. */
  worldOf({ level }: TlbInvalidation): number {
    return level === 'el1' ? WORLD.EL1 : WORLD.EL2_E2H;
  }
}
