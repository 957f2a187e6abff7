import type { Field } from '@iommukit/bitfield';
import { type AccessWidth, type MmioTarget, type MmioWindow, powerOfTwo } from '@iommukit/kernel';
import {
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  CR0,
  CR0ACK,
  CR1,
  CR2,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  GBPA,
  GERROR,
  GERRORN,
  IRQ_CTRL,
  IRQ_CTRLACK,
  OAS_BITS,
  PAGE1,
  PRIQ_BASE,
  PRIQ_PROD,
  REGISTER_BYTES,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import { SOURCE } from './interrupts.js';
import { GERROR_BIT, idRegisters, REGISTER_WORDS } from './register-map.js';

const SMMUEN = CR0.f.smmuen.maskLo;
const PRIQEN = CR0.f.priqen.maskLo;
const EVENTQEN = CR0.f.eventqen.maskLo;
const CMDQEN = CR0.f.cmdqen.maskLo;
const ATSCHK = CR0.f.atschk.maskLo;
const UPDATE = GBPA.f.update.maskLo;
const OVERFLOW_FLAG = EVENTQ_PROD.f.ovflg.maskLo;
const { queueIc, queueOc, queueSh, tableIc, tableOc, tableSh } = CR1.f;
const CR1_QUEUE = queueIc.maskLo | queueOc.maskLo | queueSh.maskLo;
const CR1_TABLE = tableIc.maskLo | tableOc.maskLo | tableSh.maskLo;

/** When a register ignores writes (1.5, 1.7): while one of these bits of CR0, or of IRQ_CTRL, is set. Offsets are within the page. */
const LOCKED_BY_CR0: Readonly<Record<number, number>> = {
  [CR2.offset]: SMMUEN,
  [STRTAB_BASE.offset]: SMMUEN,
  [STRTAB_BASE.offset + 4]: SMMUEN,
  [STRTAB_BASE_CFG.offset]: SMMUEN,
  [CMDQ_BASE.offset]: CMDQEN,
  [CMDQ_BASE.offset + 4]: CMDQEN,
  [CMDQ_CONS.offset]: CMDQEN,
  [EVENTQ_BASE.offset]: EVENTQEN,
  [EVENTQ_BASE.offset + 4]: EVENTQEN,
  [EVENTQ_PROD.offset % PAGE1]: EVENTQEN,
  [PRIQ_BASE.offset]: PRIQEN,
  [PRIQ_BASE.offset + 4]: PRIQEN,
  [PRIQ_PROD.offset % PAGE1]: PRIQEN,
};
const LOCKED_BY_IRQ_CTRL: Readonly<Record<number, number>> = Object.fromEntries(
  Object.values(SOURCE).flatMap(({ address, enable }) => [0, 4, 8, 12].map((at) => [address.offset + at, enable])),
);

/**
 * The register file (smmuv3.md 1): two pages, 32-bit registers, 64-bit ones also as halves. What a write does to each bit is in
 * the declarations; when a register takes no writes, and what follows from one, is here. Anything else reads zero.
 */
export class RegisterFile implements MmioTarget {
  readonly smmu: SmmuV3;
  readonly words = new Uint32Array(REGISTER_WORDS.length);
  readonly window: MmioWindow;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    smmu.kernel.checkpoints.keep({ words: this.words });
    REGISTER_WORDS.forEach((declared, slot) => {
      if (declared !== null) this.words[slot] = declared.register.reset()[declared.word];
    });
    for (const { offset, value } of idRegisters(smmu.capabilities)) this.words[offset >>> 2] = value;
    this.window = smmu.bus.claim(smmu.place.base, REGISTER_BYTES, this);
  }

  // ── what the other parts ask ───────────────────────────────────────────────────────────────────────────────────

  /** A 32-bit register or half, by its offset; those of page 1 by the offset within the page. */
  get(offset: number): number {
    return this.words[offset >>> 2];
  }

  /** The ADDR field of a 64-bit register: a byte address, cut to the output address size. */
  address(register: { readonly offset: number; readonly f: { readonly addr: Field } }): number {
    const slot = register.offset >>> 2;
    return register.f.addr.of(this.words[slot], this.words[slot + 1]) % powerOfTwo(this.smmu.capabilities.oas);
  }

  /** A register that hardware changes: pollers look again. */
  put(offset: number, value: number, inPage1 = false): void {
    this.words[offset >>> 2] = value;
    this.window.changed(inPage1 ? offset + PAGE1 : offset);
  }

  get enabled(): boolean {
    return (this.words[CR0.offset >>> 2] & SMMUEN) !== 0;
  }

  get cmdqEnabled(): boolean {
    return (this.words[CR0.offset >>> 2] & CMDQEN) !== 0;
  }

  get eventqEnabled(): boolean {
    return (this.words[CR0.offset >>> 2] & EVENTQEN) !== 0;
  }

  /** The effective PRIQEN: 0 while SMMUEN is 0. */
  get priqEnabled(): boolean {
    const needed = PRIQEN | SMMUEN;
    return (this.words[CR0.offset >>> 2] & needed) === needed;
  }

  get atsCheck(): boolean {
    return (this.words[CR0.offset >>> 2] & ATSCHK) !== 0;
  }

  /** GBPA.ABORT: what happens to requests while SMMUEN is 0. */
  get globalAbort(): boolean {
    return (this.words[GBPA.offset >>> 2] & GBPA.f.abort.maskLo) !== 0;
  }

  /** CR2.PTM = 0, and IDR0.BTM = 1: the TLB follows what CPUs broadcast (TLB-9, SMMU-16). */
  get followsBroadcast(): boolean {
    return this.smmu.capabilities.btm && (this.words[CR2.offset >>> 2] & CR2.f.ptm.maskLo) === 0;
  }

  /** CR2.E2H: the stream world EL2 is EL2-E2H. */
  get e2h(): boolean {
    return (this.words[CR2.offset >>> 2] & CR2.f.e2h.maskLo) !== 0;
  }

  /** CR2.REC_CFG_ATS: configuration errors of ATS traffic are recorded. */
  get recordsAtsErrors(): boolean {
    return (this.words[CR2.offset >>> 2] & CR2.f.recCfgAts.maskLo) !== 0;
  }

  /** CR2.RECINVSID: C_BAD_STREAMID is recorded. */
  get recordsBadStream(): boolean {
    return (this.words[CR2.offset >>> 2] & CR2.f.recinvsid.maskLo) !== 0;
  }

  /** Bits of a physical address that IPS or OAS code `code` means, at most what is implemented. */
  outputBits(code: number): number {
    return Math.min(OAS_BITS[code] ?? 64, this.smmu.capabilities.oas);
  }

  /** The error is active: GERROR and GERRORN differ in its bit. */
  errorActive(bit: number): boolean {
    return ((this.words[GERROR.offset >>> 2] ^ this.words[GERRORN.offset >>> 2]) & bit) !== 0;
  }

  /** Reports a global error, unless it is active already (1.6). */
  raiseError(bit: number): void {
    if (this.errorActive(bit)) return;
    this.put(GERROR.offset, (this.words[GERROR.offset >>> 2] ^ bit) >>> 0);
    // An interrupt whose message could not be written is not announced by another one (1.5).
    if (bit !== GERROR_BIT.MSI_GERROR_ABT_ERR) this.smmu.interrupts.raise(SOURCE.GERROR);
  }

  /** An output queue is full and something is lost: toggles its OVFLG if software has acknowledged the last time. */
  overflow(prodAt: number, consAt: number): void {
    if (this.overflowed(prodAt, consAt)) return;
    this.put(prodAt, (this.words[prodAt >>> 2] ^ OVERFLOW_FLAG) >>> 0, true);
  }

  /** OVFLG and OVACKFLG differ. */
  overflowed(prodAt: number, consAt: number): boolean {
    return ((this.words[prodAt >>> 2] ^ this.words[consAt >>> 2]) & OVERFLOW_FLAG) !== 0;
  }

  // ── accesses by software ───────────────────────────────────────────────────────────────────────────────────────

  read(offset: number, bytes: AccessWidth, out: Uint32Array): void {
    out[0] = out[1] = 0;
    if (bytes < 4) return;
    out[0] = this.readWord(offset);
    if (bytes === 8) out[1] = this.readWord(offset + 4);
  }

  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void {
    if (bytes < 4) return;
    this.writeWord(offset, lo);
    if (bytes === 8) this.writeWord(offset + 4, hi);
  }

  readWord(offset: number): number {
    const slot = slotOf(offset);
    return slot < 0 ? 0 : this.words[slot];
  }

  writeWord(offset: number, value: number): void {
    const slot = slotOf(offset);
    const declared = slot < 0 ? null : REGISTER_WORDS[slot];
    if (declared === null || this.locked(slot * 4)) return;
    const current = this.words[slot];
    this.store(slot * 4, current, declared.register.writeWord(declared.word, current, value));
  }

  /** The register takes no writes now. */
  locked(offset: number): boolean {
    if ((this.words[CR0.offset >>> 2] & (LOCKED_BY_CR0[offset] ?? 0)) !== 0) return true;
    return (this.words[IRQ_CTRL.offset >>> 2] & (LOCKED_BY_IRQ_CTRL[offset] ?? 0)) !== 0;
  }

  /** Stores what the declarations let through, and does what follows. */
  store(offset: number, current: number, next: number): void {
    switch (offset) {
      case CR0.offset:
        return this.writeCr0(next);
      case CR1.offset:
        return this.writeCr1(current, next);
      case CR2.offset:
        return this.writeCr2(next);
      case GBPA.offset:
        return this.writeGbpa(next);
      case IRQ_CTRL.offset:
        this.words[offset >>> 2] = this.smmu.capabilities.pri ? next : next & ~SOURCE.PRIQ.enable;
        return this.put(IRQ_CTRLACK.offset, this.words[offset >>> 2]);
      case GERRORN.offset:
        return this.writeGerrorn(next);
      default:
        this.words[offset >>> 2] = next;
    }
    if (offset === CMDQ_PROD.offset) this.smmu.kernel.kick(this.smmu.commands.task);
    if (offset === EVENTQ_CONS.offset % PAGE1) this.smmu.stalls.queueChanged();
  }

  /** CR0: takes effect at once, and CR0ACK says so. */
  writeCr0(next: number): void {
    const { smmu } = this;
    let value = next & (SMMUEN | EVENTQEN | CMDQEN);
    if (smmu.capabilities.pri) value |= next & PRIQEN;
    if (smmu.capabilities.ats) value |= next & ATSCHK;
    const off = this.words[CR0.offset >>> 2] & ~value;
    this.words[CR0.offset >>> 2] = value;
    smmu.config.forget();
    this.put(CR0ACK.offset, value);
    if ((off & SMMUEN) !== 0) smmu.stalls.terminateAll();
    if ((value & CMDQEN) !== 0) smmu.kernel.kick(smmu.commands.task);
    if ((value & EVENTQEN) !== 0) smmu.stalls.queueChanged();
  }

  /** CR1: the TABLE_ half is fixed while SMMUEN is 1, the QUEUE_ half while any queue is enabled. */
  writeCr1(current: number, next: number): void {
    const cr0 = this.words[CR0.offset >>> 2];
    let fixed = 0;
    if ((cr0 & SMMUEN) !== 0) fixed |= CR1_TABLE;
    if ((cr0 & (PRIQEN | EVENTQEN | CMDQEN)) !== 0) fixed |= CR1_QUEUE;
    this.words[CR1.offset >>> 2] = (next & ~fixed) | (current & fixed);
  }

  /** CR2: bits of what is not implemented stay 0. */
  writeCr2(next: number): void {
    const { capabilities } = this.smmu;
    const { e2h, recCfgAts } = CR2.f;
    const absent = (capabilities.hyp ? 0 : e2h.maskLo) | (capabilities.atsRecordsErrors ? 0 : recCfgAts.maskLo);
    this.words[CR2.offset >>> 2] = next & ~absent;
  }

  /** GBPA: only a write with UPDATE=1 counts; the update is complete at once. */
  writeGbpa(next: number): void {
    if ((next & UPDATE) === 0) return;
    this.put(GBPA.offset, (next & ~UPDATE) >>> 0);
  }

  /** GERRORN: acknowledged errors let their queue go on. */
  writeGerrorn(next: number): void {
    this.words[GERRORN.offset >>> 2] = next;
    if (!this.errorActive(GERROR_BIT.CMDQ_ERR)) this.smmu.kernel.kick(this.smmu.commands.task);
    if (!this.errorActive(GERROR_BIT.EVENTQ_ABT_ERR)) this.smmu.stalls.queueChanged();
  }
}

/** Index of the word that holds the register at an offset of the window; -1 where there is none. */
function slotOf(offset: number): number {
  const slot = (offset % PAGE1) / 4;
  const declared = slot < REGISTER_WORDS.length && Number.isInteger(slot) ? REGISTER_WORDS[slot] : null;
  return declared !== null && declared.register.offset + declared.word * 4 === offset ? slot : -1;
}
