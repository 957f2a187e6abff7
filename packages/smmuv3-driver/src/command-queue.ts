import { type Coroutine, type DmaMemory, IommuError, isIommuError, Spinlock, type Step } from '@iommukit/kernel';
import { CERROR, CMDQ_BASE, CMDQ_CONS, CMDQ_PROD } from '@iommukit/smmuv3-spec';
import { BATCH_COMMANDS, COMMAND_WORDS, CommandBatch } from './command-batch.js';
import { addSync, SYNC_NO_SIGNAL } from './commands.js';
import { smmuCommandError, smmuCommandTimeout, timeoutText } from './error-points.js';
import { RingPositions } from './ring-positions.js';
import type { Smmu } from './smmu.js';

/** How long a SYNC, or room in the ring, is waited for (ns). */
const LIMIT_NS = 1e9;
/**
 * The same where devices have caches: one that is gone keeps a SYNC until the SMMU has given it up, after about a minute
 * (pcie-ats.md P-7). The SMMU's limit must come first.
 */
const LIMIT_WITH_ATS_NS = 100e9;

/** IIDR of an MMU-700, revisions and variants aside: the last SYNC of several batches does not wait for all of them. */
const MMU_700 = 0x4870043b;
const IIDR_PRODUCT = 0xfff00fff;

/**
 * The command queue. Every batch that must have taken effect ends with a SYNC of its own, and {@link submitAndSync}
 * returns when the hardware has consumed it. A ring smaller than a batch works.
 */
export class CommandQueue {
  readonly smmu: Smmu;
  readonly dma: DmaMemory;
  readonly lock: Spinlock;
  /** Positions (see {@link RingPositions}) and where the ring is. */
  readonly state = { pa: 0, produced: 0, consumed: 0, errors: 0 };
  readonly spare: CommandBatch[] = [];
  ring: RingPositions;
  log2Entries: number;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.dma = smmu.device.dma;
    this.lock = new Spinlock(smmu.kernel, 'smmuv3 command queue');
    this.log2Entries = 0;
    this.ring = new RingPositions(0);
    smmu.kernel.checkpoints.keep(this.state);
  }

  /** Allocates the ring: 2^`log2Entries` commands. */
  *prepare(log2Entries: number): Coroutine<void> {
    this.log2Entries = log2Entries;
    this.ring = new RingPositions(log2Entries);
    this.state.pa = yield* this.dma.alloc(this.ring.entries * 16, `${this.smmu.name} command queue`);
  }

  /** Tells the hardware where the empty ring is. The queue must be off (smmuv3.md 1.5). */
  *program(): Coroutine<void> {
    const { mmio } = this.smmu;
    const base = CMDQ_BASE.make({ log2size: this.log2Entries, addr: this.state.pa, ra: 1 });
    this.state.produced = 0;
    this.state.consumed = 0;
    yield* mmio.write64(CMDQ_BASE.offset, base[0], base[1]);
    yield* mmio.write32(CMDQ_PROD.offset, 0);
    yield* mmio.write32(CMDQ_CONS.offset, 0);
  }

  /** An empty batch. Goes back by {@link submit} or {@link submitAndSync}. */
  batch(): CommandBatch {
    return this.spare.pop() ?? new CommandBatch(this.batchLimit());
  }

  /** SMMU-25: an MMU-700 has every batch end with a SYNC of its own, and needs its place. */
  batchLimit(): number {
    return this.syncsEveryBatch() ? BATCH_COMMANDS - 1 : BATCH_COMMANDS;
  }

  syncsEveryBatch(): boolean {
    return (this.smmu.features.implementation & IIDR_PRODUCT) >>> 0 === MMU_700;
  }

  /** Sends what a full batch holds, so that it takes more: `if (batch.full) yield* queue.flush(batch)`. */
  *flush(batch: CommandBatch): Coroutine<void> {
    const syncs = this.syncsEveryBatch();
    if (syncs) addSync(batch);
    const position = yield* this.insert(batch);
    batch.clear();
    if (syncs) yield* this.waitForSync(position);
  }

  /** Sends a batch, and does not wait: page-request responses. */
  *submit(batch: CommandBatch): Coroutine<void> {
    yield* this.insert(batch);
    this.giveBack(batch);
  }

  /**
   * Sends a batch and a SYNC, and waits until all of it has taken effect.
   * @throws IommuError ETIMEDOUT when the hardware does not get there
   */
  *submitAndSync(batch: CommandBatch): Coroutine<void> {
    addSync(batch);
    const position = yield* this.insert(batch);
    this.giveBack(batch);
    yield* this.waitForSync(position);
  }

  giveBack(batch: CommandBatch): void {
    batch.clear();
    this.spare.push(batch);
  }

  /** Puts a batch into the ring; other batches stay in front or behind. Returns the position after its last command. */
  *insert(batch: CommandBatch): Coroutine<number> {
    const lock = yield* this.lock.acquire();
    try {
      for (let i = 0; i < batch.count; i++) {
        if (this.isFull()) yield* this.waitForSpace();
        yield* this.storeCommand(batch.words, i * COMMAND_WORDS);
        this.state.produced++;
      }
      yield* this.ringDoorbell();
      return this.state.produced;
    } finally {
      lock.release();
    }
  }

  storeCommand(words: Uint32Array, at: number): Step<void> {
    const pa = this.state.pa + 16 * this.ring.index(this.state.produced);
    return this.dma.storeWords(pa, words, at, COMMAND_WORDS / 2);
  }

  ringDoorbell(): Step<void> {
    return this.smmu.mmio.write32(CMDQ_PROD.offset, this.ring.register(this.state.produced));
  }

  isFull(): boolean {
    return this.state.produced - this.state.consumed >= this.ring.entries;
  }

  /** The hardware must know what is in the ring before it can make room. Called with the lock held: nothing here sleeps. */
  *waitForSpace(): Coroutine<void> {
    yield* this.ringDoorbell();
    yield* this.waitUntil(() => !this.isFull(), 0);
  }

  /** Waits until the hardware has consumed everything before `position`; a SYNC is consumed when it completes (4.4). */
  waitForSync(position: number): Coroutine<void> {
    return this.waitUntil(() => this.state.consumed >= position, position);
  }

  /** `position` is after the SYNC that is waited for, 0 for room in the ring. */
  *waitUntil(test: () => boolean, position: number): Coroutine<void> {
    const look = (cons: number): boolean => {
      this.state.consumed = this.ring.advance(this.state.consumed, cons);
      return test();
    };
    try {
      yield* this.smmu.mmio.until32(CMDQ_CONS.offset, look, this.limitNs());
    } catch (error) {
      if (!isIommuError(error, 'ETIMEDOUT')) throw error;
      throw this.timeout(position);
    }
  }

  /** Nobody waits for ever, whatever the hardware does. */
  limitNs(): number {
    return this.smmu.features.ats ? LIMIT_WITH_ATS_NS : LIMIT_NS;
  }

  /** What was sent stays in the ring: hardware that goes on executes it, and later commands behind it. */
  timeout(position: number): IommuError {
    const { kernel, name } = this.smmu;
    const [prod, cons] = [this.ring.register(this.state.produced), this.ring.register(this.state.consumed)];
    const at = position === 0 ? 0 : this.ring.register(position - 1);
    const record = { smmu: name, sync: position !== 0, at, prod, cons };
    if (kernel.trace.wants(smmuCommandTimeout)) kernel.trace.emit(smmuCommandTimeout, record);
    return new IommuError('ETIMEDOUT', `${name}: ${timeoutText(record)}`, {
      rule: 'SMMU-25',
      remedy: 'reset the SMMU: what was to be invalidated may still be in use',
    });
  }

  /**
   * The hardware stopped at a command (4.4). The error is acknowledged by the caller afterwards, and then the command is
   * fetched again. Takes no lock: who holds it may be waiting for room.
   */
  *handleError(): Coroutine<void> {
    const cons = yield* this.smmu.mmio.read32(CMDQ_CONS.offset);
    const error = CMDQ_CONS.f.err.of(cons);
    this.state.errors++;
    if (error === CERROR.ILL) yield* this.skipIllegal(cons);
    else if (error === CERROR.ATC_INV_SYNC) yield* this.retrySync(cons);
    else yield* this.retryFetch(cons, error);
  }

  /** CERROR_ILL: the command becomes a SYNC without effect. */
  *skipIllegal(cons: number): Coroutine<void> {
    const pa = this.state.pa + 16 * (cons & (this.ring.entries - 1));
    const command = new Uint32Array(COMMAND_WORDS);
    yield* this.dma.loadWords(pa, command);
    this.report(cons, CERROR.ILL, command);
    yield* this.dma.storeWords(pa, SYNC_NO_SIGNAL, 0, COMMAND_WORDS / 2);
  }

  /** CERROR_ATC_INV_SYNC: an endpoint did not answer an invalidation in time. The SYNC runs again, and nothing is skipped. */
  *retrySync(cons: number): Coroutine<void> {
    this.report(cons, CERROR.ATC_INV_SYNC, null);
  }

  /** CERROR_ABT, and what the architecture may add: fetch again. */
  *retryFetch(cons: number, error: number): Coroutine<void> {
    this.report(cons, error, null);
  }

  report(cons: number, error: number, command: Uint32Array | null): void {
    const { trace } = this.smmu.kernel;
    if (trace.wants(smmuCommandError)) trace.emit(smmuCommandError, { smmu: this.smmu.name, cons, error, command });
  }
}
