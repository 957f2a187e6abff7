import type { Device, IommuDriver } from '@iommukit/core';
import { type Coroutine, IommuError, isIommuError, type Mmio, Mutex, type Step } from '@iommukit/kernel';
import { atsSupported, priSupported, setBusMaster } from '@iommukit/pci-ats';
import type { EngineState } from './engine-file.js';
import type { Job } from './job.js';
import { hasStopped, high, low, operationOf, stopOf } from './job-registers.js';
import * as R from './registers.js';

/** A stop that takes longer than this (virtual ns) is a device that hangs. */
const STOP_LIMIT_NS = 60e9;

/** What the driver does to its device, on either bus: features, jobs, PASID stops. */
export class EngineDevice {
  readonly device: Device;
  readonly iommu: IommuDriver;
  readonly registers: Mmio;
  /** Serialises use of the stop registers. */
  readonly stopLock: Mutex;
  readonly state: EngineState = {
    owner: null,
    refusal: 'it was not probed',
    sharing: false,
    faults: false,
    gone: false,
  };

  constructor(device: Device, iommu: IommuDriver) {
    this.device = device;
    this.iommu = iommu;
    this.registers = device.mmio[0]!;
    this.stopLock = new Mutex(device.kernel, 'engine stop');
    device.kernel.checkpoints.keep(this.state);
  }

  // ── features ───────────────────────────────────────────────────────────────────────────────────────────────────

  *identify(): Coroutine<void> {
    const magic = yield* this.registers.read32(R.ID.offset);
    if (magic === R.MAGIC) return;
    throw new IommuError('ENODEV', `${this.device.name} is no DMA engine: its ID reads 0x${magic.toString(16)}`, {
      remedy: 'check the model that is plugged in there, and its base address',
    });
  }

  /** A platform device needs no leave to send requests. */
  *setBusMaster(on: boolean): Coroutine<void> {
    if (this.device.config !== null) yield* setBusMaster(this.device.config, on);
  }

  /**
   * Lets files be bound. Page faults first, since SVA relies on them (FEAT-1); a device without them reaches only pages that
   * are there. @throws IommuError what `IommuDriver.enable` throws
   */
  *enableFeatures(): Coroutine<void> {
    this.state.faults = yield* this.enableFaults();
    try {
      yield* this.iommu.enable(this.device, 'sva');
    } catch (error) {
      if (this.state.faults) yield* this.iommu.disable(this.device, 'iopf');
      throw error;
    }
    this.state.sharing = true;
    this.state.refusal = '';
  }

  /**
   * The reverse of {@link enableFeatures} (FEAT-2): afterwards the device can be attached to a DMA domain (FEAT-6), for jobs
   * without PASID. @throws IommuError EBUSY while files are bound
   */
  *disableFeatures(): Coroutine<void> {
    const { state } = this;
    if (!state.sharing) return;
    yield* this.iommu.disable(this.device, 'sva');
    state.sharing = false;
    if (state.faults) yield* this.iommu.disable(this.device, 'iopf');
    state.refusal ||= 'its driver uses it without';
  }

  /** False: the device reports no page faults. A platform device does if firmware and IOMMU let it stall (FEAT-5). */
  *enableFaults(): Coroutine<boolean> {
    const { config } = this.device;
    if (config !== null && !((yield* atsSupported(config)) && (yield* priSupported(config)))) return false;
    try {
      yield* this.iommu.enable(this.device, 'iopf');
      return true;
    } catch (error) {
      if (config !== null || !isIommuError(error, 'ENODEV')) throw error;
      return false;
    }
  }

  // ── jobs and stops ─────────────────────────────────────────────────────────────────────────────────────────────

  *program(pasid: number, job: Job): Coroutine<void> {
    const { registers } = this;
    yield* registers.write32(R.OPERATION.offset, operationOf(pasid, job));
    yield* registers.write64(R.SOURCE.offset, low(job.source), high(job.source));
    yield* registers.write64(R.DESTINATION.offset, low(job.destination), high(job.destination));
    yield* registers.write32(R.LENGTH.offset, job.bytes);
    yield* registers.write32(R.PASID.offset, R.PASID.pack({ pasid: Math.max(pasid, 0) }));
    yield* registers.write32(R.PATTERN.offset, job.pattern);
    yield* registers.write32(R.PREFETCH.offset, R.PREFETCH.pack({ pages: job.prefetch }));
  }

  start(): Step<void> {
    return this.registers.write32(R.DOORBELL.offset, R.DOORBELL.pack({ start: 1 }));
  }

  /**
   * PASID stop: complete when nothing with the PASID follows, and (a device that waits) every response is in (IOPF-14).
   * A device that never completes it is cut off.
   */
  *stopQueue(pasid: number): Coroutine<void> {
    if (this.state.gone) return;
    const lock = yield* this.stopLock.acquire();
    try {
      yield* this.registers.write32(R.STOP.offset, stopOf(pasid));
      const stopped = (value: number): boolean => this.state.gone || hasStopped(value, pasid);
      yield* this.registers.until32(R.STOPPED.offset, stopped, STOP_LIMIT_NS);
    } catch (error) {
      if (!isIommuError(error, 'ETIMEDOUT')) throw error;
      if (!this.state.gone) yield* this.cutOff();
    } finally {
      lock.release();
    }
  }

  /** The device cannot be trusted with an address space any more: a PCI function sends nothing from now on. */
  cutOff(): Coroutine<void> {
    const taken = this.device.config === null ? '' : ', and was taken off the bus';
    this.state.refusal = `it did not stop when it was asked to${taken}`;
    return this.setBusMaster(false);
  }
}
