import { DeviceFeatures as AnyDeviceFeatures, type Refusal } from '@iommukit/core';
import type { Coroutine, Mutex, Step } from '@iommukit/kernel';
import { svaRefusals } from './probe.js';
import type { Master } from './records.js';
import type { Vtd } from './vtd.js';

/** What devices under a unit are enabled for: faults come by page requests alone (VTD-10). */
export class DeviceFeatures extends AnyDeviceFeatures<Master> {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    super(vtd);
    this.vtd = vtd;
  }

  override *faultRefusal({ pri, noPri }: Master): Coroutine<Refusal | null> {
    return pri ? null : { reason: noPri, rule: 'VTD-10' };
  }

  override startRequests(master: Master): Coroutine<void> {
    return this.vtd.masters.enablePri(master);
  }

  override drain(master: Master): Coroutine<void> {
    return this.vtd.drain.all(master);
  }

  override needsHandler({ pri }: Master): boolean {
    return pri;
  }

  override lockBonds(): Step<Mutex> {
    return this.vtd.sva.lockBonds();
  }

  /** Why the device cannot share page tables (FEAT-3): nothing, or reasons. */
  override svaRefusals({ device, pasidBits }: Master): Refusal[] {
    const { features, mode, cpu, core } = this.vtd;
    const refusals = svaRefusals(features, mode, cpu, core.format);
    if (mode !== 'legacy' && features.pasid && pasidBits === 0) {
      refusals.push({ reason: `${device.name} has no PASIDs`, rule: 'VTD-41' });
    }
    return refusals;
  }

  override checkUnbound(master: Master): void {
    super.checkUnbound(master);
    if (this.vtd.supervisor.bonds.has(master.device)) {
      throw this.refusal('EBUSY', master, 'sva', "the kernel's PASID is bound", 'SVA-18');
    }
  }
}
