import {
  type Core,
  type Device,
  FAULT_ERROR,
  FAULT_FLAG,
  type FaultHandler,
  type Mm,
  type PageRequest,
  PERM,
  RESPONSE,
  type ResponseCode,
  type Vma,
} from '@iommukit/core';
import { type Coroutine, IommuError, Mutex, type Slab, type Step, WorkQueue } from '@iommukit/kernel';
import type { IopfDevice, IopfFault, IopfGroup } from './iopf-group.js';
import { iopfDiscard, iopfGroup } from './tracepoints.js';

/** How an {@link IopfQueue} works. */
export interface IopfQueueOptions {
  /** Worker tasks (default 2): groups are handled side by side (IOPF-4). */
  readonly workers?: number;
  /** The workers' name in reports and orders (default `fault-worker`). */
  readonly workerName?: string;
}

const NO_REQUEST: PageRequest = { pasid: null, group: 0, address: 0n, perm: 0, last: false, privateData: null };
const RIGHTS = PERM.READ | PERM.WRITE | PERM.EXEC;

/** I/O page faults of the devices on one queue: collected into groups, handled by workers, each group answered once. */
export class IopfQueue implements FaultHandler {
  readonly core: Core;
  readonly name: string;
  readonly work: WorkQueue;
  readonly faults: Slab<IopfFault>;
  readonly groups: Slab<IopfGroup>;
  readonly devices = new Map<Device, IopfDevice>();
  /** Protects the lists of partial requests. */
  readonly lock: Mutex;

  constructor(core: Core, name: string, { workers = 2, workerName = 'fault-worker' }: IopfQueueOptions = {}) {
    const { kernel } = core;
    this.core = core;
    this.name = name;
    this.work = new WorkQueue(kernel, name, { workers, workerName });
    this.faults = kernel.slab<IopfFault>('iopf fault', { request: NO_REQUEST });
    this.groups = kernel.slab<IopfGroup>('iopf group', {
      device: null as unknown as Device,
      faults: [],
      last: NO_REQUEST,
    });
    this.lock = new Mutex(kernel, 'iopf-device');
    kernel.checkpoints.keepMap(this.devices);
  }

  // ── devices (IOPF-16, IOPF-17) ─────────────────────────────────────────────────────────────────────────────────

  /** Takes a device on. @throws IommuError EBUSY if it is on a queue already, ENODEV if no IOMMU translates for it */
  addDevice(device: Device): void {
    if (device.streams.length === 0) {
      throw new IommuError('ENODEV', `${device.name} is behind no IOMMU`, { rule: 'IOPF-16' });
    }
    this.core.faults.claim(device, this);
    this.devices.set(device, { device, partial: this.core.kernel.checkpoints.keepList([]) });
  }

  /**
   * Lets go of a device; no more of its requests are reported. Incomplete groups are dropped.
   * @throws IommuError EINVAL if it is not on this queue, EBUSY while groups are pending
   */
  *removeDevice(device: Device): Coroutine<void> {
    const entry = this.deviceOf(device);
    if (this.core.faults.isPending(device)) {
      throw new IommuError('EBUSY', `page requests of ${device.name} are not answered yet`, {
        rule: 'IOPF-17',
        remedy: 'stop the device and flush first',
      });
    }
    const lock = yield* this.lock.acquire();
    this.dropPartial(entry);
    this.devices.delete(device);
    lock.release();
    this.core.faults.unclaim(device);
  }

  // ── requests on their way in (IOPF-2, IOPF-3, IOPF-8) ──────────────────────────────────────────────────────────

  *queueFault(device: Device, request: PageRequest): Coroutine<void> {
    const entry = this.deviceOf(device);
    const lock = yield* this.lock.acquire();
    try {
      if (request.last) this.closeGroup(entry, request);
      else this.keepPartial(entry, request);
    } finally {
      lock.release();
    }
  }

  *abandonGroup(device: Device, group: number): Coroutine<void> {
    const entry = this.devices.get(device);
    if (entry === undefined) return;
    const lock = yield* this.lock.acquire();
    this.dropGroup(entry, group);
    lock.release();
  }

  // ── for the IOMMU's driver ─────────────────────────────────────────────────────────────────────────────────────

  /** Waits until every group queued now is answered (IOPF-11). What the hardware still holds is not included. */
  flush(): Coroutine<void> {
    return this.work.flush();
  }

  /** The hardware's queue overflowed: last requests may be lost, so incomplete groups of every device go (IOPF-15). */
  *discardPartial(): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    for (const entry of this.devices.values()) this.dropPartial(entry);
    lock.release();
  }

  // ── steps: collecting ──────────────────────────────────────────────────────────────────────────────────────────

  deviceOf(device: Device): IopfDevice {
    const entry = this.devices.get(device);
    if (entry !== undefined) return entry;
    throw new IommuError('EINVAL', `${device.name} is not on queue ${this.name}`, { rule: 'IOPF-17' });
  }

  /** IOPF-2: kept until its group is complete; no answer. A request that finds no memory is lost. */
  keepPartial({ partial }: IopfDevice, request: PageRequest): void {
    partial.push(this.faults.alloc({ request }));
  }

  /** IOPF-3: the partial requests of the same index move in, before the last. */
  closeGroup(entry: IopfDevice, request: PageRequest): void {
    const group = this.newGroup(entry, request);
    this.moveToGroup(entry, group);
    this.queueGroup(group);
  }

  newGroup(entry: IopfDevice, last: PageRequest): IopfGroup {
    try {
      return this.groups.alloc({ device: entry.device, faults: [], last });
    } catch (error) {
      // IOPF-8: otherwise they would wait for a last request for ever.
      this.dropGroup(entry, last.group);
      throw error;
    }
  }

  moveToGroup({ partial }: IopfDevice, group: IopfGroup): void {
    for (const fault of [...partial]) {
      if (fault.request.group !== group.last.group) continue;
      this.unlink(partial, fault);
      group.faults.push(fault);
    }
  }

  queueGroup(group: IopfGroup): void {
    this.work.queue({ run: () => this.handleGroup(group) });
  }

  dropGroup({ partial }: IopfDevice, group: number): void {
    for (const fault of [...partial]) if (fault.request.group === group) this.dropFault(partial, fault);
  }

  dropPartial({ device, partial }: IopfDevice): void {
    const { trace } = this.core.kernel;
    if (trace.wants(iopfDiscard) && partial.length > 0)
      trace.emit(iopfDiscard, { dev: device.name, pages: partial.length });
    for (const fault of [...partial]) this.dropFault(partial, fault);
  }

  /** The list lives on: a request leaves it before it is freed (IOPF-10). */
  dropFault(partial: IopfFault[], fault: IopfFault): void {
    this.unlink(partial, fault);
    this.faults.free(fault);
  }

  unlink(partial: IopfFault[], fault: IopfFault): void {
    partial.splice(partial.indexOf(fault), 1);
  }

  // ── steps: handling (IOPF-4 … IOPF-6) ──────────────────────────────────────────────────────────────────────────

  *handleGroup(group: IopfGroup): Coroutine<void> {
    const code = yield* this.handleFaults(group);
    const { device, last, faults } = group;
    const { trace } = this.core.kernel;
    if (trace.wants(iopfGroup)) {
      trace.emit(iopfGroup, { dev: device.name, pasid: last.pasid, group: last.group, pages: faults.length + 1, code });
    }
    yield* this.respond(group, code);
    this.freeGroup(group);
  }

  /** In order of arrival; after the first error the rest is not handled (IOPF-5). */
  *handleFaults(group: IopfGroup): Coroutine<ResponseCode> {
    let code: ResponseCode = RESPONSE.SUCCESS;
    for (const fault of group.faults) {
      if (this.goesOn(code)) code = yield* this.handleFault(fault.request);
    }
    return this.goesOn(code) ? yield* this.handleFault(group.last) : code;
  }

  /** IOPF-5: errors stick. */
  goesOn(code: ResponseCode): boolean {
    return code === RESPONSE.SUCCESS;
  }

  /** One answer, built from the last request (IOPF-6). */
  respond({ device, last }: IopfGroup, code: ResponseCode): Coroutine<void> {
    return this.core.faults.respond(device, { pasid: last.pasid, group: last.group, code });
  }

  freeGroup(group: IopfGroup): void {
    for (const fault of group.faults) this.faults.free(fault);
    this.groups.free(group);
  }

  // ── steps: one request (PF-1 … PF-4) ───────────────────────────────────────────────────────────────────────────

  *handleFault(request: PageRequest): Coroutine<ResponseCode> {
    const mm = yield* this.findMm(request);
    if (mm === null) return RESPONSE.INVALID;
    const code = yield* this.handleInMm(mm, request);
    yield* this.putMm(mm);
    return code;
  }

  /** The mm that the request's PASID stands for, with a user (step `mmget`); null if there is none or it is dying. */
  findMm({ pasid }: PageRequest): Step<Mm | null> {
    const { kernel, sva } = this.core;
    return pasid === null ? kernel.done(null) : sva.findOrNull(pasid);
  }

  /** May be the last user: then the address space is torn down here, before the answer (MM-8). */
  putMm(mm: Mm): Coroutine<void> {
    return this.core.mms.put(mm);
  }

  *handleInMm(mm: Mm, request: PageRequest): Coroutine<ResponseCode> {
    const page = Number(request.address >> 12n);
    const lock = yield* mm.mmapLock.read();
    const vma = this.core.mms.findVma(mm, page);
    const allowed = vma !== null && this.allows(vma, request);
    const code = allowed ? yield* this.askMm(mm, vma, page, request) : RESPONSE.INVALID;
    lock.release();
    return code;
  }

  /** PF-1, PF-2: every right that is asked for is one of the mapping's; asking for none passes (PF-7). */
  allows(vma: Vma, { perm }: PageRequest): boolean {
    return (perm & RIGHTS & ~vma.perm) === 0;
  }

  *askMm(mm: Mm, vma: Vma, page: number, request: PageRequest): Coroutine<ResponseCode> {
    const result = yield* this.core.pageFaults.handleMmFault(mm, vma, page, this.flagsOf(request));
    return (result & FAULT_ERROR) === 0 ? RESPONSE.SUCCESS : RESPONSE.INVALID;
  }

  /** PF-3. */
  flagsOf({ perm }: PageRequest): number {
    return (
      FAULT_FLAG.REMOTE |
      ((perm & PERM.WRITE) !== 0 ? FAULT_FLAG.WRITE : 0) |
      ((perm & PERM.EXEC) !== 0 ? FAULT_FLAG.INSTRUCTION : 0) |
      ((perm & PERM.PRIV) === 0 ? FAULT_FLAG.USER : 0)
    );
  }
}
