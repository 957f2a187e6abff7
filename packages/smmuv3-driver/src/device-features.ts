import { DeviceFeatures as AnyDeviceFeatures, type Refusal } from '@iommukit/core';
import type { Coroutine, Mutex, Step } from '@iommukit/kernel';
import { svaRefusals } from './probe.js';
import type { Master } from './records.js';
import type { Smmu } from './smmu.js';

/** What devices under an SMMU are enabled for: faults come by page requests, or transactions stall. */
export class DeviceFeatures extends AnyDeviceFeatures<Master> {
  readonly smmu: Smmu;

  constructor(smmu: Smmu) {
    super(smmu);
    this.smmu = smmu;
  }

  override *faultRefusal(master: Master): Coroutine<Refusal | null> {
    const reason = yield* this.smmu.masters.whyNoFaults(master);
    return reason === '' ? null : { reason, rule: 'SMMU-13' };
  }

  override *startRequests(master: Master): Coroutine<void> {
    if (master.pri) yield* this.smmu.masters.enablePri(master);
  }

  override drain(master: Master): Coroutine<void> {
    return this.smmu.sva.drainPageRequests(master);
  }

  override needsHandler({ stalls, pri }: Master): boolean {
    return stalls || pri;
  }

  override lockBonds(): Step<Mutex> {
    return this.smmu.sva.lockBonds();
  }

  /** Why the device cannot share page tables (FEAT-3, SMMU-17): nothing, or reasons. */
  override svaRefusals(master: Master): Refusal[] {
    const { features, cpu, core } = this.smmu;
    const refusals = svaRefusals(features, cpu, core.format);
    const { name } = master.device;
    if (features.ssidBits > 0 && master.pasidBits === 0) {
      refusals.push({ reason: `${name} has no PASIDs`, rule: 'SMMU-17' });
    }
    if (!master.stalls && !master.ats) {
      refusals.push({ reason: `${name} neither stalls nor translates by itself: ${master.noAts}`, rule: 'SMMU-13' });
    }
    return refusals;
  }
}
