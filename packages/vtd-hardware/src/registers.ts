import type { AccessWidth, MmioTarget, MmioWindow } from '@iommukit/kernel';
import {
  CCMD,
  FECTL,
  FSTS,
  GCMD,
  GSTS,
  ICS,
  IECTL,
  IOTLB,
  IQT,
  IVA,
  PECTL,
  PRS,
  RTADDR,
  TTM,
} from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import { idRegisters, type RegisterWord, registerWords, WINDOW_BYTES } from './register-map.js';

const TE = GCMD.f.te.maskLo;
const SRTP = GCMD.f.srtp.maskLo;
const QIE = GCMD.f.qie.maskLo;
const RTPS = GSTS.f.rtps.maskLo;
const HIGH = 4;

/**
 * The register file (vtd.md 1): 4 KiB, 32-bit registers, 64-bit ones also as halves. What a write does to each bit is in the
 * declarations; what follows from it is here. Anything else reads zero.
 */
export class RegisterFile implements MmioTarget {
  readonly vtd: Vtd;
  readonly map: readonly (RegisterWord | null)[];
  readonly words = new Uint32Array(WINDOW_BYTES / 4);
  readonly window: MmioWindow;
  /** Offsets of IVA, of IOTLB, and of the first fault record. */
  readonly ivaAt: number;
  readonly iotlbAt: number;
  readonly frcdAt: number;
  /** What GCMD.SRTP latched of RTADDR: {@link TTM}, and the address of the root table. */
  readonly latched: { ttm: number; root: number } = { ttm: TTM.LEGACY, root: 0 };

  constructor(vtd: Vtd) {
    const { capabilities, kernel, place } = vtd;
    this.vtd = vtd;
    this.map = registerWords(capabilities);
    this.ivaAt = capabilities.iro * 16 + IVA.offset;
    this.iotlbAt = capabilities.iro * 16 + IOTLB.offset;
    this.frcdAt = capabilities.fro * 16;
    kernel.checkpoints.keep({ words: this.words });
    kernel.checkpoints.keep(this.latched);
    // The three event blocks reset masked; everything else resets to 0.
    for (const { offset, initial } of [FECTL, IECTL, PECTL].map((r) => ({ offset: r.offset, initial: r.reset()[0] }))) {
      if (this.map[offset >>> 2] !== null) this.words[offset >>> 2] = initial;
    }
    for (const { offset, value } of idRegisters(capabilities)) this.words[offset >>> 2] = value;
    this.window = vtd.bus.claim(place.base, WINDOW_BYTES, this);
  }

  // ── what the other parts ask ───────────────────────────────────────────────────────────────────────────────────

  /** A 32-bit register or half, by its offset. */
  get(offset: number): number {
    return this.words[offset >>> 2];
  }

  /** A register that hardware changes: pollers look again. */
  put(offset: number, value: number): void {
    this.words[offset >>> 2] = value;
    this.window.changed(offset);
  }

  /** GSTS.TES: requests are translated. */
  get translating(): boolean {
    return (this.words[GSTS.offset >>> 2] & TE) !== 0;
  }

  /** GSTS.QIES: the invalidation queue is on. */
  get queueing(): boolean {
    return (this.words[GSTS.offset >>> 2] & QIE) !== 0;
  }

  /** {@link TTM} as SRTP latched it; judged when a request is processed. */
  get ttm(): number {
    return this.latched.ttm;
  }

  /** Address of the root table as SRTP latched it. */
  get root(): number {
    return this.latched.root;
  }

  // ── accesses by software ───────────────────────────────────────────────────────────────────────────────────────

  read(offset: number, bytes: AccessWidth, out: Uint32Array): void {
    out[0] = out[1] = 0;
    if (bytes < 4) return;
    out[0] = this.readWord(offset);
    if (bytes === 8) out[1] = this.readWord(offset + HIGH);
  }

  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void {
    if (bytes < 4) return;
    this.writeWord(offset, lo);
    if (bytes === 8) this.writeWord(offset + HIGH, hi);
  }

  /** GCMD and IVA are write-only. */
  readWord(offset: number): number {
    if (offset === this.ivaAt || offset === this.ivaAt + HIGH) return 0;
    return this.map[offset >>> 2] === null ? 0 : this.words[offset >>> 2];
  }

  writeWord(offset: number, value: number): void {
    const declared = this.map[offset >>> 2];
    if (declared === null || declared === undefined) return;
    const current = this.words[offset >>> 2];
    this.store(offset, current, declared.register.writeWord(declared.word, current, value));
  }

  /** Stores what the declarations let through, and does what follows. */
  store(offset: number, current: number, next: number): void {
    const { vtd } = this;
    if (offset === GCMD.offset) return this.command(next);
    this.words[offset >>> 2] = next;
    switch (offset) {
      case FSTS.offset:
        vtd.events.settle('fault');
        return vtd.queue.statusWritten();
      case ICS.offset:
        return vtd.events.settle('invalidation');
      case PRS.offset:
        return vtd.events.settle('page-request');
      case FECTL.offset:
        return vtd.events.controlWritten('fault');
      case IECTL.offset:
        return vtd.events.controlWritten('invalidation');
      case PECTL.offset:
        return vtd.events.controlWritten('page-request');
      case IQT.offset:
      case IQT.offset + HIGH:
        return vtd.queue.tailWritten();
      case CCMD.offset + HIGH:
        if ((next & CCMD.f.icc.maskHi) !== 0) vtd.registerInvalidations.context();
        return;
      case this.iotlbAt + HIGH:
        if ((next & IOTLB.f.ivt.maskHi) !== 0) vtd.registerInvalidations.iotlb();
        return;
      default:
        if (next !== current && offset >= this.frcdAt) vtd.faults.recordWritten();
    }
  }

  /**
   * GCMD (1.4): one-shot bits act, level bits are compared with GSTS. Bits of what this model does not have are ignored. Everything
   * is done at once, so WBFS is never seen set.
   */
  command(value: number): void {
    if ((value & SRTP) !== 0) this.latchRoot();
    const changed = (value ^ this.words[GSTS.offset >>> 2]) & (TE | QIE);
    if ((changed & TE) !== 0) this.enable((value & TE) !== 0);
    if ((changed & QIE) !== 0 && this.vtd.capabilities.qi) {
      this.status(QIE, this.vtd.queue.enabled((value & QIE) !== 0));
    }
  }

  /** SRTP: from now on RTADDR as it is. With CAP.ESRTPS nothing that was cached outlives it. */
  latchRoot(): void {
    const [lo, hi] = [this.words[RTADDR.offset >>> 2], this.words[(RTADDR.offset >>> 2) + 1]];
    this.latched.ttm = RTADDR.f.ttm.of(lo, hi);
    this.latched.root = RTADDR.f.rta.of(lo, hi) % 2 ** this.vtd.capabilities.haw;
    this.vtd.regimes.forget();
    if (this.vtd.capabilities.esrtps) this.vtd.dropEverything();
    this.status(RTPS, true);
  }

  /** TE: with TE=0 requests are not translated. What is cached stays. */
  enable(on: boolean): void {
    this.vtd.regimes.forget();
    if (!on) this.vtd.faults.restart();
    this.status(TE, on);
  }

  status(mask: number, on: boolean): void {
    const now = this.words[GSTS.offset >>> 2];
    this.put(GSTS.offset, (on ? now | mask : now & ~mask) >>> 0);
  }
}
