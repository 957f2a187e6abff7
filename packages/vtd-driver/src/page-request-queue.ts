import { type Coroutine, type DmaMemory, type Mmio, type Step, type Task, WaitQueue } from '@iommukit/kernel';
import { PAGE_REQUEST_BYTES, PEADDR, PECTL, PEDATA, PEUADDR, PQA, PQH, PQT, PRS } from '@iommukit/vtd-spec';
import type { EventBlock } from './faults.js';
import { queueSizeField } from './settings.js';
import type { Vtd } from './vtd.js';

/** The page request event. */
const PAGE_REQUEST_EVENT: EventBlock = {
  control: PECTL.offset,
  data: PEDATA.offset,
  address: PEADDR.offset,
  upper: PEUADDR.offset,
};
const VECTOR = 0x21;
/** The bits of PRS that are cleared by writing 1. */
const PENDING = PRS.pack({ ppr: 1 });
const OVERFLOW = PRS.pack({ pro: 1 });

/** Where the reader of the ring is and where the hardware was, as byte offsets. */
export interface Pointers {
  readonly head: number;
  readonly tail: number;
}

/** The ring of page requests, which the hardware fills, and its registers (vtd.md 1.10). */
export class PageRequestQueue {
  readonly vtd: Vtd;
  readonly dma: DmaMemory;
  readonly mmio: Mmio;
  /** `passes`: how often the thread went through the ring; `overflows`: how often it found requests lost. */
  readonly state: {
    pa: number;
    bytes: number;
    passes: number;
    overflows: number;
    sequence: number;
    worker: Task | null;
  };
  /** A pass of the thread is over. */
  readonly progress: WaitQueue;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.dma = vtd.device.dma;
    this.mmio = vtd.mmio;
    this.state = { pa: 0, bytes: 0, passes: 0, overflows: 0, sequence: 0, worker: null };
    this.progress = new WaitQueue(vtd.kernel, 'the page request thread to go through its queue');
    vtd.kernel.checkpoints.keep(this.state);
  }

  /** Bytes of a request. */
  get entryBytes(): number {
    return PAGE_REQUEST_BYTES;
  }

  /** Requests that the ring could hold; it is full with one less. */
  get entries(): number {
    return this.state.bytes / this.entryBytes;
  }

  /** The bits of PQH and PQT that count. */
  get mask(): number {
    return this.state.bytes - this.entryBytes;
  }

  /** Allocates the ring. @throws IommuError EINVAL for a number of entries that it cannot have, ENOMEM */
  *prepare(entries: number): Coroutine<void> {
    const { name } = this.vtd;
    queueSizeField(entries, this.entryBytes, `the page request queue of ${name}`);
    this.state.bytes = entries * this.entryBytes;
    this.state.pa = yield* this.dma.alloc(this.state.bytes, `${name} page request queue`);
  }

  /** Tells the hardware where the empty ring is, and lets it send interrupts (vtd.md 1.10). */
  *program(): Coroutine<void> {
    const { pa, bytes } = this.state;
    const [lo, hi] = PQA.make({ pqa: pa, pqs: Math.log2(bytes / 4096) });
    yield* this.mmio.write64(PQH.offset, 0, 0);
    yield* this.mmio.write64(PQT.offset, 0, 0);
    yield* this.mmio.write64(PQA.offset, lo!, hi!);
    yield* this.vtd.faults.arm(PAGE_REQUEST_EVENT, VECTOR);
  }

  /** Where reader and hardware are. */
  *readPointers(): Coroutine<Pointers> {
    const tail = (yield* this.mmio.read32(PQT.offset)) & this.mask;
    const head = (yield* this.mmio.read32(PQH.offset)) & this.mask;
    return { head, tail };
  }

  /** The next request after the one at an offset. */
  next(at: number): number {
    return (at + this.entryBytes) & this.mask;
  }

  loadEntry(at: number, out: Uint32Array): Step<void> {
    return this.dma.loadWords(this.state.pa + at, out);
  }

  /** The hardware may use the slots before `tail` again: those that were read, and no others (VTD-32). */
  acknowledge(tail: number): Step<void> {
    return this.mmio.write64(PQH.offset, tail, 0);
  }

  /** The next request raises an interrupt again. */
  clearPending(): Step<void> {
    return this.mmio.write32(PRS.offset, PENDING);
  }

  /** The hardware lost requests, and takes none until it is told to. */
  *overflowed(): Coroutine<boolean> {
    return PRS.f.pro.of(yield* this.mmio.read32(PRS.offset)) === 1;
  }

  *clearOverflow(): Coroutine<void> {
    yield* this.mmio.write32(PRS.offset, OVERFLOW);
  }

  // ── passes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  beginPass(): void {
    this.state.worker = this.vtd.kernel.self();
  }

  endPass(): void {
    this.state.worker = null;
    this.state.passes++;
    this.progress.wake();
  }

  /** Waits for the end of a pass after the `mark`-th. The thread itself must not: it would wait for itself (INV-10). */
  *awaitPass(mark: number): Coroutine<void> {
    const { kernel, name } = this.vtd;
    const task = kernel.self();
    if (task === this.state.worker) {
      kernel.violate('INV-10', `${task.name} drains the page requests of ${name}, which it is reading`);
    }
    yield* this.progress.wait(() => this.state.passes > mark);
  }
}
