import { type Device, type PageRequest, PERM, RESPONSE, type ResponseCode } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { SVM_FAULT } from '@iommukit/vtd-spec';
import type { Bond, Master } from './records.js';
import type { Vtd } from './vtd.js';

/** What a device's driver is told of a page request of a bound address space, when it was handled (IOPF-29). */
export interface HandledRequest {
  readonly device: Device;
  readonly pasid: number;
  readonly address: bigint;
  readonly privateData: readonly number[] | null;
  /** 8 read, 4 write, 2 execute, 1 privileged. */
  readonly rights: number;
  readonly result: ResponseCode;
}

/** Told of page requests after each was handled, in the interrupt thread. */
export type FaultCallback = (request: HandledRequest) => Coroutine<void>;

/** Page requests that the interrupt thread handles itself, and tells the device's driver about: kernels until 5.10. */
export class ThreadFaults {
  readonly vtd: Vtd;
  readonly callbacks: Map<Device, FaultCallback>;
  /** Groups one of whose requests failed, and whose last has not come: device, PASID, index → the code (IOPF-5). */
  readonly failed: Map<string, ResponseCode>;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.callbacks = vtd.kernel.checkpoints.keepMap(new Map());
    this.failed = vtd.kernel.checkpoints.keepMap(new Map());
  }

  /** Who is told of a device's page requests; null: nobody. */
  setCallback(device: Device, callback: FaultCallback | null): void {
    if (callback === null) this.callbacks.delete(device);
    else this.callbacks.set(device, callback);
  }

  /** Handles a request, and returns what it is answered with. `closes`: it is the last of its group. */
  *handle(master: Master, request: PageRequest, closes: boolean): Coroutine<ResponseCode> {
    this.vtd.core.faults.accepted(master.device, request);
    const known = this.failed.get(this.groupOf(master, request)) ?? RESPONSE.SUCCESS;
    const bond = this.bondOf(master, request);
    const code = known === RESPONSE.SUCCESS ? yield* this.codeOf(bond, request) : known;
    if (bond !== null) yield* this.callBack(bond, request, code);
    this.remember(master, request, code, closes);
    return code;
  }

  /** A PASID that the device is not bound to stops it: so these kernels answered (D-6). */
  *codeOf(bond: Bond | null, request: PageRequest): Coroutine<ResponseCode> {
    if (bond !== null) return yield* this.codeOfBond(bond, request);
    // Nothing is missing from the kernel's own tables (VTD-42).
    return request.pasid === this.vtd.supervisor.state.pasid ? RESPONSE.INVALID : RESPONSE.FAILURE;
  }

  *codeOfBond(bond: Bond, request: PageRequest): Coroutine<ResponseCode> {
    const code = yield* this.resolve(request);
    if (code === RESPONSE.SUCCESS && this.vtd.iopf.flushesFirst) yield* this.flushPage(bond, request);
    return code;
  }

  /** MN-14: whatever is cached of the page, before its fault is answered SUCCESS, as workers do. */
  flushPage({ master, pasid }: Bond, { address }: PageRequest): Coroutine<void> {
    return this.vtd.sva.flushForResponse(master, pasid, Number(address >> 12n));
  }

  /** VTD-36, VTD-37: the mm is asked for what its mappings allow. */
  resolve(request: PageRequest): Coroutine<ResponseCode> {
    return this.vtd.iopf.handleFault(request);
  }

  /** The address space that the request was about; none where its PASID was not found (IOPF-25). */
  bondOf(master: Master, { pasid }: PageRequest): Bond | null {
    for (const bond of master.bonds.values()) if (bond.pasid === pasid) return bond;
    return null;
  }

  *callBack(
    { device, pasid }: Bond,
    { address, perm, privateData }: PageRequest,
    result: ResponseCode,
  ): Coroutine<void> {
    const callback = this.callbacks.get(device);
    if (callback !== undefined)
      yield* callback({ device, pasid, address, privateData, rights: this.rightsWord(perm), result });
  }

  /** IOPF-29: each right in its own place, whatever places PERM has. */
  rightsWord(perm: number): number {
    return (
      ((perm & PERM.READ) !== 0 ? SVM_FAULT.read : 0) |
      ((perm & PERM.WRITE) !== 0 ? SVM_FAULT.write : 0) |
      ((perm & PERM.EXEC) !== 0 ? SVM_FAULT.exec : 0) |
      ((perm & PERM.PRIV) !== 0 ? SVM_FAULT.priv : 0)
    );
  }

  /** IOPF-5: a group's answer is its first error. */
  remember(master: Master, request: PageRequest, code: ResponseCode, closes: boolean): void {
    const group = this.groupOf(master, request);
    if (closes) this.failed.delete(group);
    else if (code !== RESPONSE.SUCCESS) this.failed.set(group, code);
  }

  groupOf({ device }: Master, { pasid, group }: PageRequest): string {
    return `${device.name} ${pasid ?? ''} ${group}`;
  }

  /** IOPF-15: last requests may be lost. */
  discardPartial(): void {
    this.failed.clear();
  }
}
