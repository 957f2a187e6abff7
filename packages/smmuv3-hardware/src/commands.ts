import { type Coroutine, PREEMPT, type Task } from '@iommukit/kernel';
import {
  CERROR,
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  COMMAND_BYTES,
  Command,
  OPCODE,
  SYNC_CS,
  Sync,
} from '@iommukit/smmuv3-spec';
import { WAIT } from './ats-commands.js';
import type { SmmuV3 } from './device.js';
import { GERROR_BIT } from './register-map.js';
import { Ring } from './ring.js';

/**
 * The command queue (smmuv3.md 4): a daemon that consumes command after command. Each is fetched in one step and takes effect in
 * the next, together with CONS; a CMD_SYNC that has to wait leaves the loop and is fetched again when what it waits for is over.
 */
export class CommandQueue {
  readonly smmu: SmmuV3;
  readonly ring: Ring;
  readonly task: Task;
  readonly words = new Uint32Array(COMMAND_BYTES / 4);

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    const { registers, capabilities } = smmu;
    this.ring = new Ring(
      registers,
      CMDQ_BASE,
      CMDQ_PROD.offset,
      CMDQ_CONS.offset,
      COMMAND_BYTES,
      capabilities.cmdqBits,
    );
    this.task = smmu.kernel.daemon('smmu-cmdq', () => this.work());
  }

  /** There is a command, and nothing forbids to consume it. */
  get ready(): boolean {
    const { registers } = this.smmu;
    return registers.cmdqEnabled && !registers.errorActive(GERROR_BIT.CMDQ_ERR) && !this.ring.empty;
  }

  /** Consumes until the queue is empty, an error stops it, or a CMD_SYNC has to wait. */
  *work(): Coroutine<void> {
    const { kernel, footprint } = this.smmu;
    while (this.ready) {
      const index = this.ring.cons;
      const pa = this.ring.address(index);
      if (kernel.at(Math.floor(pa / 8), false)) yield PREEMPT;
      if (!this.ready) return;
      if (!this.fetch(pa)) return this.stop(CERROR.ABT);
      if (kernel.at(footprint, true)) yield PREEMPT;
      if (!this.ready) return;
      const opcode = this.opcode();
      const result =
        opcode === OPCODE.ATC_INV || opcode === OPCODE.PRI_RESP ? yield* this.send(opcode) : this.execute(opcode);
      if (result === WAIT) return;
      if (result !== CERROR.NONE) return this.stop(result);
      // Software may have disabled the queue, and moved its indexes, while a message was sent.
      if (this.smmu.registers.cmdqEnabled && this.ring.cons === index) this.consume(index);
    }
  }

  /** CONS moves past the command. */
  consume(index: number): void {
    this.smmu.registers.put(CMDQ_CONS.offset, this.ring.after(index));
  }

  fetch(pa: number): boolean {
    const { memory, kernel } = this.smmu;
    if (!memory.contains(pa)) return false;
    for (let i = 0; i < this.words.length; i++) this.words[i] = memory.load32(pa + i * 4);
    kernel.touch(Math.floor(pa / 8) + 1, false);
    return true;
  }

  /** An error: nothing is consumed until software acknowledges, and then the slot is fetched again (4.4). */
  stop(code: number): void {
    const { registers } = this.smmu;
    registers.put(CMDQ_CONS.offset, this.stopIndex() | (code << CMDQ_CONS.f.err.shift));
    registers.raiseError(GERROR_BIT.CMDQ_ERR);
  }

  /** Where CONS stays on an error: at the command that failed. */
  stopIndex(): number {
    return this.ring.cons;
  }

  /** The opcode of {@link words}; one that does not exist if the command is for a Secure stream. */
  opcode(): number {
    const { opcode, ssec } = Command.f;
    return ssec.get(this.words) === 1 ? 0 : opcode.get(this.words);
  }

  /** Executes the two commands that send messages. */
  send(opcode: number): Coroutine<number> {
    const { atsCommands } = this.smmu;
    return opcode === OPCODE.ATC_INV ? atsCommands.atcInv(this.words) : atsCommands.priResp(this.words);
  }

  /** Executes every other command: in one step. Those of EL3, Secure, DPT and MPAM do not exist here. */
  execute(opcode: number): number {
    const { words } = this;
    const { configCommands, tlbCommands, stallCommands } = this.smmu;
    switch (opcode) {
      case OPCODE.PREFETCH_CONFIG:
        return configCommands.prefetchConfig(words);
      case OPCODE.PREFETCH_ADDR:
        return configCommands.prefetchAddr(words);
      case OPCODE.CFGI_STE:
        return configCommands.cfgiSte(words);
      case OPCODE.CFGI_STE_RANGE:
        return configCommands.cfgiSteRange(words);
      case OPCODE.CFGI_CD:
        return configCommands.cfgiCd(words);
      case OPCODE.CFGI_CD_ALL:
        return configCommands.cfgiCdAll(words);
      case OPCODE.TLBI_NH_ALL:
        return tlbCommands.nhAll(words);
      case OPCODE.TLBI_NH_ASID:
        return tlbCommands.nhAsid(words);
      case OPCODE.TLBI_NH_VA:
        return tlbCommands.nhVa(words);
      case OPCODE.TLBI_NH_VAA:
        return tlbCommands.nhVaa(words);
      case OPCODE.TLBI_EL2_ALL:
        return tlbCommands.el2All();
      case OPCODE.TLBI_EL2_ASID:
        return tlbCommands.el2Asid(words);
      case OPCODE.TLBI_EL2_VA:
        return tlbCommands.el2Va(words);
      case OPCODE.TLBI_EL2_VAA:
        return tlbCommands.el2Vaa(words);
      case OPCODE.TLBI_S12_VMALL:
        return tlbCommands.s12Vmall(words);
      case OPCODE.TLBI_S2_IPA:
        return tlbCommands.s2Ipa(words);
      case OPCODE.TLBI_NSNH_ALL:
        return tlbCommands.nsnhAll();
      case OPCODE.RESUME:
        return stallCommands.resume(words);
      case OPCODE.STALL_TERM:
        return stallCommands.stallTerm(words);
      case OPCODE.SYNC:
        return this.sync();
      default:
        return CERROR.ILL;
    }
  }

  /**
   * Completes when every earlier ATC_INV has, and no transaction uses what was invalidated; everything else took effect when it was
   * consumed. One that reports lost ATC invalidations has not completed: it is fetched again (4.4).
   */
  sync(): number {
    const { words, smmu } = this;
    const { cs, msidata, msiaddr } = Sync.f;
    const signal = cs.get(words);
    if (signal > SYNC_CS.SEV) return CERROR.ILL;
    if (smmu.invalidateRequests.outstanding.length > 0 || smmu.inFlight.waiting) return WAIT;
    if (smmu.invalidateRequests.state.lost) {
      smmu.invalidateRequests.state.lost = false;
      return CERROR.ATC_INV_SYNC;
    }
    smmu.synced();
    if (signal === SYNC_CS.IRQ) smmu.interrupts.sync(msiaddr.get(words), msidata.get(words));
    return CERROR.NONE;
  }
}
