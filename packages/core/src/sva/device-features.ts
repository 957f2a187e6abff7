import { type Coroutine, IommuError, type Mutex, type Step } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Device } from '../device.js';
import type { FaultData } from '../fault/fault-data.js';
import type { Feature, IommuDriver } from '../iommu-driver.js';
import type { AnyBond } from './bonds.js';

/** Why something cannot be had, and the rule behind it. */
export interface Refusal {
  readonly reason: string;
  readonly rule: string;
}

/** What a driver knows of a device, as far as its features go. */
export interface FeatureMaster {
  readonly device: Device;
  iopf: boolean;
  sva: boolean;
  readonly bonds: { readonly size: number };
}

/** A driver's services that features use. */
export interface FeatureServices<Master extends FeatureMaster> {
  readonly core: Core;
  /** Where page requests are handled. */
  readonly iopf: {
    addDevice(device: Device, driver: IommuDriver): void;
    removeDevice(device: Device): Coroutine<void>;
  };
  readonly masters: {
    disablePri(master: Master): Coroutine<void>;
    awaitPriStopped(master: Master): Coroutine<void>;
  };
}

/** What devices are enabled for: IOPF, then SVA (FEAT-1, FEAT-2). */
export abstract class DeviceFeatures<Master extends FeatureMaster> {
  readonly services: FeatureServices<Master>;

  constructor(services: FeatureServices<Master>) {
    this.services = services;
  }

  // ── what each driver knows ─────────────────────────────────────────────────────────────────────────────────────

  /** Why the device's page faults cannot be handled, or null. */
  abstract faultRefusal(master: Master): Coroutine<Refusal | null>;
  /** Lets the device send page requests, if it is to. */
  abstract startRequests(master: Master): Coroutine<void>;
  /** No request of the device is under way any more. */
  abstract drain(master: Master): Coroutine<void>;
  /** The device stalls, or could send page requests: somebody has to take them. */
  abstract needsHandler(master: Master): boolean;
  /** Why the device cannot share page tables (FEAT-3): nothing, or reasons. */
  abstract svaRefusals(master: Master): Refusal[];
  /** No bond comes or goes meanwhile. */
  abstract lockBonds(): Step<Mutex>;

  // ── on and off ─────────────────────────────────────────────────────────────────────────────────────────────────

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
    const refusal = yield* this.faultRefusal(master);
    if (refusal !== null) throw this.refusal('ENODEV', master, 'iopf', refusal.reason, refusal.rule);
    this.services.iopf.addDevice(master.device, driver);
    master.iopf = true;
    try {
      yield* this.startRequests(master);
    } catch (error) {
      yield* this.closeFaultPath(master);
      throw error;
    }
  }

  /** IOPF-17: no more requests come, those that came are through, and only then nobody takes them. */
  *disableIopf(master: Master): Coroutine<void> {
    this.checkSvaOff(master);
    yield* this.services.masters.disablePri(master);
    yield* this.services.masters.awaitPriStopped(master);
    yield* this.drain(master);
    yield* this.closeFaultPath(master);
  }

  *closeFaultPath(master: Master): Coroutine<void> {
    yield* this.services.iopf.removeDevice(master.device);
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

  /** MN-5: no notifier is under way any more; the memory that they use may go. */
  *disableSva(master: Master): Coroutine<void> {
    const lock = yield* this.lockBonds();
    try {
      this.checkUnbound(master);
      master.sva = false;
    } finally {
      lock.release();
    }
    yield* this.awaitNotifiers();
  }

  awaitNotifiers(): Coroutine<void> {
    return this.services.core.notifiers.synchronize();
  }

  // ── order ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** FEAT-1: one that needs nobody handles its faults itself. */
  checkIopfFirst(master: Master): void {
    if (master.iopf || !this.needsHandler(master)) return;
    throw this.refusal('EINVAL', master, 'sva', 'its page faults have no handler: enable iopf first', 'FEAT-1');
  }

  /** FEAT-2. */
  checkSvaOff(master: Master): void {
    if (master.sva) throw this.refusal('EBUSY', master, 'iopf', 'SVA relies on it', 'FEAT-2');
  }

  /** SVA-18. */
  checkUnbound(master: Master): void {
    const { size } = master.bonds;
    if (size > 0) throw this.refusal('EBUSY', master, 'sva', `${size} address spaces are bound`, 'SVA-18');
  }

  // ── fault data of bonds ────────────────────────────────────────────────────────────────────────────────────────

  /** A bond's faults go through the device's fault data: it stays for the bond's unbind, which flushes it (IOPF-18). */
  useFaults({ iopf, device }: Master): FaultData | null {
    if (!iopf) return null;
    const { faults } = this.services.core;
    const data = faults.byDevice.get(device)!;
    faults.get(data);
    return data;
  }

  /** FEAT-4: only what a bind took: without a fault path neither counts. */
  unuseFaults({ faults }: Pick<AnyBond<Master>, 'device' | 'faults'>): void {
    if (faults !== null) this.services.core.faults.put(faults);
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
