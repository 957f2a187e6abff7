import type {
  BindOptions,
  Core,
  Device,
  DmaDomain,
  Feature,
  IommuDriver,
  Mm,
  PageRequest,
  PageResponse,
  SvaHandle,
} from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { type Smmuv3Parts, smmuv3Parts } from './parts.js';
import { driverRefusals, readFeatures } from './probe.js';
import type { Domain, Master } from './records.js';
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
      yield* this.smmu.domains.settle(master);
    } catch (error) {
      yield* this.letGo(master);
      throw error;
    }
  }

  *releaseDevice(device: Device): Coroutine<void> {
    const master = this.smmu.masters.of(device);
    this.smmu.dmaDomains.checkUnbound(master);
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
    yield* domains.leaveAll(master);
    yield* masters.disablePasids(master);
    yield* masters.remove(master);
  }

  *enable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.smmu.deviceFeatures.enable(this.smmu.masters.of(device), feature, this);
  }

  *disable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.smmu.deviceFeatures.disable(this.smmu.masters.of(device), feature);
  }

  *bind(device: Device, mm: Mm, { withoutPasid = false }: BindOptions = {}): Coroutine<SvaHandle> {
    const { masters, sva } = this.smmu;
    const master = masters.of(device);
    return yield* withoutPasid ? sva.bindWithoutPasid(master, mm) : sva.bind(master, mm);
  }

  *unbind(handle: SvaHandle): Coroutine<void> {
    yield* this.smmu.sva.unbind(handle);
  }

  *respond(device: Device, response: PageResponse): Coroutine<void> {
    const { masters, events, pageRequests } = this.smmu;
    const master = masters.byDevice.get(device);
    // A device that is gone waits for nothing (IOPF-17).
    if (master === undefined) return;
    if (response.stall === true) yield* events.respond(master, response);
    else yield* pageRequests.respond(master, response);
  }

  /** MN-14: whatever is cached of the page, before its fault is answered SUCCESS. */
  *flushPage(device: Device, { pasid, address }: PageRequest): Coroutine<void> {
    if (pasid === null) return;
    const { masters, sva } = this.smmu;
    const master = masters.byDevice.get(device);
    if (master !== undefined) yield* sva.flushForResponse(master, pasid, Number(address >> 12n));
  }

  *allocDomain(device: Device): Coroutine<DmaDomain> {
    return yield* this.smmu.dmaDomains.alloc(this.smmu.masters.of(device));
  }

  *freeDomain(domain: DmaDomain): Coroutine<void> {
    yield* this.smmu.dmaDomains.free(domain as Domain);
  }

  *attach(device: Device, domain: DmaDomain): Coroutine<void> {
    yield* this.smmu.dmaDomains.attach(this.smmu.masters.of(device), domain as Domain);
  }

  *detach(device: Device): Coroutine<void> {
    yield* this.smmu.dmaDomains.detach(this.smmu.masters.of(device));
  }

  *map(domain: DmaDomain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void> {
    yield* this.smmu.dmaDomains.map(domain as Domain, iova, pa, bytes, perm);
  }

  *unmap(domain: DmaDomain, iova: bigint, bytes: number): Coroutine<void> {
    yield* this.smmu.dmaDomains.unmap(domain as Domain, iova, bytes);
  }

  iovaToPhys(domain: DmaDomain, iova: bigint): number | null {
    return this.smmu.dmaDomains.iovaToPhys(domain as Domain, iova);
  }
}
