import type { Coroutine } from '@iommukit/kernel';
import type { Bond } from '../records.js';
import { Supervisor, type SupervisorBond } from '../supervisor.js';
import { Sva } from '../sva.js';

/** Bind and unbind in the extended-context mode, where an entry serves every device of the unit (SVA-19, VTD-43). */
export class EcsSva extends Sva {
  /** The last device takes the entry away; what others leave is in their own TLBs. */
  override *removeEntry(bond: Bond): Coroutine<void> {
    if (bond.svm.bonds.length > 1) yield* this.flushDevTlbs(bond);
    else yield* super.removeEntry(bond);
  }

  /** Entries have nothing that would keep a dead process's faults from being recorded (vtd.md 2.5). */
  override staysQuiet(): boolean {
    return false;
  }
}

/** The same for the kernel's PASID. */
export class EcsSupervisor extends Supervisor {
  override *removeEntry(bond: SupervisorBond): Coroutine<void> {
    if (this.bonds.size > 0) yield* this.vtd.invalidation.devicePasid(bond.master, bond.pasid);
    else yield* super.removeEntry(bond);
  }
}
