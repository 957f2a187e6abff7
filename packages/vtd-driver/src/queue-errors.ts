import type { Coroutine } from '@iommukit/kernel';
import { DESCRIPTOR, DeviceTlbInv, FSTS, InvWait256, IQEI, IQERCD, IQH, PasidDeviceTlbInv } from '@iommukit/vtd-spec';
import { DESCRIPTOR_WORDS, type DescriptorBatch } from './descriptor-batch.js';
import { SLOT } from './invalidation-queue.js';
import { vtdQueueError } from './queue-points.js';
import type { Vtd } from './vtd.js';

/** Errors that the descriptor at the head has nothing to do with. */
const OF_THE_TAIL: readonly number[] = [IQEI.TAIL, IQEI.TAIL_ALIGN];

/** What becomes of errors of the invalidation queue (vtd.md 3.13). Called by the fault thread; takes no lock of the queue. */
export class QueueErrors {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** @param status FSTS as it was read */
  *handle(status: number): Coroutine<void> {
    const { iqe, ite, ice } = FSTS.unpack(status);
    if (iqe === 1) yield* this.queueError();
    if (ite === 1) yield* this.timeoutError();
    if (ice === 1) yield* this.completionError();
  }

  /** The queue stands at a descriptor: it becomes one without effect, and its batch fails. */
  *queueError(): Coroutine<void> {
    const { queue } = this.vtd;
    const iqei = IQERCD.f.iqei.of(yield* this.errorRecord(0));
    const position = yield* this.headPosition();
    const head = yield* this.load(position);
    this.report('IQE', iqei, head, yield* this.load(position - 1 + queue.state.entries));
    queue.state.errors++;
    if (OF_THE_TAIL.includes(iqei)) yield* queue.ringDoorbell();
    else if (iqei !== IQEI.FETCH && iqei !== IQEI.WIDTH && iqei !== IQEI.TTM) yield* this.skip(position, iqei);
    yield* this.clear({ iqe: 1 });
  }

  /** Only a batch of whose descriptors one was refused fails; the others are executed. */
  *skip(position: number, iqei: number): Coroutine<void> {
    const { queue } = this.vtd;
    const batch = queue.pending.find(({ wait }) => wait >= position);
    if (batch !== undefined) batch.refused = iqei + 1;
    // A refused wait would never complete its batch.
    const wait = { fn: 1, ...(batch?.wait === position && { fn: 0, sw: 1, ...this.statusWrite(position) }) };
    yield* queue.store(position, InvWait256.make(wait), 0);
  }

  statusWrite(position: number): { statusData: number; statusAddress: number } {
    return { statusData: SLOT.DONE, statusAddress: this.vtd.queue.statusOf(position) };
  }

  /** A device did not answer: waits that were fetched never complete, so everybody who waits for one is told (L51). */
  *timeoutError(): Coroutine<void> {
    const sid = IQERCD.f.itesid.of(0, yield* this.errorRecord(4));
    this.report('ITE', sid, null, null);
    yield* this.abortWaits(yield* this.headPosition());
    yield* this.clear({ ite: 1 });
  }

  /** Every wait before `head` that has not completed. */
  *abortWaits(head: number): Coroutine<void> {
    const { queue } = this.vtd;
    for (const batch of [...queue.pending]) {
      if (batch.wait < head && !queue.isThrough(batch)) yield* this.abort(batch.wait);
    }
  }

  *abort(wait: number): Coroutine<void> {
    const { queue } = this.vtd;
    yield* queue.dma.store64(queue.statusOf(wait), SLOT.ABORTED, 0);
  }

  /** A completion that nobody asked for: said, and forgotten. */
  *completionError(): Coroutine<void> {
    const sid = IQERCD.f.icesid.of(0, yield* this.errorRecord(4));
    this.report('ICE', sid, null, null);
    yield* this.clear({ ice: 1 });
  }

  /** Takes device-TLB descriptors for devices that are gone out of a batch; nothing of theirs can be in use. Returns how many. */
  *dropGone(batch: DescriptorBatch): Coroutine<number> {
    let dropped = 0;
    for (let i = batch.count - 1; i >= 0; i--) {
      const sid = this.targetOf(batch.words, i * DESCRIPTOR_WORDS);
      if (sid < 0 || !(yield* this.vtd.masters.noticeGone(sid))) continue;
      batch.remove(i);
      dropped++;
    }
    return dropped;
  }

  /** The requester whose device-TLB a descriptor is for, or -1. */
  targetOf(words: Uint32Array, at: number): number {
    const type = words[at]! & 0xf;
    if (type === DESCRIPTOR.DEVICE_TLB) return DeviceTlbInv.f.sid.get(words, at);
    return type === DESCRIPTOR.PASID_DEVICE_TLB ? PasidDeviceTlbInv.f.sid.get(words, at) : -1;
  }

  /** Where the hardware reads next. */
  *headPosition(): Coroutine<number> {
    const { mmio, queue } = this.vtd;
    const head = IQH.f.qh.of(yield* mmio.read32(IQH.offset), 0);
    return queue.positionAt(head / queue.stride);
  }

  *errorRecord(half: 0 | 4): Coroutine<number> {
    return yield* this.vtd.mmio.read32(IQERCD.offset + half);
  }

  *load(position: number): Coroutine<Uint32Array> {
    const { queue } = this.vtd;
    const words = new Uint32Array(queue.stride / 4);
    yield* queue.dma.loadWords(queue.addressOf(position), words);
    return words;
  }

  *clear(what: { iqe: 1 } | { ite: 1 } | { ice: 1 }): Coroutine<void> {
    yield* this.vtd.mmio.write32(FSTS.offset, FSTS.pack(what));
  }

  report(error: 'IQE' | 'ITE' | 'ICE', detail: number, head: Uint32Array | null, prior: Uint32Array | null): void {
    const { trace } = this.vtd.kernel;
    if (trace.wants(vtdQueueError)) trace.emit(vtdQueueError, { unit: this.vtd.name, error, detail, head, prior });
  }
}
