import { type PageRequest, type PageResponse, PERM, RESPONSE } from '@iommukit/core';
import { type Coroutine, isIommuError } from '@iommukit/kernel';
import {
  EVENT_BYTES,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  EventHeader,
  FaultEvent,
  STALLABLE_FAULTS,
} from '@iommukit/smmuv3-spec';
import { addResume, addStallTerm } from './commands.js';
import { eventName, smmuEvent } from './event-points.js';
import { OutputQueue } from './output-queue.js';
import type { Master } from './records.js';
import type { Smmu } from './smmu.js';
import { smmuOverflow } from './trace-points.js';

const H = EventHeader.f;
const F = FaultEvent.f;

/** The event queue and its thread: stalled faults are handled, everything else is dumped and counted (SMMU-30). */
export class Events {
  readonly smmu: Smmu;
  readonly queue: OutputQueue;
  /** Unhandled events by event number. */
  readonly counts = new Map<number, number>();

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.queue = new OutputQueue(smmu, {
      name: 'EVTQ',
      owner: 'event queue',
      base: EVENTQ_BASE,
      prod: EVENTQ_PROD,
      cons: EVENTQ_CONS,
      bytes: EVENT_BYTES,
    });
    smmu.kernel.checkpoints.keepMap(this.counts);
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
    const { masters } = this.smmu;
    const sid = H.sid.get(record);
    // Held until the report is done: the device must not be released meanwhile (IOPF-26).
    const lock = yield* masters.lockStreams();
    const master = yield* masters.lookUp(sid);
    try {
      if (this.isStalled(record)) yield* this.reportStalled(sid, master, this.decode(record), record);
      else this.dump(record, master);
    } finally {
      masters.putLookup(master);
      masters.unlockStreams(lock);
    }
  }

  /** A transaction that waits for a RESUME; every other record tells of one that is over. */
  isStalled(record: Uint32Array): boolean {
    return STALLABLE_FAULTS.includes(H.eventId.get(record)) && F.stall.get(record) === 1;
  }

  /** A stalled transaction is a group of one request, named by its stall tag. */
  decode(record: Uint32Array): PageRequest {
    const perm =
      (F.rnw.get(record) === 1 ? PERM.READ : PERM.WRITE) |
      (F.ind.get(record) === 1 ? PERM.EXEC : 0) |
      (F.pnu.get(record) === 1 ? PERM.PRIV : 0);
    const [lo, hi] = [F.inputAddr.getLo(record), F.inputAddr.getHi(record)];
    return {
      pasid: F.ssv.get(record) === 1 ? F.ssid.get(record) : null,
      group: F.stag.get(record),
      address: (BigInt(hi) << 32n) | BigInt((lo & ~0xfff) >>> 0),
      perm,
      last: true,
      privateData: null,
      stall: true,
    };
  }

  *reportStalled(sid: number, master: Master | null, request: PageRequest, record: Uint32Array): Coroutine<void> {
    try {
      if (master?.iopf) return yield* this.smmu.core.faults.report(master.device, request);
    } catch (error) {
      if (!isIommuError(error)) throw error;
    }
    this.dump(record, master);
    yield* this.refuse(sid, request);
  }

  /** Nobody can handle the fault: the transaction ends, or it would wait for ever (IOPF-9, SMMU-31). */
  refuse(sid: number, { group }: PageRequest): Coroutine<void> {
    return this.resume(sid, group, false);
  }

  /** Lets a stalled transaction go on. Each gets exactly one RESUME, and no SYNC follows (SMMU-31). */
  respond(master: Master, response: PageResponse): Coroutine<void> {
    return this.resume(master.device.streams[0]!, response.group, response.code === RESPONSE.SUCCESS);
  }

  resume(sid: number, stag: number, retry: boolean): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    addResume(batch, sid, stag, retry);
    return commands.submit(batch);
  }

  /**
   * Ends what is stalled of a device whose streams abort by now (smmuv3.md 5.4): commands that answer these transactions
   * later do nothing.
   */
  *terminateStalls({ device }: Master): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    for (const sid of device.streams) {
      if (batch.full) yield* commands.flush(batch);
      addStallTerm(batch, sid);
    }
    yield* commands.submitAndSync(batch);
  }

  dump(record: Uint32Array, master: Master | null): void {
    const id = H.eventId.get(record);
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
    const { trace } = this.smmu.kernel;
    if (!trace.wants(smmuEvent)) return;
    trace.emit(smmuEvent, {
      smmu: this.smmu.name,
      words: record.slice(),
      event: eventName(id),
      client: master?.device.name ?? '(unassigned sid)',
      sid: H.sid.get(record),
      ssid: H.ssid.get(record),
    });
  }

  /** No stalled transaction is ever lost (smmuv3.md 5.4): nothing is discarded. */
  *recover(): Coroutine<void> {
    const { trace } = this.smmu.kernel;
    if (trace.on) trace.emit(smmuOverflow, { smmu: this.smmu.name, queue: 'EVTQ' });
    yield* this.queue.acknowledgeOverflow();
  }

  /** Waits until every event that is in the queue now has been reported (IOPF-28). */
  *flush(): Coroutine<void> {
    yield* this.queue.flush();
  }
}
