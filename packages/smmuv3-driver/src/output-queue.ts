import { type Coroutine, type DmaMemory, type Mmio, type Step, WaitQueue } from '@iommukit/kernel';
import { RingPositions } from './ring-positions.js';
import type { Smmu } from './smmu.js';

/** The registers of a queue that the hardware fills. */
export interface OutputQueueRegisters {
  /** `PRIQ`, `EVTQ`: in reports. */
  readonly name: string;
  readonly owner: string;
  readonly base: { readonly offset: number; make(values: { log2size: number; addr: number; wa: number }): Uint32Array };
  readonly prod: { readonly offset: number; readonly f: { readonly ovflg: { of(value: number): number } } };
  readonly cons: { readonly offset: number; pack(values: { rd: number; ovackflg: number }): number };
  /** Bytes of a record. */
  readonly bytes: number;
}

/**
 * A queue that the hardware fills and one thread drains (smmuv3.md 5.6). Positions count for ever, so that others can
 * wait until everything that is in the queue now has been handled (IOPF-28).
 */
export class OutputQueue {
  readonly smmu: Smmu;
  readonly dma: DmaMemory;
  readonly mmio: Mmio;
  readonly registers: OutputQueueRegisters;
  /** The record that was taken last. Only the queue's own thread takes records. */
  readonly record: Uint32Array;
  /** Positions, where the ring is, and the overflow flags as last seen and as last acknowledged. */
  readonly state = { pa: 0, produced: 0, consumed: 0, handled: 0, ovflg: 0, ovackflg: 0, overflows: 0 };
  readonly progress: WaitQueue;
  ring = new RingPositions(0);
  log2Entries = 0;

  constructor(smmu: Smmu, registers: OutputQueueRegisters) {
    this.smmu = smmu;
    this.dma = smmu.device.dma;
    this.mmio = smmu.mmio;
    this.registers = registers;
    this.record = new Uint32Array(registers.bytes / 4);
    this.progress = new WaitQueue(smmu.kernel, `${registers.name} to be drained`);
    smmu.kernel.checkpoints.keep(this.state);
  }

  /** Allocates the ring: 2^`log2Entries` records. */
  *prepare(log2Entries: number): Coroutine<void> {
    this.log2Entries = log2Entries;
    this.ring = new RingPositions(log2Entries);
    this.state.pa = yield* this.dma.alloc(
      this.ring.entries * this.registers.bytes,
      `${this.smmu.name} ${this.registers.owner}`,
    );
  }

  /** Tells the hardware where the empty ring is. The queue must be off. */
  *program(): Coroutine<void> {
    const { base, prod, cons } = this.registers;
    const [lo, hi] = base.make({ log2size: this.log2Entries, addr: this.state.pa, wa: 1 });
    Object.assign(this.state, { produced: 0, consumed: 0, handled: 0, ovflg: 0, ovackflg: 0 });
    yield* this.mmio.write64(base.offset, lo!, hi!);
    yield* this.mmio.write32(prod.offset, 0);
    yield* this.mmio.write32(cons.offset, 0);
  }

  /** Takes the next record into {@link record} and gives its slot back, before anybody answers it (PCI-9). False: empty. */
  *next(): Coroutine<boolean> {
    if (this.state.produced === this.state.consumed) yield* this.readProducer();
    if (this.state.produced === this.state.consumed) return false;
    yield* this.copyRecord();
    this.state.consumed++;
    yield* this.writeConsumer();
    return true;
  }

  copyRecord(): Step<void> {
    const pa = this.state.pa + this.ring.index(this.state.consumed) * this.registers.bytes;
    return this.dma.loadWords(pa, this.record);
  }

  /** Everything that was taken has been handled. */
  markHandled(): void {
    this.state.handled = this.state.consumed;
    this.smmu.kernel.touch(this.progress.footprint, true);
    this.progress.wake();
  }

  /** Waits until the thread has handled everything that is in the queue now. True if the queue has overflowed. */
  *flush(): Coroutine<boolean> {
    const target = yield* this.flushTarget();
    yield* this.progress.wait(() => this.state.handled >= target);
    return this.overflowed;
  }

  /** The position up to which {@link flush} waits: where the hardware is now. The record being handled counts as well. */
  flushTarget(): Coroutine<number> {
    return this.readProducer();
  }

  /** Where the hardware is now. */
  *readProducer(): Coroutine<number> {
    const value = yield* this.mmio.read32(this.registers.prod.offset);
    this.state.produced = this.ring.advance(this.state.consumed, value);
    this.state.ovflg = this.registers.prod.f.ovflg.of(value);
    return this.state.produced;
  }

  /** True if the hardware lost records and nobody has acknowledged that. */
  get overflowed(): boolean {
    return this.state.ovflg !== this.state.ovackflg;
  }

  /** Acknowledges an overflow. The queue is empty (IOPF-15). */
  acknowledgeOverflow(): Step<void> {
    this.state.overflows++;
    this.state.ovackflg = this.state.ovflg;
    return this.writeConsumer();
  }

  writeConsumer(): Step<void> {
    const { cons } = this.registers;
    const { consumed, ovackflg } = this.state;
    return this.mmio.write32(cons.offset, cons.pack({ rd: this.ring.register(consumed), ovackflg }));
  }
}
