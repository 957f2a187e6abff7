import { type Coroutine, type DmaMemory, IommuError, Spinlock, type Step } from '@iommukit/kernel';
import { DESCRIPTOR_128_BYTES, DESCRIPTOR_256_BYTES, InvWait256, IQA, IQT } from '@iommukit/vtd-spec';
import { DESCRIPTOR_WORDS, DescriptorBatch } from './descriptor-batch.js';
import { qiSubmit, timeoutText, vtdQueueTimeout } from './queue-points.js';
import { queueSizeField } from './settings.js';
import type { Vtd } from './vtd.js';

const { pd, statusAddress } = InvWait256.f;

/** What the status word of a batch's wait holds (vtd.md 3.13): hardware writes DONE. */
export const SLOT = { FREE: 0, IN_USE: 1, DONE: 2, ABORTED: 3 } as const;

/** Status words lie apart, so that each is a 64-bit word of its own. */
const STATUS_BYTES = 8;

/** How long a wait, or room in the ring, is waited for (ns). */
const LIMIT_NS = 1e9;
/** The same where devices have caches: the unit gives up one that is gone after about a minute, and must come first (P-7). */
const LIMIT_WITH_ATS_NS = 100e9;

/** How often a batch goes to a device that does not answer. */
const ATTEMPTS = 3;

/** A batch in the ring, from its first descriptor to its wait. */
export interface PendingBatch {
  /** Position of its wait descriptor. */
  readonly wait: number;
  /** One of {@link SLOT}, as last seen. */
  status: number;
  /** IQEI + 1 of a descriptor that the hardware refused; 0: none. */
  refused: number;
}

/**
 * The invalidation queue. Behind every batch goes a wait descriptor that writes a status word in memory (vtd.md 3.13);
 * {@link submitAndSync} returns when it has. Positions count for ever.
 */
export class InvalidationQueue {
  readonly vtd: Vtd;
  readonly dma: DmaMemory;
  readonly lock: Spinlock;
  readonly state = { pa: 0, status: 0, entries: 0, produced: 0, consumed: 0, errors: 0 };
  /** Batches whose slots are not free yet, the oldest first. */
  readonly pending: PendingBatch[];
  readonly spare: DescriptorBatch[] = [];
  /** The wait behind a batch; made under the lock, for one batch after the other. Both widths begin alike. */
  readonly image = InvWait256.make({ sw: 1, statusData: SLOT.DONE });

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.dma = vtd.device.dma;
    this.lock = new Spinlock(vtd.kernel, 'vtd invalidation queue');
    vtd.kernel.checkpoints.keep(this.state);
    this.pending = vtd.kernel.checkpoints.keepList<PendingBatch>([]);
  }

  /** Descriptors have 256 bits: wherever the unit knows scalable mode, but in the extended-context mode (VTD-1). */
  get wide(): boolean {
    return this.vtd.features.smts && this.vtd.mode !== 'ecs';
  }

  /** Bytes of a descriptor. */
  get stride(): number {
    return this.wide ? DESCRIPTOR_256_BYTES : DESCRIPTOR_128_BYTES;
  }

  /** Allocates the ring and its status words. */
  *prepare(entries: number): Coroutine<void> {
    const { name } = this.vtd;
    queueSizeField(entries, this.stride, `the invalidation queue of ${name}`);
    this.state.entries = entries;
    this.state.pa = yield* this.dma.alloc(entries * this.stride, `${name} invalidation queue`);
    this.state.status = yield* this.dma.alloc(entries * STATUS_BYTES, `${name} invalidation status`);
  }

  /** Tells the hardware where the empty ring is; it must be off (VTD-1). */
  *program(): Coroutine<void> {
    const { mmio } = this.vtd;
    const { pa, entries } = this.state;
    Object.assign(this.state, { produced: 0, consumed: 0 });
    this.pending.length = 0;
    const qs = queueSizeField(entries, this.stride, 'the invalidation queue');
    const [lo, hi] = IQA.make({ iqa: pa, qs, dw: this.wide ? 1 : 0 });
    yield* mmio.write64(IQT.offset, 0, 0);
    yield* mmio.write64(IQA.offset, lo!, hi!);
  }

  // ── batches ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An empty batch. Goes back by {@link submit} or {@link submitAndSync}. */
  batch(): DescriptorBatch {
    return this.spare.pop() ?? new DescriptorBatch();
  }

  giveBack(batch: DescriptorBatch): void {
    batch.clear();
    this.spare.push(batch);
  }

  /** Sends what a full batch holds and waits for it, so that it takes more: `if (batch.full) yield* queue.flush(batch)`. */
  *flush(batch: DescriptorBatch): Coroutine<void> {
    yield* this.complete(batch, false);
    batch.clear();
  }

  /** Sends a batch, and does not wait. */
  *submit(batch: DescriptorBatch): Coroutine<void> {
    yield* this.insert(batch, false);
    this.giveBack(batch);
  }

  /**
   * Sends a batch, and waits until all of it has taken effect; with `drain` also until the page requests that came before
   * are in their queue, and answers are sent (VTD-28c).
   * @throws IommuError EIO for a descriptor that the hardware refuses, ETIMEDOUT when it does not get there
   */
  *submitAndSync(batch: DescriptorBatch, drain = false): Coroutine<void> {
    try {
      yield* this.complete(batch, drain);
    } finally {
      this.giveBack(batch);
    }
  }

  /** A batch that was aborted goes again, without what was for devices that are gone (vtd.md 3.13). */
  *complete(batch: DescriptorBatch, drain: boolean): Coroutine<void> {
    for (let attempt = 1; ; attempt++) {
      const pending = yield* this.insert(batch, drain);
      yield* this.waitFor(pending);
      if (pending.refused > 0) throw this.refusal(pending);
      if (pending.status !== SLOT.ABORTED) return;
      const gone = yield* this.vtd.queueErrors.dropGone(batch);
      if (gone === 0 && attempt === ATTEMPTS) throw this.timeout(pending.wait);
    }
  }

  // ── the ring ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Puts a batch and its wait into the ring; other batches stay in front or behind. */
  *insert(batch: DescriptorBatch, drain: boolean): Coroutine<PendingBatch> {
    const lock = yield* this.lock.acquire();
    try {
      this.traceBatch(batch);
      if (this.room() < batch.count + 1) yield* this.waitForRoom(batch.count + 1);
      for (let i = 0; i < batch.count; i++) {
        yield* this.store(this.state.produced, batch.words, i * DESCRIPTOR_WORDS);
        this.state.produced++;
      }
      const pending = yield* this.appendWait(drain);
      yield* this.ringDoorbell();
      return pending;
    } finally {
      lock.release();
    }
  }

  *appendWait(drain: boolean): Coroutine<PendingBatch> {
    const wait = this.state.produced;
    const status = this.statusOf(wait);
    yield* this.dma.store64(status, SLOT.IN_USE, 0);
    pd.set(this.image, drain ? 1 : 0);
    statusAddress.set(this.image, status);
    yield* this.store(wait, this.image, 0);
    this.state.produced++;
    const pending = { wait, status: SLOT.IN_USE, refused: 0 };
    this.pending.push(pending);
    return pending;
  }

  store(position: number, words: Uint32Array, at: number): Step<void> {
    return this.dma.storeWords(this.addressOf(position), words, at, this.stride / 8);
  }

  ringDoorbell(): Step<void> {
    return this.vtd.mmio.write64(IQT.offset, this.indexOf(this.state.produced) * this.stride, 0);
  }

  indexOf(position: number): number {
    return position % this.state.entries;
  }

  addressOf(position: number): number {
    return this.state.pa + this.indexOf(position) * this.stride;
  }

  statusOf(position: number): number {
    return this.state.status + this.indexOf(position) * STATUS_BYTES;
  }

  /** The position that an index in the ring stands for: one that is in use, or the next free one. */
  positionAt(index: number): number {
    const { consumed, entries } = this.state;
    return consumed + ((index - this.indexOf(consumed) + entries) % entries);
  }

  /** Slots that can be filled; one always stays empty, or a full ring would look like an empty one. */
  room(): number {
    this.reclaim();
    const { produced, consumed, entries } = this.state;
    return entries - 1 - (produced - consumed);
  }

  /** Slots of batches that are through are free, in the order of the ring. */
  reclaim(): void {
    for (let oldest = this.pending[0]; oldest !== undefined && this.isThrough(oldest); oldest = this.pending[0]) {
      this.pending.shift();
      this.state.consumed = oldest.wait + 1;
    }
  }

  /** Looks at the status word of a batch, once it is over never again: the slot may be somebody else's by then. */
  isThrough(pending: PendingBatch): boolean {
    if (pending.status === SLOT.IN_USE) pending.status = this.vtd.core.bus.load32(this.statusOf(pending.wait));
    return pending.status !== SLOT.IN_USE;
  }

  /** Called with the lock held: nothing here sleeps. */
  *waitForRoom(slots: number): Coroutine<void> {
    while (this.room() < slots) {
      const [oldest] = this.pending;
      if (!(yield* this.poll(oldest!))) throw this.timeout(null);
    }
  }

  /** Waits until a batch has taken effect, or was aborted. */
  *waitFor(pending: PendingBatch): Coroutine<void> {
    if (!(yield* this.poll(pending))) throw this.timeout(pending.wait);
  }

  /** Parks until the status word of a batch is written; false if the limit came first. */
  poll(pending: PendingBatch): Step<boolean> {
    const status = this.statusOf(pending.wait);
    return this.dma.until(status, () => this.isThrough(pending), 'an invalidation to complete', this.limitNs());
  }

  /** Nobody waits for ever, whatever the hardware does. */
  limitNs(): number {
    return this.vtd.features.dt ? LIMIT_WITH_ATS_NS : LIMIT_NS;
  }

  // ── reports ────────────────────────────────────────────────────────────────────────────────────────────────────

  traceBatch(batch: DescriptorBatch): void {
    const { trace } = this.vtd.kernel;
    if (!trace.wants(qiSubmit)) return;
    for (let i = 0; i < batch.count; i++) {
      const words = batch.words.slice(i * DESCRIPTOR_WORDS, (i + 1) * DESCRIPTOR_WORDS);
      trace.emit(qiSubmit, { unit: this.vtd.name, words });
    }
  }

  refusal({ refused }: PendingBatch): IommuError {
    return new IommuError('EIO', `${this.vtd.name} refuses an invalidation descriptor, IQEI ${refused - 1}`, {
      rule: 'vtd.md 3.13',
    });
  }

  /** `wait` is the position of the wait, null for room in the ring. What was sent stays there: hardware that goes on executes it. */
  timeout(wait: number | null): IommuError {
    const { kernel, name } = this.vtd;
    const { produced, consumed } = this.state;
    const [head, tail] = [this.indexOf(consumed), this.indexOf(produced)];
    const record = { unit: name, wait: wait !== null, slot: this.indexOf(wait ?? 0), head, tail };
    if (kernel.trace.wants(vtdQueueTimeout)) kernel.trace.emit(vtdQueueTimeout, record);
    return new IommuError('ETIMEDOUT', `${name}: ${timeoutText(record)}`, {
      rule: 'vtd.md 3.13',
      remedy: 'reset the unit: what was to be invalidated may still be in use',
    });
  }
}
