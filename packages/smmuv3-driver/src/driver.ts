import type { Core, Device, Feature, IommuDriver, Mm, PageResponse, SvaHandle } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { type Smmuv3Parts, smmuv3Parts } from './parts.js';
import { driverRefusals, readFeatures } from './probe.js';
import type { Master } from './records.js';
import { Smmu } from './smmu.js';

/** The SMMUv3 driver, to the rest of the kernel. */
export class Smmuv3Driver implements IommuDriver {
  readonly smmu: Smmu;

  /** Drives the SMMU whose registers are `device`'s first window; nothing is touched before {@link start}. */
  constructor(device: Device, core: Core, parts: Smmuv3Parts = smmuv3Parts) {
    this.smmu = new Smmu(device, core, parts);
  }

  /** @throws IommuError ENODEV with the reason when this driver cannot work with the SMMU, ETIMEDOUT, ENOMEM */
  *start(): Coroutine<void> {
    yield* this.probe();
    yield* this.allocate();
    yield* this.smmu.reset.run();
  }

  *probe(): Coroutine<void> {
    const features = yield* readFeatures(this.smmu.mmio);
    const [refusal] = driverRefusals(features);
    if (refusal !== undefined) {
      throw new IommuError('ENODEV', `${this.smmu.name}: ${refusal.reason}`, { rule: refusal.rule });
    }
    this.smmu.probed = features;
  }

  /** Tables and queues, no longer than the hardware takes them. */
  *allocate(): Coroutine<void> {
    const { smmu } = this;
    const { features, sizes } = smmu;
    yield* smmu.streamTable.prepare();
    yield* smmu.commands.prepare(Math.min(sizes.commands, features.commandBits));
    yield* smmu.events.queue.prepare(Math.min(sizes.events, features.eventBits));
    if (features.pri) yield* smmu.pageRequests.queue.prepare(Math.min(sizes.requests, features.priBits));
  }

  *probeDevice(device: Device): Coroutine<void> {
    const { masters } = this.smmu;
    const master = yield* masters.add(device);
    try {
      for (const sid of device.streams) yield* this.smmu.streamTable.reserve(sid);
      yield* masters.enablePasids(master);
      yield* this.attachOwnDomain(master);
    } catch (error) {
      yield* this.letGo(master);
      throw error;
    }
  }

  /** A domain of its own, if the device has PASIDs at all; otherwise everything that it sends stays aborted. */
  *attachOwnDomain(master: Master): Coroutine<void> {
    const { domains, features, name } = this.smmu;
    if (master.ssidBits === 0) {
      const lacking = features.ssidBits === 0 ? `${name} takes no PASIDs (IDR1.SSIDSIZE is 0)` : 'it has no PASIDs';
      master.noAts = `${lacking}, so it is not attached`;
      return;
    }
    const domain = yield* domains.create(master.ssidBits);
    try {
      yield* domains.attach(master, domain);
    } catch (error) {
      yield* domains.detach(master);
      yield* domains.destroy(domain);
      throw error;
    }
  }

  *releaseDevice(device: Device): Coroutine<void> {
    const master = this.smmu.masters.of(device);
    if (master.sva || master.iopf) {
      throw new IommuError('EBUSY', `${device.name} has features enabled`, {
        rule: 'FEAT-2',
        remedy: 'disable them first',
      });
    }
    yield* this.letGo(master);
  }

  *letGo(master: Master): Coroutine<void> {
    const { domains, masters } = this.smmu;
    const { domain } = master;
    yield* domains.detach(master);
    if (domain !== null && domain.masters.length === 0) yield* domains.destroy(domain);
    yield* masters.disablePasids(master);
    yield* masters.remove(master);
  }

  *enable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.smmu.deviceFeatures.enable(this.smmu.masters.of(device), feature, this);
  }

  *disable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.smmu.deviceFeatures.disable(this.smmu.masters.of(device), feature);
  }

  *bind(device: Device, mm: Mm): Coroutine<SvaHandle> {
    return yield* this.smmu.sva.bind(this.smmu.masters.of(device), mm);
  }

  *unbind(handle: SvaHandle): Coroutine<void> {
    yield* this.smmu.sva.unbind(handle);
  }

  *respond(device: Device, response: PageResponse): Coroutine<void> {
    const { masters, events, pageRequests } = this.smmu;
    const master = masters.of(device);
    if (response.stall === true) yield* events.respond(master, response);
    else yield* pageRequests.respond(master, response);
  }
}
