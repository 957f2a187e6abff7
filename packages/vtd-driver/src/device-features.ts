import type { FaultData, Feature, IommuDriver } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Refusal } from './features.js';
import { svaRefusals } from './probe.js';
import type { Bond, Master } from './records.js';
import type { Vtd } from './vtd.js';

/** What devices are enabled for: IOPF, then SVA (FEAT-1, FEAT-2). */
export class DeviceFeatures {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** @throws IommuError ENODEV with the reason, EINVAL for SVA before IOPF, EBUSY when it is on */
  *enable(master: Master, feature: Feature, driver: IommuDriver): Coroutine<void> {
    if (master[feature]) throw this.refusal('EBUSY', master, feature, 'it is enabled already', 'FEAT-1');
    if (feature === 'sva') yield* this.enableSva(master);
    else yield* this.enableIopf(master, driver);
  }

  /** @throws IommuError EINVAL when it is off, EBUSY while bonds exist or SVA needs it */
  *disable(master: Master, feature: Feature): Coroutine<void> {
    if (!master[feature]) throw this.refusal('EINVAL', master, feature, 'it is not enabled', 'FEAT-2');
    if (feature === 'sva') yield* this.disableSva(master);
    else yield* this.disableIopf(master);
  }

  /** The way from the device's page requests to the fault queue, from its end backwards. */
  *enableIopf(master: Master, driver: IommuDriver): Coroutine<void> {
    const { iopf, masters } = this.vtd;
    if (!master.pri) throw this.refusal('ENODEV', master, 'iopf', master.noPri, 'VTD-10');
    iopf.addDevice(master.device, driver);
    master.iopf = true;
    try {
      yield* masters.enablePri(master);
    } catch (error) {
      yield* this.closeFaultPath(master);
      throw error;
    }
  }

  /** IOPF-17: no more requests come, those that came are through, and only then nobody takes them. */
  *disableIopf(master: Master): Coroutine<void> {
    this.checkSvaOff(master);
    yield* this.vtd.masters.disablePri(master);
    yield* this.vtd.masters.awaitPriStopped(master);
    yield* this.drain(master);
    yield* this.closeFaultPath(master);
  }

  drain(master: Master): Coroutine<void> {
    return this.vtd.drain.all(master);
  }

  /** A bond's faults go through the device's fault data: it stays for the bond's unbind, which flushes it (IOPF-18). */
  useFaults({ iopf, device }: Master): FaultData | null {
    if (!iopf) return null;
    const { faults } = this.vtd.core;
    const data = faults.byDevice.get(device)!;
    faults.get(data);
    return data;
  }

  /** FEAT-4: only what a bind took: without a fault path neither counts. */
  unuseFaults({ faults }: Bond): void {
    if (faults !== null) this.vtd.core.faults.put(faults);
  }

  /** FEAT-2. */
  checkSvaOff(master: Master): void {
    if (master.sva) throw this.refusal('EBUSY', master, 'iopf', 'SVA relies on it', 'FEAT-2');
  }

  *closeFaultPath(master: Master): Coroutine<void> {
    yield* this.vtd.iopf.removeDevice(master.device);
    master.iopf = false;
  }

  *enableSva(master: Master): Coroutine<void> {
    const refusals = this.svaRefusals(master);
    if (refusals.length > 0) {
      const reasons = refusals.map(({ reason }) => reason).join('; ');
      throw this.refusal('ENODEV', master, 'sva', reasons, refusals[0]!.rule);
    }
    this.checkIopfFirst(master);
    master.sva = true;
  }

  /** FEAT-1, VTD-10: a device that could send page requests needs somebody to take them. One without handles its faults itself. */
  checkIopfFirst(master: Master): void {
    if (master.iopf || !master.pri) return;
    throw this.refusal('EINVAL', master, 'sva', 'its page faults have no handler: enable iopf first', 'FEAT-1');
  }

  /** Why the device cannot share page tables (FEAT-3): nothing, or reasons. */
  svaRefusals({ device, pasidBits }: Master): Refusal[] {
    const { features, mode, cpu, core } = this.vtd;
    const refusals = svaRefusals(features, mode, cpu, core.format);
    if (mode !== 'legacy' && features.pasid && pasidBits === 0) {
      refusals.push({ reason: `${device.name} has no PASIDs`, rule: 'VTD-41' });
    }
    return refusals;
  }

  /** MN-5: no notifier is under way any more; the memory that they use may go. */
  *disableSva(master: Master): Coroutine<void> {
    const lock = yield* this.vtd.sva.binding.acquire();
    try {
      this.checkUnbound(master);
      master.sva = false;
    } finally {
      lock.release();
    }
    yield* this.awaitNotifiers();
  }

  awaitNotifiers(): Coroutine<void> {
    return this.vtd.core.notifiers.synchronize();
  }

  /** SVA-18. */
  checkUnbound(master: Master): void {
    const { size } = master.bonds;
    if (size > 0) throw this.refusal('EBUSY', master, 'sva', `${size} address spaces are bound`, 'SVA-18');
    if (this.vtd.supervisor.bonds.has(master.device)) {
      throw this.refusal('EBUSY', master, 'sva', "the kernel's PASID is bound", 'SVA-18');
    }
  }

  refusal(
    code: 'EBUSY' | 'EINVAL' | 'ENODEV',
    master: Master,
    feature: Feature,
    reason: string,
    rule: string,
  ): IommuError {
    return new IommuError(code, `${feature} on ${master.device.name}: ${reason}`, { rule });
  }
}
