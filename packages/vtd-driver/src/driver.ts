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
  SupervisorHandle,
  SupervisorPasids,
  SvaHandle,
} from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import { type VtdParts, vtdParts } from './parts.js';
import { driverRefusals, readFeatures } from './probe.js';
import type { Domain, Master } from './records.js';
import type { FaultCallback } from './thread-faults.js';
import { Vtd } from './vtd.js';

/** The VT-d driver, to the rest of the kernel. */
export class VtdDriver implements IommuDriver, SupervisorPasids {
  readonly vtd: Vtd;

  /** Drives the unit whose registers are `device`'s first window; nothing is touched before {@link start}. */
  constructor(device: Device, core: Core, parts: VtdParts = vtdParts) {
    this.vtd = new Vtd(device, core, parts);
  }

  /** @throws IommuError ENODEV with the reason when this driver cannot work with the unit, ETIMEDOUT, ENOMEM */
  *start(): Coroutine<void> {
    yield* this.probe();
    yield* this.allocate();
    yield* this.vtd.reset.run();
  }

  *probe(): Coroutine<void> {
    const features = yield* readFeatures(this.vtd.mmio);
    const uncached = this.vtd.device.property('coherent-walks') === true;
    this.vtd.probed = { ...features, seesStores: features.smpwcs || uncached };
    const [refusal] = driverRefusals(this.vtd.features, this.vtd.mode);
    if (refusal === undefined) return;
    this.vtd.probed = null;
    throw new IommuError('ENODEV', `${this.vtd.name}: ${refusal.reason}`, { rule: refusal.rule });
  }

  *allocate(): Coroutine<void> {
    const { contexts, queue, pageRequests, sizes, takesRequests } = this.vtd;
    yield* contexts.prepare();
    yield* queue.prepare(sizes.descriptors);
    if (takesRequests) yield* pageRequests.prepare(sizes.requests);
  }

  *probeDevice(device: Device): Coroutine<void> {
    const { masters } = this.vtd;
    const master = yield* masters.add(device);
    try {
      yield* masters.settle(master);
    } catch (error) {
      yield* this.letGo(master);
      throw error;
    }
  }

  *releaseDevice(device: Device): Coroutine<void> {
    const master = this.vtd.masters.of(device);
    if (master.untagged !== null) {
      throw new IommuError('EBUSY', `requests of ${device.name} without PASID go to ${master.untagged.mm.space}`, {
        rule: 'SVA-18',
        remedy: 'unbind it first',
      });
    }
    if (master.sva || master.iopf) {
      throw new IommuError('EBUSY', `${device.name} has features enabled`, {
        rule: 'FEAT-2',
        remedy: 'disable them first',
      });
    }
    yield* this.letGo(master);
  }

  *letGo(master: Master): Coroutine<void> {
    const { dmaDomains, masters } = this.vtd;
    yield* dmaDomains.leave(master);
    yield* masters.unsettle(master);
    yield* masters.remove(master);
  }

  *enable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.vtd.deviceFeatures.enable(this.vtd.masters.of(device), feature, this);
  }

  *disable(device: Device, feature: Feature): Coroutine<void> {
    yield* this.vtd.deviceFeatures.disable(this.vtd.masters.of(device), feature);
  }

  *bind(device: Device, mm: Mm, { withoutPasid = false }: BindOptions = {}): Coroutine<SvaHandle> {
    const { masters, sva } = this.vtd;
    const master = masters.of(device);
    return yield* withoutPasid ? sva.bindWithoutPasid(master, mm) : sva.bind(master, mm);
  }

  *unbind(handle: SvaHandle): Coroutine<void> {
    yield* this.vtd.sva.unbind(handle);
  }

  *respond(device: Device, response: PageResponse): Coroutine<void> {
    const { masters, pageRequests } = this.vtd;
    const master = masters.byDevice.get(device);
    // A device that is gone waits for nothing (IOPF-17).
    if (master !== undefined) yield* pageRequests.respond(master, response);
  }

  /** MN-14: whatever is cached of the page, before its fault is answered SUCCESS. */
  *flushPage(device: Device, { pasid, address }: PageRequest): Coroutine<void> {
    if (pasid === null) return;
    const { masters, sva } = this.vtd;
    const master = masters.byDevice.get(device);
    if (master !== undefined) yield* sva.flushForResponse(master, pasid, Number(address >> 12n));
  }

  *allocDomain(device: Device): Coroutine<DmaDomain> {
    return yield* this.vtd.dmaDomains.alloc(this.vtd.masters.of(device));
  }

  *freeDomain(domain: DmaDomain): Coroutine<void> {
    yield* this.vtd.dmaDomains.free(domain as Domain);
  }

  *attach(device: Device, domain: DmaDomain): Coroutine<void> {
    yield* this.vtd.dmaDomains.attach(this.vtd.masters.of(device), domain as Domain);
  }

  *detach(device: Device): Coroutine<void> {
    yield* this.vtd.dmaDomains.detach(this.vtd.masters.of(device));
  }

  *map(domain: DmaDomain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void> {
    yield* this.vtd.dmaDomains.map(domain as Domain, iova, pa, bytes, perm);
  }

  *unmap(domain: DmaDomain, iova: bigint, bytes: number): Coroutine<void> {
    yield* this.vtd.dmaDomains.unmap(domain as Domain, iova, bytes);
  }

  iovaToPhys(domain: DmaDomain, iova: bigint): number | null {
    return this.vtd.dmaDomains.iovaToPhys(domain as Domain, iova);
  }

  // ── beyond what every IOMMU has ────────────────────────────────────────────────────────────────────────────────

  /**
   * Lets a device use the kernel's own addresses, of the 1:1 map alone (VTD-42).
   * @throws IommuError EINVAL if a process is given, ENODEV with the reason, ENOSPC, EOVERFLOW, ENOMEM
   */
  *bindSupervisor(device: Device, mm: Mm | null = null): Coroutine<SupervisorHandle> {
    return yield* this.vtd.supervisor.bind(this.vtd.masters.of(device), mm);
  }

  *unbindSupervisor(handle: SupervisorHandle): Coroutine<void> {
    yield* this.vtd.supervisor.unbind(handle);
  }

  /** @throws IommuError EFAULT for memory that nobody owns, ENOMEM */
  mapSupervisor(pa: number, bytes: number): Coroutine<bigint> {
    return this.vtd.supervisor.map(pa, bytes);
  }

  /** @throws IommuError EFAULT outside the 1:1 map (SVA-20), ENOMEM */
  useSupervisor(address: bigint, bytes: number): Coroutine<void> {
    return this.vtd.supervisor.use(address, bytes);
  }

  unmapSupervisor(address: bigint, bytes: number): Coroutine<void> {
    return this.vtd.supervisor.unmap(address, bytes);
  }

  /** @throws IommuError ENOMEM */
  allocPieces(pages: number): Coroutine<bigint> {
    return this.vtd.kernelTables.allocPieces(pages);
  }

  /** @throws IommuError EINVAL for what is not mapped */
  freePieces(address: bigint, pages: number): Coroutine<void> {
    return this.vtd.kernelTables.freePieces(address, pages);
  }

  /** Who is told of a device's page requests when they were handled, where the interrupt thread does that (IOPF-29); null: nobody. */
  onPageRequest(device: Device, callback: FaultCallback | null): void {
    this.vtd.threadFaults.setCallback(device, callback);
  }
}
