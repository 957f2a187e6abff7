import type { Coroutine } from '@iommukit/kernel';
import { CR0, CR0ACK, CR1, CR1_CACHE, CR2, GBPA, IRQ_CTRL, IRQ_CTRLACK, SHAREABILITY } from '@iommukit/smmuv3-spec';
import type { Smmu } from './smmu.js';

/** How long the hardware may take to acknowledge a control register (ns). */
const ACK_LIMIT_NS = 1e9;

/** From whatever state the SMMU was left in to one that translates (SMMU-29). */
export class Reset {
  readonly smmu: Smmu;
  /** CR0 as it was last written. */
  readonly state = { cr0: 0 };

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    smmu.kernel.checkpoints.keep(this.state);
  }

  *run(): Coroutine<void> {
    const { features, streamTable, commands, events, pageRequests, invalidation } = this.smmu;
    yield* this.abortWhatIsUnderWay();
    yield* this.control({ smmuen: 0, priqen: 0, eventqen: 0, cmdqen: 0, atschk: 0 });
    yield* this.attributes();
    yield* streamTable.program();
    yield* commands.program();
    yield* this.control({ cmdqen: 1 });
    yield* invalidation.everyEntry();
    if (features.hypervisor) yield* invalidation.tlbEl2();
    yield* invalidation.tlbAll();
    yield* events.queue.program();
    yield* this.control({ eventqen: 1 });
    if (features.pri) {
      yield* pageRequests.queue.program();
      yield* this.control({ priqen: 1 });
    }
    if (features.ats) yield* this.control({ atschk: 1 });
    yield* this.interrupts();
    yield* this.control({ smmuen: 1 });
  }

  /** An SMMU that translates already belongs to somebody who is gone: from SMMUEN=0 on, its traffic is aborted. */
  *abortWhatIsUnderWay(): Coroutine<void> {
    const { mmio } = this.smmu;
    const cr0 = yield* mmio.read32(CR0.offset);
    if (CR0.f.smmuen.of(cr0) === 0) return;
    const free = (value: number): boolean => GBPA.f.update.of(value) === 0;
    const gbpa = GBPA.unpack(yield* mmio.until32(GBPA.offset, free, ACK_LIMIT_NS));
    yield* mmio.write32(GBPA.offset, GBPA.pack({ ...gbpa, abort: 1, update: 1 }));
    yield* mmio.until32(GBPA.offset, free, ACK_LIMIT_NS);
  }

  /** Changes CR0, and waits until the change has taken effect. */
  *control(change: Partial<Record<'smmuen' | 'priqen' | 'eventqen' | 'cmdqen' | 'atschk', number>>): Coroutine<void> {
    const { mmio } = this.smmu;
    const wanted = CR0.pack({ ...CR0.unpack(this.state.cr0), ...change });
    this.state.cr0 = wanted;
    yield* mmio.write32(CR0.offset, wanted);
    yield* mmio.until32(CR0ACK.offset, (value) => value === wanted, ACK_LIMIT_NS);
  }

  /** Tables and queues are ordinary coherent memory; the streams' world is the kernel's (SMMU-14). */
  *attributes(): Coroutine<void> {
    const { mmio } = this.smmu;
    const [wb, inner] = [CR1_CACHE.WB, SHAREABILITY.INNER];
    const queues = { queueIc: wb, queueOc: wb, queueSh: inner };
    yield* mmio.write32(CR1.offset, CR1.pack({ ...queues, tableIc: wb, tableOc: wb, tableSh: inner }));
    const ptm = this.followsCpus() ? 0 : 1;
    yield* mmio.write32(CR2.offset, CR2.pack({ ptm, recinvsid: 1, e2h: this.smmu.el2 ? 1 : 0 }));
  }

  /** SMMU-16: broadcast TLB maintenance is ignored unless it can be relied on. */
  followsCpus(): boolean {
    return this.smmu.followsCpus;
  }

  *interrupts(): Coroutine<void> {
    const { features } = this.smmu;
    yield* this.interruptControl(0);
    this.smmu.handleInterrupts();
    yield* this.interruptControl(IRQ_CTRL.pack({ gerrorIrqen: 1, eventqIrqen: 1, priqIrqen: features.pri ? 1 : 0 }));
  }

  *interruptControl(wanted: number): Coroutine<void> {
    const { mmio } = this.smmu;
    yield* mmio.write32(IRQ_CTRL.offset, wanted);
    yield* mmio.until32(IRQ_CTRLACK.offset, (value) => value === wanted, ACK_LIMIT_NS);
  }
}
