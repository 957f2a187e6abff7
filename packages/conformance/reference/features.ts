import type { Feature } from '@iommukit/core';
import { type Coroutine, type ErrorCode, IommuError } from '@iommukit/kernel';
import * as pci from '@iommukit/pci-ats';
import type { DeviceRecord } from './devices.js';
import type { ReferenceDriver } from './driver.js';

/** Page requests that one device may have outstanding: nothing here overflows. */
const CREDITS = 32;

/** What devices are enabled for: page faults, then SVA (FEAT-1, FEAT-2). */
export class Features {
  readonly driver: ReferenceDriver;

  constructor(driver: ReferenceDriver) {
    this.driver = driver;
  }

  /** @throws IommuError ENODEV with the reason, EINVAL for SVA before page faults, EBUSY when it is on */
  *enable(record: DeviceRecord, feature: Feature): Coroutine<void> {
    if (record[feature]) throw refusal('EBUSY', record, feature, 'it is enabled already');
    if (feature === 'sva') this.enableSva(record);
    else yield* this.enableIopf(record);
  }

  /** @throws IommuError EINVAL when it is off, EBUSY while bonds exist or SVA needs it */
  *disable(record: DeviceRecord, feature: Feature): Coroutine<void> {
    if (!record[feature]) throw refusal('EINVAL', record, feature, 'it is not enabled');
    if (feature === 'sva') yield* this.disableSva(record);
    else yield* this.disableIopf(record);
  }

  /** FEAT-1: a device that could ask for pages needs somebody whom it asks. */
  enableSva(record: DeviceRecord): void {
    if (record.pasidBits === 0) throw refusal('ENODEV', record, 'sva', 'it has no PASIDs');
    if (record.pri && !record.iopf) throw refusal('EINVAL', record, 'sva', 'enable iopf first');
    record.sva = true;
  }

  *disableSva(record: DeviceRecord): Coroutine<void> {
    const lock = yield* this.driver.sva.lock.acquire();
    try {
      if (record.bonds.size > 0) throw refusal('EBUSY', record, 'sva', 'address spaces are bound');
      record.sva = false;
    } finally {
      lock.release();
    }
    // MN-5: what was unbound is freed before anything that its callbacks use.
    yield* this.driver.core.notifiers.synchronize();
  }

  /** From the end of the way backwards: who handles requests, and then who sends them. */
  *enableIopf(record: DeviceRecord): Coroutine<void> {
    const { device, pri } = record;
    if (!pri) throw refusal('ENODEV', record, 'iopf', 'it cannot ask for pages by ATS and PRI');
    this.driver.iopf.addDevice(device, this.driver);
    record.iopf = true;
    try {
      yield* pci.resetPri(device.config!);
      yield* pci.enablePri(device.config!, CREDITS);
    } catch (error) {
      yield* this.closeFaultPath(record);
      throw error;
    }
  }

  /** IOPF-17: no more requests come, those that came are answered, and only then nobody handles them. */
  *disableIopf(record: DeviceRecord): Coroutine<void> {
    const { device, sva } = record;
    if (sva) throw refusal('EBUSY', record, 'iopf', 'SVA relies on it');
    if (yield* this.driver.devices.isPresent(device)) {
      yield* pci.disablePri(device.config!);
      yield* pci.awaitPriStopped(device.config!);
    }
    yield* this.driver.iopf.flush(device);
    yield* this.closeFaultPath(record);
  }

  *closeFaultPath(record: DeviceRecord): Coroutine<void> {
    yield* this.driver.iopf.removeDevice(record.device);
    record.iopf = false;
  }
}

function refusal(code: ErrorCode, { device }: DeviceRecord, feature: Feature, reason: string): IommuError {
  return new IommuError(code, `${feature} on ${device.name}: ${reason}`, { rule: 'FEAT-1' });
}
