import {
  type Core,
  FAULT_ERROR,
  FAULT_FLAG,
  type Mm,
  type PageRequest,
  PERM,
  RESPONSE,
  type ResponseCode,
  type Vma,
} from '@iommukit/core';
import type { Coroutine, Step } from '@iommukit/kernel';

const RIGHTS = PERM.READ | PERM.WRITE | PERM.EXEC;

/** One page request of a device: from its PASID to the page, or to the reason why not (PF-1 … PF-4, PF-8). */
export class FaultRequests {
  readonly core: Core;
  /** The driver invalidates what it has of a page before a request for it is answered SUCCESS (MN-14). */
  readonly flushesFirst: boolean;
  /** The first address that is no process's. */
  readonly addressLimit: bigint;

  constructor(core: Core) {
    this.core = core;
    this.addressLimit = 1n << BigInt(core.format.addressBits);
    this.flushesFirst = core.settings.upgrade === 'flush-before-response';
  }

  *handleFault(request: PageRequest): Coroutine<ResponseCode> {
    const mm = yield* this.findMm(request);
    if (mm === null) return this.withoutMm(request);
    this.core.kernel.observer.handling(request.pasid ?? -1, request.group, this.pageOf(request), mm.space);
    const code = yield* this.handleInMm(mm, request);
    yield* this.putMm(mm);
    return code;
  }

  /** The mm that the request's PASID stands for, with a user (step `mmget`); null if there is none or it is dying. */
  findMm({ pasid }: PageRequest): Step<Mm | null> {
    const { kernel, sva } = this.core;
    return pasid === null ? kernel.done(null) : sva.findOrNull(pasid);
  }

  /** IOPF-9: no PASID, an unknown one, or a dead address space fail one process, and not the device. */
  withoutMm(_request: PageRequest): ResponseCode {
    return RESPONSE.INVALID;
  }

  /** May be the last user: then the address space is torn down here, before the answer (MM-8). */
  putMm(mm: Mm): Coroutine<void> {
    return this.core.mms.put(mm);
  }

  *handleInMm(mm: Mm, request: PageRequest): Coroutine<ResponseCode> {
    if (!this.isCanonical(request)) return RESPONSE.INVALID;
    const page = this.pageOf(request);
    const lock = yield* mm.mmapLock.read();
    const vma = this.core.mms.findVma(mm, page);
    const allowed = vma !== null && this.allows(vma, request);
    const code = allowed ? yield* this.askMm(mm, vma, page, request) : RESPONSE.INVALID;
    lock.release();
    return code;
  }

  /** Kernel addresses, and those that no table can hold, are nobody's (PF-9). */
  isCanonical({ address }: PageRequest): boolean {
    return address < this.addressLimit;
  }

  /** The page number: by the IOMMU's page size, 4 KiB, whatever the CPUs' is (PF-8). */
  pageOf({ address }: PageRequest): number {
    return Number(address >> 12n);
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
