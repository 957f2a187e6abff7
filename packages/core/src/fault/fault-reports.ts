import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Device } from '../device.js';
import type { PageRequest, PageResponse } from '../faults.js';
import type { IommuDriver } from '../iommu-driver.js';
import { devFault, devPageResponse } from '../tracepoints.js';
import type { FaultHandler } from './fault-handler.js';

/** One group that waits for its answer. */
export interface PendingGroup {
  readonly device: Device;
  readonly group: number;
  readonly pasid: number | null;
}

/** Where a device's requests go, and who sends the answers. */
export interface FaultRoute {
  readonly device: Device;
  readonly driver: IommuDriver;
  readonly handler: FaultHandler;
}

/** Page requests on their way in, and answers on their way out: each answer meets a pending group (IOPF-7). */
export class FaultReports {
  readonly core: Core;
  readonly slab: Slab<PendingGroup>;
  readonly routes = new Map<Device, FaultRoute>();
  /** Which queue a device is on. */
  readonly owners = new Map<Device, object>();
  /** Groups whose last request was accepted, in order of arrival. */
  readonly pending: PendingGroup[] = [];

  constructor(core: Core) {
    this.core = core;
    this.slab = core.kernel.slab<PendingGroup>('pending group', {
      device: null as unknown as Device,
      group: 0,
      pasid: null,
    });
    core.kernel.checkpoints.keepMap(this.routes);
    core.kernel.checkpoints.keepMap(this.owners);
    core.kernel.checkpoints.keepList(this.pending);
  }

  /**
   * Sends a device's requests to `handler`, and answers through `driver`. @throws IommuError EBUSY if it has a handler
   */
  register(device: Device, driver: IommuDriver, handler: FaultHandler): void {
    if (this.routes.has(device)) {
      throw new IommuError('EBUSY', `the page requests of ${device.name} have a handler`, {
        remedy: 'unregister it first',
      });
    }
    this.routes.set(device, { device, driver, handler });
  }

  /**
   * Stops taking requests. @throws IommuError EINVAL if there is no handler, EBUSY while groups are pending (IOPF-17)
   */
  unregister(device: Device): void {
    if (!this.routes.has(device)) throw new IommuError('EINVAL', `the page requests of ${device.name} have no handler`);
    if (this.isPending(device)) {
      throw new IommuError('EBUSY', `page requests of ${device.name} are not answered yet`, {
        rule: 'IOPF-17',
        remedy: 'stop the device and flush first',
      });
    }
    this.routes.delete(device);
  }

  /** Marks a device as being on the queue `owner`. @throws IommuError EBUSY if it is on one (IOPF-16) */
  claim(device: Device, owner: object): void {
    if (this.owners.has(device)) {
      throw new IommuError('EBUSY', `${device.name} is on a fault queue already`, {
        rule: 'IOPF-16',
        remedy: 'remove it there first',
      });
    }
    this.owners.set(device, owner);
  }

  /** The device is on no queue any more. */
  unclaim(device: Device): void {
    this.owners.delete(device);
  }

  /** True while a group of the device waits for its answer. */
  isPending(device: Device): boolean {
    return this.pending.some((group) => group.device === device);
  }

  /**
   * Reports one page request, from the driver's interrupt thread. Stop markers are not reported (IOPF-13).
   * @throws IommuError ENODEV without a handler, ENOMEM, or what the handler throws. If it was the last of its group
   * the driver then sends the answer itself (IOPF-8, IOPF-9); otherwise the request is lost and asks for no answer.
   */
  *report(device: Device, request: PageRequest): Coroutine<void> {
    const route = this.routeOf(device);
    const pending = yield* this.addPending(route, request);
    try {
      yield* route.handler.queueFault(device, request);
    } catch (error) {
      if (pending !== null) this.removePending(pending);
      throw error;
    }
    this.accepted(device, request);
  }

  /**
   * Answers a group: exactly one answer each (IOPF-6).
   * @throws IommuError EINVAL when no such group is pending (IOPF-7)
   */
  *respond(device: Device, response: PageResponse): Coroutine<void> {
    const route = this.routeOf(device);
    const pending = this.match(device, response);
    this.removePending(pending);
    this.answered(device, response);
    yield* route.driver.respond(device, response);
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  routeOf(device: Device): FaultRoute {
    const route = this.routes.get(device);
    if (route !== undefined) return route;
    throw new IommuError('ENODEV', `nobody handles the page requests of ${device.name}`, {
      rule: 'IOPF-9',
      remedy: "enable the device's iopf feature first",
    });
  }

  /** The last request of a group makes it pending; it is so before the handler can answer. */
  *addPending(route: FaultRoute, request: PageRequest): Coroutine<PendingGroup | null> {
    if (!request.last) return null;
    const { device, handler } = route;
    try {
      const pending = this.slab.alloc({ device, group: request.group, pasid: request.pasid });
      this.pending.push(pending);
      return pending;
    } catch (error) {
      yield* handler.abandonGroup(device, request.group);
      throw error;
    }
  }

  removePending(pending: PendingGroup): void {
    this.pending.splice(this.pending.indexOf(pending), 1);
    this.slab.free(pending);
  }

  /** IOPF-7: the same group index, and the same PASID. */
  match(device: Device, { group, pasid }: PageResponse): PendingGroup {
    const found = this.pending.find((p) => p.device === device && p.group === group && p.pasid === pasid);
    if (found !== undefined) return found;
    throw new IommuError('EINVAL', `${device.name} waits for no answer to group ${group} of PASID ${pasid ?? 'none'}`, {
      rule: 'IOPF-7',
      remedy: 'answer each reported group once',
    });
  }

  accepted(device: Device, request: PageRequest): void {
    const { kernel } = this.core;
    const { pasid, group, last, address } = request;
    kernel.observer.faultAccepted(device.name, pasid ?? -1, group, last, Number(address >> 12n));
    if (!kernel.trace.wants(devFault)) return;
    kernel.trace.emit(devFault, {
      dev: device.name,
      type: 2,
      reason: 0,
      addr: request.address,
      pasid: request.pasid,
      group: request.group,
      flags: (request.pasid === null ? 0 : 1) | (request.last ? 2 : 0) | (request.privateData === null ? 0 : 4),
      prot: request.perm,
    });
  }

  answered(device: Device, { pasid, group, code }: PageResponse): void {
    const { kernel } = this.core;
    kernel.observer.faultAnswered(device.name, pasid ?? -1, group, code);
    if (kernel.trace.wants(devPageResponse))
      kernel.trace.emit(devPageResponse, { dev: device.name, code, pasid, group });
  }
}
