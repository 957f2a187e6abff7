import type { PageRequest, PageResponse } from '@iommukit/core';
import { PERM, RESPONSE } from '@iommukit/core';
import { type Coroutine, isIommuError } from '@iommukit/kernel';
import { PRI_BYTES, PRIQ_BASE, PRIQ_CONS, PRIQ_PROD, PriRequest } from '@iommukit/smmuv3-spec';
import { addPriResponse } from './commands.js';
import { smmuPageRequest } from './event-points.js';
import { OutputQueue } from './output-queue.js';
import type { Master } from './records.js';
import type { Smmu } from './smmu.js';
import { smmuOverflow } from './trace-points.js';

const P = PriRequest.f;

/** The PRI queue and its thread: page requests in, group responses out (SMMU-32). */
export class PageRequests {
  readonly smmu: Smmu;
  readonly queue: OutputQueue;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.queue = new OutputQueue(smmu, {
      name: 'PRIQ',
      owner: 'PRI queue',
      base: PRIQ_BASE,
      prod: PRIQ_PROD,
      cons: PRIQ_CONS,
      bytes: PRI_BYTES,
    });
  }

  /** The interrupt thread: drains the queue. */
  *work(): Coroutine<void> {
    while (yield* this.queue.next()) {
      yield* this.handle(this.queue.record);
      this.queue.markHandled();
    }
    if (this.queue.overflowed) yield* this.recover();
  }

  *handle(record: Uint32Array): Coroutine<void> {
    if (this.isStopMarker(record)) return yield* this.dropStopMarker(record);
    const { masters } = this.smmu;
    const sid = P.sid.get(record);
    // Held until the report is done: the device must not be released meanwhile (IOPF-26).
    const lock = yield* masters.lockStreams();
    const master = yield* masters.lookUp(sid);
    const request = this.decode(record, master?.pasidInResponses ?? true);
    try {
      if (master === null || !master.iopf) yield* this.refuse(sid, request);
      else yield* this.report(sid, master, request);
    } finally {
      masters.putLookup(master);
      masters.unlockStreams(lock);
    }
  }

  /** L=1, W=0, R=0 with a PASID: says that no more requests come, and wants no answer (IOPF-13). */
  isStopMarker(record: Uint32Array): boolean {
    return P.last.get(record) === 1 && P.w.get(record) === 0 && P.r.get(record) === 0 && P.ssv.get(record) === 1;
  }

  /** Everything that the device asked before is reported already, and unbind waits for it. */
  *dropStopMarker(_record: Uint32Array): Coroutine<void> {}

  /** `needsPasid`: the device wants to be told the PASID that it is answered about (PCI-8). */
  decode(record: Uint32Array, needsPasid: boolean): PageRequest {
    const perm =
      (P.r.get(record) === 1 ? PERM.READ : 0) |
      (P.w.get(record) === 1 ? PERM.WRITE : 0) |
      (P.x.get(record) === 1 ? PERM.EXEC : 0) |
      (P.priv.get(record) === 1 ? PERM.PRIV : 0);
    return {
      pasid: P.ssv.get(record) === 1 ? P.ssid.get(record) : null,
      group: P.prgIndex.get(record),
      address: BigInt(P.addr.get(record)),
      perm,
      last: P.last.get(record) === 1,
      privateData: null,
      needsPasid: needsPasid && P.ssv.get(record) === 1,
    };
  }

  *report(sid: number, master: Master, request: PageRequest): Coroutine<void> {
    try {
      yield* this.smmu.core.faults.report(master.device, request);
    } catch (error) {
      if (!isIommuError(error)) throw error;
      yield* this.refuse(sid, request);
    }
  }

  /** Nobody can handle the request: its group is answered all the same, or the device waits for ever (IOPF-9, IOPF-24). */
  *refuse(sid: number, request: PageRequest): Coroutine<void> {
    this.dump(sid, request);
    if (!this.wantsAnswer(request)) return;
    yield* this.answer(sid, request.needsPasid === true ? request.pasid : null, request.group, RESPONSE.INVALID);
  }

  /** Of a group, only the last request is answered (IOPF-8). */
  wantsAnswer({ last }: PageRequest): boolean {
    return last;
  }

  dump(sid: number, { pasid, group, last, perm, address }: PageRequest): void {
    const { trace } = this.smmu.kernel;
    if (!trace.wants(smmuPageRequest)) return;
    trace.emit(smmuPageRequest, {
      smmu: this.smmu.name,
      sid,
      ssid: pasid ?? 0,
      group,
      last,
      privileged: (perm & PERM.PRIV) !== 0,
      read: (perm & PERM.READ) !== 0,
      write: (perm & PERM.WRITE) !== 0,
      exec: (perm & PERM.EXEC) !== 0,
      addr: address,
    });
  }

  /** Sends a group's answer to the device (SMMU-32). It is not waited for. */
  respond(master: Master, response: PageResponse): Coroutine<void> {
    return this.answer(master.device.streams[0]!, response.pasid, response.group, response.code);
  }

  answer(sid: number, pasid: number | null, group: number, code: number): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    addPriResponse(batch, sid, pasid ?? -1, group, code);
    return commands.submit(batch);
  }

  /** Requests were lost: what is left of their groups will never be complete (IOPF-15). The queue is empty. */
  *recover(): Coroutine<void> {
    const { trace } = this.smmu.kernel;
    if (trace.on) trace.emit(smmuOverflow, { smmu: this.smmu.name, queue: 'PRIQ' });
    yield* this.discardPartial();
    yield* this.queue.acknowledgeOverflow();
  }

  discardPartial(): Coroutine<void> {
    return this.smmu.iopf.discardPartial();
  }

  /** Waits until every request that is in the queue now has been reported (IOPF-28). */
  *flush(): Coroutine<void> {
    if (yield* this.queue.flush()) yield* this.discardPartial();
  }
}
