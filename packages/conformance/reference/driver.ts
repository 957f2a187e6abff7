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
import { IopfQueue } from '@iommukit/iopf-queue';
import { type Coroutine, IommuError, type Kernel } from '@iommukit/kernel';
import { Devices } from './devices.js';
import { DmaDomains, type Domain } from './dma-domains.js';
import { Features } from './features.js';
import type { ReferenceModel } from './model.js';
import { PageRequests } from './page-requests.js';
import { Sva } from './sva.js';

/** The driver: it writes the model's table itself, where others write memory and registers. */
export class ReferenceDriver implements IommuDriver {
  readonly name: string;
  readonly kernel: Kernel;
  readonly core: Core;
  readonly model: ReferenceModel;
  readonly iopf: IopfQueue;
  readonly sva: Sva;
  readonly devices: Devices;
  readonly features: Features;
  readonly pageRequests: PageRequests;
  readonly dmaDomains: DmaDomains;

  constructor(device: Device, core: Core, model: ReferenceModel) {
    this.name = device.name;
    this.kernel = core.kernel;
    this.core = core;
    this.model = model;
    this.iopf = new IopfQueue(core, `${device.name} faults`);
    this.sva = new Sva(this);
    this.devices = new Devices(this);
    this.features = new Features(this);
    this.pageRequests = new PageRequests(this);
    this.dmaDomains = new DmaDomains(this);
  }

  *start(): Coroutine<void> {
    this.model.pageRequests = this.pageRequests;
  }

  *probeDevice(device: Device): Coroutine<void> {
    yield* this.devices.probe(device);
  }

  *releaseDevice(device: Device): Coroutine<void> {
    yield* this.devices.release(device);
  }

  *enable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.features.enable(this.devices.of(device), feature);
  }

  *disable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.features.disable(this.devices.of(device), feature);
  }

  *bind(device: Device, mm: Mm, { withoutPasid = false }: BindOptions = {}): Coroutine<SvaHandle> {
    if (withoutPasid) throw new IommuError('ENODEV', 'requests without PASID reach DMA domains only');
    return yield* this.sva.bind(this.devices.of(device), mm);
  }

  *unbind(handle: SvaHandle): Coroutine<void> {
    yield* this.sva.unbind(handle);
  }

  *respond(device: Device, response: PageResponse): Coroutine<void> {
    yield* this.pageRequests.respond(device, response);
  }

  *flushPage({ streams }: Device, { pasid, address }: PageRequest): Coroutine<void> {
    const page = Number(address >> 12n);
    if (pasid !== null) yield* this.model.invalidations.pages(streams, pasid, page, page);
  }

  *allocDomain(device: Device): Coroutine<DmaDomain> {
    this.devices.of(device);
    return this.dmaDomains.alloc();
  }

  *freeDomain(domain: DmaDomain): Coroutine<void> {
    this.dmaDomains.free(domain as Domain);
  }

  *attach(device: Device, domain: DmaDomain): Coroutine<void> {
    yield* this.dmaDomains.attach(this.devices.of(device), domain as Domain);
  }

  *detach(device: Device): Coroutine<void> {
    yield* this.dmaDomains.detach(this.devices.of(device));
  }

  *map(domain: DmaDomain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void> {
    yield* this.dmaDomains.map(domain as Domain, iova, pa, bytes, perm);
  }

  *unmap(domain: DmaDomain, iova: bigint, bytes: number): Coroutine<void> {
    yield* this.dmaDomains.unmap(domain as Domain, iova, bytes);
  }

  iovaToPhys(domain: DmaDomain, iova: bigint): number | null {
    return this.dmaDomains.physical(domain as Domain, iova);
  }
}
