import {
  type Core,
  type Device,
  type FaultData,
  type FaultHandler,
  type IommuDriver,
  type PageRequest,
  RESPONSE,
  type ResponseCode,
} from '@iommukit/core';
import { type Coroutine, IommuError, Mutex, type Slab, WorkQueue } from '@iommukit/kernel';
import { FaultRequests } from './fault-requests.js';
import type { IopfFault, IopfGroup } from './iopf-group.js';
import { iopfDiscard, iopfGroup, iopfLate } from './tracepoints.js';

/** How an {@link IopfQueue} works. */
export interface IopfQueueOptions {
  /** Worker tasks (default 2): groups are handled side by side (IOPF-4). */
  readonly workers?: number;
  /** The workers' name in reports and orders (default `fault-worker`). */
  readonly workerName?: string;
}

const NO_REQUEST: PageRequest = { pasid: null, group: 0, address: 0n, perm: 0, last: false, privateData: null };

/** I/O page faults of the devices on one queue: collected into groups, handled by workers, each group answered once. */
export class IopfQueue extends FaultRequests implements FaultHandler {
  readonly name: string;
  readonly work: WorkQueue;
  readonly faults: Slab<IopfFault>;
  readonly groups: Slab<IopfGroup>;
  readonly devices = new Map<Device, FaultData>();
  /** Devices come, go and are gone through. Outside every device's own lock (IOPF-21). */
  readonly lock: Mutex;

  constructor(core: Core, name: string, { workers = 2, workerName = 'fault-worker' }: IopfQueueOptions = {}) {
    super(core);
    const { kernel } = core;
    this.name = name;
    this.work = new WorkQueue(kernel, name, { workers, workerName });
    this.faults = kernel.slab<IopfFault>('iopf fault', { request: NO_REQUEST });
    this.groups = kernel.slab<IopfGroup>('iopf group', {
      data: null as unknown as FaultData,
      faults: [],
      last: NO_REQUEST,
      ticket: 0,
    });
    this.lock = new Mutex(kernel, 'iopf-queue');
    kernel.checkpoints.keepMap(this.devices);
  }

  // ── devices (IOPF-16, IOPF-17) ─────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes a device on; `driver` sends the answers.
   * @throws IommuError EBUSY if it is on a queue already, ENODEV if no IOMMU translates for it or nobody answers, ENOMEM
   */
  addDevice(device: Device, driver: IommuDriver | null): void {
    this.devices.set(device, this.core.faults.attach(device, driver, this));
  }

  /**
   * Lets go of a device, whatever is under way: incomplete groups are dropped, pending ones answered INVALID, and what
   * workers answer later is refused. Stop the device and flush first, or its accesses fail.
   * @throws IommuError EINVAL if it is not on this queue
   */
  *removeDevice(device: Device): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      yield* this.removeData(this.dataOf(device));
    } finally {
      lock.release();
    }
  }

  *removeData(data: FaultData): Coroutine<void> {
    const { faults } = this.core;
    const lock = yield* data.route.lock.acquire();
    try {
      faults.detach(data);
      this.devices.delete(data.route.device);
      this.dropRemoved(data);
      for (const pending of faults.pendingOf(data)) yield* faults.answerRemoved(pending);
    } finally {
      lock.release();
    }
    faults.put(data);
  }

  /** The list goes with the device's data. */
  dropRemoved({ partial }: FaultData): void {
    for (const fault of [...partial]) {
      this.unlinkRemoved(partial, fault);
      this.faults.free(fault);
    }
  }

  dataOf(device: Device): FaultData {
    const data = this.devices.get(device);
    if (data !== undefined) return data;
    throw new IommuError('EINVAL', `${device.name} is not on queue ${this.name}`, { rule: 'IOPF-17' });
  }

  // ── requests on their way in (IOPF-2, IOPF-3, IOPF-8) ──────────────────────────────────────────────────────────

  queueFault(data: FaultData, request: PageRequest, ticket: number): boolean {
    if (request.last) return this.closeGroup(data, request, ticket);
    this.keepPartial(data, request);
    return false;
  }

  /** IOPF-8: otherwise the rest of the group would wait for a last request for ever. */
  abandonGroup({ partial }: FaultData, group: number): void {
    for (const fault of [...partial]) if (fault.request.group === group) this.dropFault(partial, fault);
  }

  /** IOPF-2: kept until its group is complete; no answer. A request that finds no memory is lost. */
  keepPartial({ partial }: FaultData, request: PageRequest): void {
    partial.push(this.faults.alloc({ request }));
  }

  /** IOPF-3: the partial requests of the same index move in, before the last. */
  closeGroup(data: FaultData, request: PageRequest, ticket: number): boolean {
    const group = this.newGroup(data, request, ticket);
    this.moveToGroup(data, group);
    this.queueGroup(group);
    return this.keepsData();
  }

  newGroup(data: FaultData, last: PageRequest, ticket: number): IopfGroup {
    try {
      return this.groups.alloc({ data, faults: [], last, ticket });
    } catch (error) {
      this.dropWithoutMemory(data, last.group);
      throw error;
    }
  }

  dropWithoutMemory(data: FaultData, group: number): void {
    this.abandonGroup(data, group);
  }

  /** IOPF-18: the report's reference is the group's from now on, until the group is freed. */
  keepsData(): boolean {
    return true;
  }

  moveToGroup({ partial }: FaultData, group: IopfGroup): void {
    if (partial.length === 0) return;
    for (const fault of [...partial]) {
      if (fault.request.group !== group.last.group) continue;
      unlink(partial, fault);
      group.faults.push(fault);
    }
  }

  queueGroup(group: IopfGroup): void {
    this.work.queue({ run: () => this.handleGroup(group) });
  }

  // ── for the IOMMU's driver ─────────────────────────────────────────────────────────────────────────────────────

  /**
   * Waits until every group queued now is answered, of whatever device (IOPF-11). What the hardware still holds is not
   * included.
   * @throws IommuError ENODEV if `device` is given and is not on this queue: it was removed before what needs it
   */
  flush(device: Device | null = null): Coroutine<void> {
    if (device !== null && !this.devices.has(device)) {
      throw new IommuError('ENODEV', `${device.name} is flushed, but is not on queue ${this.name}`, {
        rule: 'IOPF-18',
        remedy: 'flush before the device is removed',
      });
    }
    return this.work.flush();
  }

  /** The hardware's queue overflowed: last requests may be lost, so incomplete groups of every device go (IOPF-15). */
  *discardPartial(): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      for (const data of [...this.devices.values()]) yield* this.discardOf(data);
    } finally {
      lock.release();
    }
  }

  *discardOf(data: FaultData): Coroutine<void> {
    const lock = yield* this.lockForDiscard(data);
    const { route, partial } = data;
    const { trace } = this.core.kernel;
    if (trace.wants(iopfDiscard) && partial.length > 0)
      trace.emit(iopfDiscard, { dev: route.device.name, pages: partial.length });
    for (const fault of [...partial]) {
      yield* this.core.kernel.point(route.lock.footprint, true);
      this.dropFault(partial, fault);
    }
    lock?.release();
  }

  /** Nobody may be adding requests meanwhile (IOPF-15, IOPF-21). */
  *lockForDiscard(data: FaultData): Coroutine<Mutex | null> {
    return yield* data.route.lock.acquire();
  }

  /** The list lives on: a request leaves it before it is freed (IOPF-10). */
  dropFault(partial: IopfFault[], fault: IopfFault): void {
    this.unlinkDropped(partial, fault);
    this.faults.free(fault);
  }

  unlinkDropped(partial: IopfFault[], fault: IopfFault): void {
    unlink(partial, fault);
  }

  unlinkRemoved(partial: IopfFault[], fault: IopfFault): void {
    unlink(partial, fault);
  }

  // ── steps: handling (IOPF-4 … IOPF-6) ──────────────────────────────────────────────────────────────────────────

  *handleGroup(group: IopfGroup): Coroutine<void> {
    const code = yield* this.handleFaults(group);
    if (code === RESPONSE.SUCCESS && this.flushesFirst) yield* this.flushPages(group);
    if (this.core.kernel.trace.wants(iopfGroup)) this.traceGroup(group, code);
    yield* this.respond(group, code);
    this.freeGroup(group);
  }

  traceGroup({ data, last, faults }: IopfGroup, code: ResponseCode): void {
    const { pasid, group } = last;
    const pages = faults.length + 1;
    this.core.kernel.trace.emit(iopfGroup, { dev: data.route.device.name, pasid, group, pages, code });
  }

  /** In order of arrival; after the first error the rest is not handled (IOPF-5). */
  *handleFaults(group: IopfGroup): Coroutine<ResponseCode> {
    let code: ResponseCode = RESPONSE.SUCCESS;
    for (const fault of this.inOrder(group)) {
      if (this.goesOn(code)) code = yield* this.handleFault(fault.request);
    }
    return this.goesOn(code) ? yield* this.handleFault(group.last) : code;
  }

  /** IOPF-4: requests inside a group are ordered. */
  inOrder({ faults }: IopfGroup): readonly IopfFault[] {
    return faults;
  }

  /** IOPF-5: errors stick. */
  goesOn(code: ResponseCode): boolean {
    return code === RESPONSE.SUCCESS;
  }

  /** MN-14, as a driver's workaround: no older translation of the pages is left when the device tries again. */
  *flushPages({ data, faults, last }: IopfGroup): Coroutine<void> {
    for (const { request } of faults) yield* this.flushPage(data, request);
    yield* this.flushPage(data, last);
  }

  *flushPage({ route: { driver, device } }: FaultData, request: PageRequest): Coroutine<void> {
    yield* driver.flushPage?.(device, request) ?? this.core.kernel.done(undefined);
  }

  /** One answer, built from the last request (IOPF-6). */
  *respond(group: IopfGroup, code: ResponseCode): Coroutine<void> {
    const { data, last, ticket } = group;
    const sent = yield* this.core.faults.answer(data, last.pasid, last.group, code, ticket);
    if (!sent) this.answeredLate(group, code);
  }

  /** It ran out of time, or its device was removed, and it was answered then (IOPF-17, IOPF-19). */
  answeredLate({ data, last }: IopfGroup, code: ResponseCode): void {
    const { trace } = this.core.kernel;
    if (trace.wants(iopfLate))
      trace.emit(iopfLate, { dev: data.route.device.name, pasid: last.pasid, group: last.group, code });
  }

  freeGroup(group: IopfGroup): void {
    const { data } = group;
    for (const fault of group.faults) this.faults.free(fault);
    this.groups.free(group);
    this.releaseData(data);
  }

  releaseData(data: FaultData): void {
    this.core.faults.put(data);
  }
}

function unlink(partial: IopfFault[], fault: IopfFault): void {
  const at = partial.indexOf(fault);
  if (at >= 0) partial.splice(at, 1);
}
