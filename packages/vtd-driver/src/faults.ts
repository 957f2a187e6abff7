import type { Coroutine } from '@iommukit/kernel';
import { FEADDR, FECTL, FEDATA, FEUADDR, FRCD, FRCD_BYTES, FRCD_F, FRCD_WORDS, FSTS } from '@iommukit/vtd-spec';
import { isInterruptFault, vtdFault, vtdFaultStatus } from './fault-points.js';
import type { Vtd } from './vtd.js';

const F = FRCD.f;
/** What the fault event tells of: records, their overflow, and errors of the invalidation queue. */
const CAUSES = FSTS.f.pfo.maskLo | FSTS.f.ppf.maskLo | FSTS.f.iqe.maskLo | FSTS.f.ice.maskLo | FSTS.f.ite.maskLo;

/** Messages to this address are interrupts. */
const MESSAGE_ADDRESS = 0xfee00000;

/** The offsets of one event block; the three have one shape (vtd.md 1.1). */
export interface EventBlock {
  readonly control: number;
  readonly data: number;
  readonly address: number;
  readonly upper: number;
}

const FAULT_EVENT: EventBlock = {
  control: FECTL.offset,
  data: FEDATA.offset,
  address: FEADDR.offset,
  upper: FEUADDR.offset,
};

/** The fault event and its thread: records are logged and given back, queue errors mended (VTD-49). */
export class Faults {
  readonly vtd: Vtd;
  /** Fault records by reason. */
  readonly counts = new Map<number, number>();
  readonly words = new Uint32Array(4);

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    vtd.kernel.checkpoints.keepMap(this.counts);
  }

  /** Connects the thread, and takes what was left of others (VTD-49). */
  *start(): Coroutine<void> {
    yield* this.arm(FAULT_EVENT, 0x20);
    this.vtd.device.irq('fault').handle(() => this.work());
    yield* this.forget();
  }

  /** What an earlier owner's faults left is nobody's: F of every record, then the status. */
  *forget(): Coroutine<void> {
    const { records } = this.vtd.features;
    for (let i = 0; i < records; i++) yield* this.clear(i);
    yield* this.vtd.mmio.write32(FSTS.offset, CAUSES);
  }

  /** Lets an event send its message. The address comes first: a held message goes out when the mask does. */
  *arm({ control, data, address, upper }: EventBlock, vector: number): Coroutine<void> {
    const { mmio } = this.vtd;
    yield* mmio.write32(data, vector);
    yield* mmio.write32(address, MESSAGE_ADDRESS);
    yield* mmio.write32(upper, 0);
    yield* mmio.write32(control, 0);
  }

  /**
   * The interrupt thread. An event comes only when no cause was set before, so the thread looks again until none is.
   */
  *work(): Coroutine<void> {
    for (;;) {
      const status = yield* this.vtd.mmio.read32(FSTS.offset);
      if ((status & CAUSES) === 0) return;
      this.traceStatus(status);
      yield* this.vtd.queueErrors.handle(status);
      if (FSTS.f.ppf.of(status) === 1) yield* this.readRecords(FSTS.f.fri.of(status));
      yield* this.acknowledge();
    }
  }

  /**
   * From the first pending record on, round and round, to the first that holds nothing (vtd.md 5.4). Not before: FRI says where
   * the first was when PPF was set, and who stops in the middle is not told where to go on.
   */
  *readRecords(first: number): Coroutine<void> {
    const { records } = this.vtd.features;
    for (let index = first; yield* this.readRecord(index); index = (index + 1) % records) {
      this.report();
      yield* this.clear(index);
    }
  }

  /** The last word first: without F in it there is no record (vtd.md 1.8). */
  *readRecord(index: number): Coroutine<boolean> {
    const { mmio } = this.vtd;
    const { words } = this;
    const at = this.recordAt(index);
    words[3] = yield* mmio.read32(at + FRCD_WORDS.reason);
    if (F.f.get(words) === 0) return false;
    words[2] = yield* mmio.read32(at + FRCD_WORDS.source);
    words[0] = yield* mmio.read32(at + FRCD_WORDS.fiLow);
    words[1] = yield* mmio.read32(at + FRCD_WORDS.fiHigh);
    return true;
  }

  /** The record may be used again. */
  *clear(index: number): Coroutine<void> {
    yield* this.vtd.mmio.write32(this.recordAt(index) + FRCD_WORDS.reason, FRCD_F);
  }

  recordAt(index: number): number {
    return this.vtd.features.recordsAt + index * FRCD_BYTES;
  }

  /** Last: while PFO is set no new record is taken (vtd.md 5.4). Its extended-mode neighbour PRO is not of this thread. */
  *acknowledge(): Coroutine<void> {
    yield* this.vtd.mmio.write32(FSTS.offset, FSTS.f.pfo.maskLo | FSTS.f.ppf.maskLo);
  }

  report(): void {
    const { words } = this;
    const reason = F.fr.get(words);
    this.counts.set(reason, (this.counts.get(reason) ?? 0) + 1);
    const { trace } = this.vtd.kernel;
    if (!trace.wants(vtdFault)) return;
    const address = (BigInt(words[1]!) << 32n) | BigInt((words[0]! & ~0xfff) >>> 0);
    trace.emit(vtdFault, {
      unit: this.vtd.name,
      read: F.t1.get(words) === 1,
      sid: F.sid.get(words),
      pasid: F.pp.get(words) === 1 ? F.pv.get(words) : null,
      address: isInterruptFault(reason) ? address >> 48n : address,
      reason,
    });
  }

  traceStatus(status: number): void {
    const { trace } = this.vtd.kernel;
    if (trace.wants(vtdFaultStatus)) trace.emit(vtdFaultStatus, { unit: this.vtd.name, status });
  }
}
