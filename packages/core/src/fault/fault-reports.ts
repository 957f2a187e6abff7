import { type Coroutine, type Footprint, IommuError, Mutex, PREEMPT, type Slab } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Device } from '../device.js';
import {
  FAULT_TYPE,
  type PageRequest,
  type PageResponse,
  RESPONSE,
  type ResponseCode,
  type UnrecoverableFault,
} from '../faults.js';
import type { IommuDriver } from '../iommu-driver.js';
import { devFault, devPageResponse } from '../tracepoints.js';
import type { FaultData, FaultRoute, PendingGroup } from './fault-data.js';
import type { FaultHandler } from './fault-handler.js';
import { FaultTimeouts } from './fault-timeouts.js';

const NO_TICKET = -1;

/** Page requests on their way in, and answers on their way out: each answer meets a pending group (IOPF-7). */
export class FaultReports {
  readonly core: Core;
  readonly slab: Slab<PendingGroup>;
  readonly dataSlab: Slab<FaultData>;
  readonly byDevice = new Map<Device, FaultData>();
  /** Groups whose last request was accepted, in order of arrival. */
  readonly pending: PendingGroup[] = [];
  /** `taken`: groups that were answered in place of their handlers, whose own answers have not come yet. */
  readonly state = { tickets: 0, taken: new Set<number>() };
  /** Which devices are on a queue. */
  readonly footprint: Footprint;
  readonly timeouts: FaultTimeouts;

  constructor(core: Core) {
    const { kernel } = core;
    this.core = core;
    this.slab = kernel.slab<PendingGroup>('pending group', {
      data: null as unknown as FaultData,
      request: null as unknown as PageRequest,
      ticket: 0,
    });
    this.dataSlab = kernel.slab<FaultData>('fault data', {
      route: null as unknown as FaultRoute,
      users: 1,
      attached: true,
      partial: [],
    });
    this.footprint = kernel.footprint();
    this.timeouts = new FaultTimeouts(this);
    kernel.checkpoints.keepMap(this.byDevice);
    kernel.checkpoints.keepList(this.pending);
    kernel.checkpoints.keep(this.state);
  }

  // ── devices (IOPF-16 … IOPF-18) ────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends a device's requests to `handler`, and the answers through `driver`.
   * @throws IommuError EBUSY if it is on a queue already, ENODEV if no IOMMU translates for it, or without a driver that
   * answers, ENOMEM
   */
  attach(device: Device, driver: IommuDriver | null, handler: FaultHandler): FaultData {
    if (device.streams.length === 0 || driver === null) {
      const lacks = driver === null ? 'nobody who answers its page requests' : 'no IOMMU in front of it';
      throw new IommuError('ENODEV', `${device.name} has ${lacks}`, { rule: 'IOPF-16' });
    }
    if (this.byDevice.has(device)) {
      throw new IommuError('EBUSY', `${device.name} is on a fault queue already`, {
        rule: 'IOPF-16',
        remedy: 'remove it there first',
      });
    }
    const lock = new Mutex(this.core.kernel, 'fault-data');
    const data = this.dataSlab.alloc({ route: { device, driver, handler, lock }, partial: [] });
    this.byDevice.set(device, data);
    this.core.kernel.touch(this.footprint, true);
    return data;
  }

  /** No more requests are accepted, and whoever holds a reference finds that out. The fault lock is held. */
  detach(data: FaultData): void {
    data.attached = false;
    this.byDevice.delete(data.route.device);
    this.core.kernel.touch(this.footprint, true);
  }

  /** One more reference, for a caller that holds one. */
  get(data: FaultData): void {
    data.users++;
  }

  /** One more reference unless there is none: the only way from a lookup (IOPF-18). */
  getNotZero(data: FaultData): boolean {
    if (data.users === 0) return false;
    data.users++;
    return true;
  }

  /** Drops a reference. After the last one the data lives on for a grace period: lookups may be under way. */
  put(data: FaultData): void {
    if (--data.users === 0) this.core.kernel.rcu.call(() => this.dataSlab.free(data));
  }

  // ── requests ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Reports one page request. A last one makes its group pending, before its handler can answer.
   * @throws IommuError EOPNOTSUPP for anything but a page request (IOPF-1), ENODEV for a device that is on no queue, or
   * what its handler throws
   */
  *report(device: Device, fault: PageRequest | UnrecoverableFault): Coroutine<void> {
    const request = this.supported(device, fault);
    const data = this.byDevice.get(device);
    if (this.core.kernel.at(this.footprint, false)) yield* this.goOnReading();
    const taken = data !== undefined && this.getForReport(data);
    if (!taken) throw this.noHandler(device);
    yield* this.deliver(data, request);
  }

  /** Between a lookup and its reference. The read section matters only if somebody else runs in it, so it is made here. */
  *goOnReading(): Coroutine<void> {
    const { rcu } = this.core.kernel;
    rcu.readLock();
    yield PREEMPT;
    rcu.readUnlock();
  }

  /** IOPF-1. */
  supported(device: Device, fault: PageRequest | UnrecoverableFault): PageRequest {
    if (fault.type !== FAULT_TYPE.UNRECOVERABLE) return fault;
    throw new IommuError('EOPNOTSUPP', `a fault of ${device.name} cannot be recovered from (reason ${fault.reason})`, {
      rule: 'IOPF-1',
      remedy: 'only page requests are handled: log it',
    });
  }

  /** IOPF-18: what a lookup found may be on its way out. */
  getForReport(data: FaultData): boolean {
    return this.getNotZero(data);
  }

  noHandler(device: Device): IommuError {
    return new IommuError('ENODEV', `nobody handles the page requests of ${device.name}`, {
      rule: 'IOPF-9',
      remedy: "enable the device's iopf feature first",
    });
  }

  /** The lookup's reference is held to the end, or is the group's then (IOPF-18). */
  *deliver(data: FaultData, request: PageRequest): Coroutine<void> {
    let kept = false;
    try {
      const lock = yield* this.lockForReport(data);
      try {
        kept = this.take(data, request);
      } finally {
        lock.release();
      }
    } finally {
      if (!kept) this.put(data);
    }
  }

  lockForReport(data: FaultData): ReturnType<Mutex['acquire']> {
    return data.route.lock.acquire();
  }

  /** One step: nobody answers, and nobody else reports for the device, in between. True: the reference was passed on. */
  take(data: FaultData, request: PageRequest): boolean {
    if (!data.attached) throw this.removed(data);
    const { device, handler } = data.route;
    const ticket = request.last ? this.addPending(data, request) : NO_TICKET;
    let kept = false;
    try {
      kept = handler.queueFault(data, request, ticket);
    } catch (error) {
      if (request.last) this.removePending(this.pending.find((pending) => pending.ticket === ticket)!);
      throw error;
    }
    this.accepted(device, request);
    return kept;
  }

  removed({ route: { device } }: FaultData): IommuError {
    return new IommuError('ENODEV', `${device.name} was taken off its fault queue`, { rule: 'IOPF-17' });
  }

  /** The group's ticket. IOPF-8: without memory to wait for the answer there is no group. */
  addPending(data: FaultData, request: PageRequest): number {
    try {
      const ticket = this.state.tickets++;
      const pending = this.slab.alloc({ data, request, ticket });
      this.pending.push(pending);
      if (this.timeouts.ns > 0) this.timeouts.start(pending);
      return ticket;
    } catch (error) {
      data.route.handler.abandonGroup(data, request.group);
      throw error;
    }
  }

  removePending(pending: PendingGroup): void {
    if (this.timeouts.ns > 0) this.timeouts.stop(pending);
    this.pending.splice(this.pending.indexOf(pending), 1);
    this.slab.free(pending);
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Answers a pending group of a device, found by its index and PASID.
   * @throws IommuError EINVAL when no such group is pending (IOPF-7), ENODEV for a device that is on no queue
   */
  *respond(device: Device, { pasid, group, code }: PageResponse): Coroutine<void> {
    const data = this.byDevice.get(device);
    if (data === undefined || !this.getNotZero(data)) throw this.noHandler(device);
    try {
      yield* this.answer(data, pasid, group, code, NO_TICKET);
    } finally {
      this.put(data);
    }
  }

  /**
   * Answers a group: exactly one answer each (IOPF-6). The fault lock is held until the driver has taken it over, so that
   * a removal comes before or after it.
   * @returns false if the answer comes too late: the group ran out of time, or its device was removed, and it was answered
   * then (IOPF-17, IOPF-19)
   * @throws IommuError EINVAL when the group is not pending (IOPF-7)
   */
  *answer(
    data: FaultData,
    pasid: number | null,
    group: number,
    code: ResponseCode,
    ticket: number,
  ): Coroutine<boolean> {
    const lock = yield* this.lockForAnswer(data);
    try {
      const pending = this.match(data, pasid, group, ticket);
      if (pending === null && this.state.taken.delete(ticket)) return false;
      this.checkPending(data, pending, pasid, group);
      const response = this.response(pending?.request ?? null, pasid, group, code);
      if (pending !== null) this.forget(pending);
      const { device, driver } = data.route;
      this.answered(device, pasid, group, code);
      yield* driver.respond(device, response);
      return true;
    } finally {
      lock.release();
    }
  }

  lockForAnswer(data: FaultData): ReturnType<Mutex['acquire']> {
    return data.route.lock.acquire();
  }

  /** IOPF-7: the oldest pending group that the answer can be for. */
  match(data: FaultData, pasid: number | null, group: number, ticket: number): PendingGroup | null {
    for (const pending of this.pending) {
      if (pending.data !== data || pending.request.group !== group) continue;
      if (ticket !== NO_TICKET && pending.ticket !== ticket) continue;
      if (this.matchesPasid(pending.request, pasid)) return pending;
    }
    return null;
  }

  /** The PASID must be the request's where the answer will carry it; where it will not, it may be left out. */
  matchesPasid(request: PageRequest, pasid: number | null): boolean {
    return request.pasid === pasid || (pasid === null && request.needsPasid !== true);
  }

  /** IOPF-7: what nobody waits for is not sent. */
  checkPending(
    { route: { device } }: FaultData,
    pending: PendingGroup | null,
    pasid: number | null,
    group: number,
  ): void {
    if (pending !== null) return;
    throw new IommuError('EINVAL', `${device.name} waits for no answer to group ${group} of PASID ${pasid ?? 'none'}`, {
      rule: 'IOPF-7',
      remedy: 'answer each reported group once',
    });
  }

  /** IOPF-7: the pending record goes with the answer. */
  forget(pending: PendingGroup): void {
    this.removePending(pending);
  }

  /** What the driver sends: the PASID only where the request says that it is needed. Private data is echoed (IOPF-30). */
  response(request: PageRequest | null, pasid: number | null, group: number, code: ResponseCode): PageResponse {
    const named = request?.needsPasid === true ? pasid : null;
    const response = { pasid: named, group, code };
    if (request?.stall === true) return { ...response, stall: true };
    const privateData = request?.privateData ?? null;
    return privateData === null ? response : { ...response, privateData };
  }

  /** Answers a group of a device that goes, in place of whoever handles it. The fault lock is held (IOPF-17). */
  *answerRemoved(pending: PendingGroup): Coroutine<void> {
    const { data, request } = pending;
    this.takeRemoved(pending);
    yield* this.sendInvalid(data, request);
  }

  /** Answers a group that ran out of time, in place of whoever handles it. The fault lock is held (IOPF-19). */
  *answerExpired(pending: PendingGroup): Coroutine<void> {
    const { data, request } = pending;
    this.takeExpired(pending);
    yield* this.sendInvalid(data, request);
  }

  /** The handler's answer will find nothing. */
  takeRemoved(pending: PendingGroup): void {
    this.takeFromHandler(pending);
  }

  /** The handler's answer will find nothing, not even a later group of the same index. */
  takeExpired(pending: PendingGroup): void {
    this.takeFromHandler(pending);
  }

  takeFromHandler(pending: PendingGroup): void {
    this.state.taken.add(pending.ticket);
    this.removePending(pending);
  }

  *sendInvalid(data: FaultData, request: PageRequest): Coroutine<void> {
    const { pasid, group } = request;
    const { device, driver } = data.route;
    this.answered(device, pasid, group, RESPONSE.INVALID);
    yield* driver.respond(device, this.response(request, pasid, group, RESPONSE.INVALID));
  }

  /** The groups of a device that wait for their answers. */
  pendingOf(data: FaultData): PendingGroup[] {
    return this.pending.filter((pending) => pending.data === data);
  }

  // ── what others are told ───────────────────────────────────────────────────────────────────────────────────────

  accepted(device: Device, request: PageRequest): void {
    const { kernel } = this.core;
    const { pasid, group, last, address } = request;
    kernel.observer.faultAccepted(device.name, pasid ?? -1, group, last, Number(address >> 12n));
    if (!kernel.trace.wants(devFault)) return;
    kernel.trace.emit(devFault, {
      dev: device.name,
      type: FAULT_TYPE.PAGE_REQUEST,
      reason: 0,
      addr: address,
      pasid,
      group,
      flags: this.flagsOf(request),
      prot: request.perm,
    });
  }

  /** 1 PASID valid, 2 last, 4 private data. That the answer needs the PASID is not printed (sva-core.md 8). */
  flagsOf({ pasid, last, privateData }: PageRequest): number {
    return (pasid === null ? 0 : 1) | (last ? 2 : 0) | (privateData === null ? 0 : 4);
  }

  answered(device: Device, pasid: number | null, group: number, code: number): void {
    const { kernel } = this.core;
    kernel.observer.faultAnswered(device.name, pasid ?? -1, group, code);
    if (kernel.trace.wants(devPageResponse))
      kernel.trace.emit(devPageResponse, { dev: device.name, code, pasid, group });
  }
}
