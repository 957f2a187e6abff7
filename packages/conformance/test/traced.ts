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
import type { Coroutine } from '@iommukit/kernel';
import type { IommuDriverModule } from '@iommukit/machine';

/** A driver around another one, which writes down every call: nothing but the interface is left of the inner one. */
export class TracedDriver implements IommuDriver {
  readonly inner: IommuDriver;
  readonly calls: string[];

  constructor(inner: IommuDriver, calls: string[]) {
    this.inner = inner;
    this.calls = calls;
  }

  start(): Coroutine<void> {
    return this.noted('start', this.inner.start());
  }

  probeDevice(device: Device): Coroutine<void> {
    return this.noted('probeDevice', this.inner.probeDevice(device));
  }

  releaseDevice(device: Device): Coroutine<void> {
    return this.noted('releaseDevice', this.inner.releaseDevice(device));
  }

  enable(device: Device, feature: Feature): Coroutine<void> {
    return this.noted('enable', this.inner.enable(device, feature));
  }

  disable(device: Device, feature: Feature): Coroutine<void> {
    return this.noted('disable', this.inner.disable(device, feature));
  }

  bind(device: Device, mm: Mm, options?: BindOptions): Coroutine<SvaHandle> {
    return this.noted('bind', this.inner.bind(device, mm, options));
  }

  unbind(handle: SvaHandle): Coroutine<void> {
    return this.noted('unbind', this.inner.unbind(handle));
  }

  respond(device: Device, response: PageResponse): Coroutine<void> {
    return this.noted('respond', this.inner.respond(device, response));
  }

  flushPage(device: Device, request: PageRequest): Coroutine<void> {
    return this.noted('flushPage', this.inner.flushPage!(device, request));
  }

  allocDomain(device: Device): Coroutine<DmaDomain> {
    return this.noted('allocDomain', this.inner.allocDomain(device));
  }

  freeDomain(domain: DmaDomain): Coroutine<void> {
    return this.noted('freeDomain', this.inner.freeDomain(domain));
  }

  attach(device: Device, domain: DmaDomain): Coroutine<void> {
    return this.noted('attach', this.inner.attach(device, domain));
  }

  detach(device: Device): Coroutine<void> {
    return this.noted('detach', this.inner.detach(device));
  }

  map(domain: DmaDomain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void> {
    return this.noted('map', this.inner.map(domain, iova, pa, bytes, perm));
  }

  unmap(domain: DmaDomain, iova: bigint, bytes: number): Coroutine<void> {
    return this.noted('unmap', this.inner.unmap(domain, iova, bytes));
  }

  iovaToPhys(domain: DmaDomain, iova: bigint): number | null {
    this.calls.push('iovaToPhys');
    return this.inner.iovaToPhys(domain, iova);
  }

  *noted<T>(name: string, call: Coroutine<T>): Coroutine<T> {
    this.calls.push(name);
    return yield* call;
  }
}

/** A driver module whose drivers write down every call into `calls`. */
export function traced(module: IommuDriverModule, calls: string[]): IommuDriverModule {
  return {
    ...module,
    create: (device: Device, core: Core, parts?: object) =>
      new TracedDriver(module.create(device, core, parts ?? module.parts), calls),
  };
}
