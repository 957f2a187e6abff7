import { type Coroutine, PREEMPT, powerOfTwo, type Step, type Task } from '@iommukit/kernel';
import {
  DESCRIPTOR,
  DESCRIPTORS_128,
  DESCRIPTORS_256,
  DESCRIPTORS_ECS,
  descriptorType,
  FSTS,
  GSTS,
  IQA,
  IQEI,
  IQERCD,
  IQH,
  IQT,
  TTM,
} from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';

/** What executing a descriptor comes to: an {@link IQEI} code, or this: it cannot be sent yet and is executed again. */
export const WAIT = -1;

const PAGE = 4096;
/** The types that send messages. */
const SENDS: readonly number[] = [DESCRIPTOR.DEVICE_TLB, DESCRIPTOR.PASID_DEVICE_TLB, DESCRIPTOR.PAGE_GROUP_RESPONSE];
const STOPPED = FSTS.f.iqe.maskLo | FSTS.f.ite.maskLo;
/** QT: byte offsets of descriptors of 128 bits. */
const OFFSETS = IQT.f.qt.maskLo;

/**
 * The invalidation queue (vtd.md 1.9, 3): a daemon that consumes descriptor after descriptor. Each is fetched in one step and takes
 * effect in the next, together with IQH; waits complete later, while the queue goes on.
 *
 * Left open by the architecture, and chosen: QIE going to 0 takes effect when what is in the queue has been consumed or an error has
 * stopped it, and no wait is pending; it resets IQH. IQT may be anything when QIE goes to 1.
 */
export class InvalidationQueue {
  readonly vtd: Vtd;
  readonly task: Task;
  /** The descriptor at hand; the upper half is 0 where descriptors have 128 bits. */
  readonly words = new Uint32Array(8);
  /** QIE was cleared while the queue was not empty. */
  readonly state = { stopping: false };

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    vtd.kernel.checkpoints.keep(this.state);
    this.task = vtd.kernel.daemon('vtd-iq', () => this.work());
  }

  // ── what the registers say ─────────────────────────────────────────────────────────────────────────────────────

  /** Descriptors have 256 bits. */
  get wide(): boolean {
    return IQA.f.dw.of(this.vtd.registers.get(IQA.offset)) === 1;
  }

  /** Bytes of the queue. */
  get bytes(): number {
    return PAGE * powerOfTwo(IQA.f.qs.of(this.vtd.registers.get(IQA.offset)));
  }

  get head(): number {
    return (this.vtd.registers.get(IQH.offset) & OFFSETS) >>> 0;
  }

  get tail(): number {
    return (this.vtd.registers.get(IQT.offset) & OFFSETS) >>> 0;
  }

  get empty(): boolean {
    return this.head === this.tail;
  }

  /** IQE or ITE: nothing is fetched before software clears it. */
  get stopped(): boolean {
    return (this.vtd.registers.get(FSTS.offset) & STOPPED) !== 0;
  }

  /** Nothing will be consumed any more, and nothing that was is pending. */
  get idle(): boolean {
    return (this.empty || this.stopped) && this.vtd.waits.pending.length === 0;
  }

  /** There is a descriptor, and nothing forbids to consume it. */
  get ready(): boolean {
    return this.vtd.registers.queueing && !this.stopped && !this.vtd.waits.fenced && !this.empty;
  }

  // ── what software does ─────────────────────────────────────────────────────────────────────────────────────────

  /** IQT was written. */
  tailWritten(): void {
    this.vtd.kernel.kick(this.task);
  }

  /** FSTS was written: a queue whose errors are cleared goes on, from IQH. */
  statusWritten(): void {
    this.vtd.kernel.kick(this.task);
  }

  /** GCMD.QIE was written with another value than GSTS.QIES has. @returns QIES: true while it cannot be switched off yet */
  enabled(on: boolean): boolean {
    this.state.stopping = !on;
    if (!on && this.idle) this.switchOff();
    this.vtd.kernel.kick(this.task);
    return on || this.state.stopping;
  }

  switchOff(): void {
    const { registers } = this.vtd;
    this.state.stopping = false;
    registers.put(IQH.offset, 0);
    registers.put(GSTS.offset, (registers.get(GSTS.offset) & ~GSTS.f.qies.maskLo) >>> 0);
  }

  /** Something is through that a wait may wait for. */
  settled(): void {
    if (this.vtd.waits.pending.length > 0) this.vtd.kernel.kick(this.task);
  }

  // ── the daemon ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Completes waits and consumes descriptors until there is nothing to do. */
  *work(): Coroutine<void> {
    const { waits } = this.vtd;
    for (;;) {
      if (waits.ready) yield* waits.finish();
      else if (this.ready) {
        if (yield* this.next()) return;
      } else if (this.state.stopping && this.idle) this.switchOff();
      else return;
    }
  }

  /** Consumes one descriptor, or stops the queue at it. True: it has to be executed again, when something has happened. */
  *next(): Coroutine<boolean> {
    const { kernel, footprint } = this.vtd;
    const at = this.head;
    const error = this.examine();
    const pa = IQA.f.iqa.of(this.vtd.registers.get(IQA.offset), this.vtd.registers.get(IQA.offset + 4)) + at;
    if (kernel.at(Math.floor(pa / 8), false)) yield PREEMPT;
    if (!this.ready || this.head !== at) return false;
    if (error !== IQEI.NONE) return this.stop(error);
    if (!this.fetch(pa)) return this.stop(IQEI.FETCH);
    if (kernel.at(footprint, true)) yield PREEMPT;
    if (!this.ready || this.head !== at) return false;
    const result = yield* this.execute();
    if (result === WAIT) return true;
    if (result !== IQEI.NONE) return this.stop(result);
    // Software may have moved the queue while a message was sent.
    if (this.head === at) this.consume(at);
    return false;
  }

  /** What is wrong with the registers before anything is fetched: IQEI 1, 5, 6 or 7. */
  examine(): number {
    const { registers, capabilities } = this.vtd;
    const { ttm } = registers;
    if (ttm === TTM.SCALABLE ? !capabilities.smts : ttm === TTM.EXTENDED ? !capabilities.ecs : false) return IQEI.TTM;
    if (ttm === TTM.ABORT && !capabilities.adms) return IQEI.TTM;
    if (this.wide !== this.widthNeeded(ttm, this.wide)) return IQEI.WIDTH;
    if (this.wide && this.tail % 32 !== 0) return IQEI.TAIL_ALIGN;
    return this.tail < this.bytes ? IQEI.NONE : IQEI.TAIL;
  }

  /** DW as the mode needs it: 1 in scalable and abort mode, 0 in the extended one, either in legacy mode where the unit has it. */
  widthNeeded(ttm: number, wide: boolean): boolean {
    const { smts, adms } = this.vtd.capabilities;
    if (ttm === TTM.EXTENDED || !(smts || adms)) return false;
    return ttm === TTM.LEGACY ? wide : true;
  }

  fetch(pa: number): boolean {
    const { memory, kernel } = this.vtd;
    const words = this.wide ? 8 : 4;
    this.words.fill(0);
    if (!memory.contains(pa)) return false;
    kernel.observer.fetched(this.vtd.name, Math.floor(pa / PAGE), 'invalidation queue', -1, -1);
    for (let i = 0; i < words; i++) this.words[i] = memory.load32(pa + i * 4);
    for (let i = 1; i < words / 2; i++) kernel.touch(Math.floor(pa / 8) + i, false);
    return true;
  }

  /** IQH moves past the descriptor. */
  consume(at: number): void {
    const { registers } = this.vtd;
    registers.put(IQH.offset, (at + (this.wide ? 32 : 16)) % this.bytes);
  }

  /** FSTS.IQE: nothing is consumed until software clears it, and then the slot is fetched again (vtd.md 3.13). */
  stop(code: number): false {
    const { registers, faults } = this.vtd;
    const old = registers.get(IQERCD.offset);
    registers.put(IQERCD.offset, ((old & ~IQERCD.f.iqei.maskLo) | code) >>> 0);
    faults.raise(FSTS.f.iqe.maskLo);
    return false;
  }

  // ── descriptors ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The old extended-context mode, whose descriptors of some types have another layout. */
  get extended(): boolean {
    return this.vtd.registers.ttm === TTM.EXTENDED;
  }

  /** Executes {@link words}: unknown type, then reserved bits, then what the descriptor says. */
  execute(): Step<number> {
    const { words } = this;
    const type = descriptorType(words[0], this.extended);
    const layout = this.layouts[type];
    const { kernel } = this.vtd;
    if (layout === undefined || !this.supports(type)) return kernel.done(IQEI.TYPE);
    if (layout.hasReserved(words)) return kernel.done(IQEI.RESERVED);
    return SENDS.includes(type) ? this.send(type) : kernel.done(this.perform(type));
  }

  /** Which descriptors there are: types 6 and above in scalable, abort and extended mode only. */
  get layouts(): typeof DESCRIPTORS_128 {
    const { ttm } = this.vtd.registers;
    if (ttm === TTM.EXTENDED) return DESCRIPTORS_ECS;
    if (!this.wide) return DESCRIPTORS_128;
    return DESCRIPTORS_256;
  }

  /** The mode and the capabilities allow the type. */
  supports(type: number): boolean {
    const { capabilities, registers } = this.vtd;
    if (registers.ttm === TTM.LEGACY && type > DESCRIPTOR.WAIT) return false;
    if (type === DESCRIPTOR.DEVICE_TLB || type === DESCRIPTOR.PASID_DEVICE_TLB) return capabilities.dt;
    if (type === DESCRIPTOR.INTERRUPT_ENTRY) return false; // ECAP.IR: interrupt remapping is not modelled.
    if (type >= DESCRIPTOR.PAGE_GROUP_RESPONSE) return capabilities.prs;
    return true;
  }

  /** Executes the descriptors that send messages. */
  send(type: number): Coroutine<number> {
    const { words, vtd } = this;
    switch (type) {
      case DESCRIPTOR.DEVICE_TLB:
        return vtd.deviceTlbInvalidations.deviceTlb(words);
      case DESCRIPTOR.PASID_DEVICE_TLB:
        return vtd.deviceTlbInvalidations.pasidDeviceTlb(words);
      default:
        return this.extended ? vtd.pageResponses.extendedGroup(words) : vtd.pageResponses.group(words);
    }
  }

  /** Executes every other descriptor: in one step. */
  perform(type: number): number {
    const { words, vtd } = this;
    switch (type) {
      case DESCRIPTOR.CONTEXT_CACHE:
        return vtd.configurationInvalidations.contextCache(words);
      case DESCRIPTOR.PASID_CACHE:
        return vtd.configurationInvalidations.pasidCache(words);
      case DESCRIPTOR.IOTLB:
        return vtd.iotlbInvalidations.iotlb(words);
      case DESCRIPTOR.PASID_IOTLB:
        return this.extended ? vtd.iotlbInvalidations.extended(words) : vtd.iotlbInvalidations.pasidIotlb(words);
      case DESCRIPTOR.WAIT:
        return vtd.waits.begin(words);
      default:
        return vtd.pageResponses.stream(words);
    }
  }
}
