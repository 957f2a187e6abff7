import { FAULT, FAULT_REASONS, FAULT_TYPE, FRCD, FRCD_BYTES, FRCD_F, FSTS, faultTypeBits } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import { FSTS_BIT } from './register-map.js';

/** What a fault record says about the request that caused it. */
export interface Access {
  readonly stream: number;
  /** -1 without one. */
  readonly pasid: number;
  /** Byte address / 4096. */
  readonly page: number;
  readonly kind: 'read' | 'write' | 'atomic' | 'page-request';
  readonly priv: boolean;
  readonly exec: boolean;
  /** AT field of the request. */
  readonly at: number;
}

const { PFO, PPF, IQE, ICE, ITE } = FSTS_BIT;
/** While one of these is set, the event has been raised and not been served. */
const PENDING = PFO | PPF | IQE | ICE | ITE;
const TYPES = {
  write: FAULT_TYPE.WRITE,
  'page-request': FAULT_TYPE.PAGE_REQUEST,
  read: FAULT_TYPE.READ,
  atomic: FAULT_TYPE.ATOMIC,
} as const;
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(FAULT).map(([name, reason]) => [reason, name]));
const { fri } = FSTS.f;

/** Fault recording (vtd.md 5.4): a finite number of records, overflow, and the fault event. One record is one step. */
export class Faults {
  readonly vtd: Vtd;
  readonly words = new Uint32Array(FRCD_BYTES / 4);
  /** Index of the next record. */
  readonly state = { next: 0 };

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    vtd.kernel.checkpoints.keep(this.state);
  }

  /**
   * Records a fault of a request that is refused. `fpd`: an entry on its way has FPD=1, which suppresses what it qualifies (5.2).
   * True if there is a record of it now.
   */
  record(reason: number, access: Access, fpd: boolean): boolean {
    if (fpd && this.qualified(reason)) return false;
    const { kernel, name } = this.vtd;
    kernel.observer.event(
      name,
      access.stream,
      access.pasid,
      NAMES.get(reason) ?? `fault 0x${reason.toString(16)}`,
      false,
    );
    if (this.raised(PFO) || this.merged(access.stream)) return false;
    const at = this.vtd.registers.frcdAt + this.state.next * FRCD_BYTES;
    if ((this.vtd.registers.get(at + 12) & FRCD_F) !== 0) {
      this.overflow();
      return false;
    }
    this.write(at, reason, access);
    return true;
  }

  /** A record of the requester is pending already, and stands for this fault too. */
  merged(stream: number): boolean {
    const { registers, capabilities } = this.vtd;
    if (!capabilities.mergeFaults) return false;
    const { sid } = FRCD.f;
    for (let n = 0; n <= capabilities.nfr; n++) {
      const at = registers.frcdAt + n * FRCD_BYTES;
      if ((registers.get(at + 12) & FRCD_F) === 0) continue;
      if (sid.of(registers.get(at + 8), registers.get(at + 12)) === (stream >>> 0) % 2 ** sid.width) return true;
    }
    return false;
  }

  /** FPD suppresses the reason. */
  qualified(reason: number): boolean {
    return (FAULT_REASONS.get(reason)?.qualifiedBy.length ?? 0) > 0;
  }

  /** The next record holds a fault that software has not cleared. */
  overflow(): void {
    this.raise(PFO);
  }

  write(at: number, reason: number, access: Access): void {
    const { registers, events } = this.vtd;
    const before = registers.get(FSTS.offset);
    this.compose(reason, access);
    for (let word = 0; word < 3; word++) registers.put(at + word * 4, this.words[word]);
    // F is set last, after what it commits.
    registers.put(at + 12, (this.words[3] | FRCD_F) >>> 0);
    const { next } = this.state;
    this.state.next = (next + 1) % (this.vtd.capabilities.nfr + 1);
    if ((before & PPF) !== 0) return;
    registers.put(FSTS.offset, ((before & ~fri.maskLo) | (next << fri.shift) | PPF) >>> 0);
    if ((before & PENDING) === 0) events.raise('fault');
  }

  /** {@link words} without F. What a request without PASID has no meaning for stays 0. */
  compose(reason: number, { stream, pasid, page, kind, priv, exec, at }: Access): void {
    const { words } = this;
    const { sid, pp, pv, fr, t1, t2, priv: privileged, exe, at: type } = FRCD.f;
    words.fill(0);
    words[0] = (page % 2 ** 20) * 4096;
    words[1] = Math.floor(page / 2 ** 20);
    sid.set(words, (stream >>> 0) % 2 ** sid.width);
    fr.set(words, reason & 0xff);
    type.set(words, at & 3);
    const bits = faultTypeBits(TYPES[kind]);
    t1.set(words, bits.t1);
    t2.set(words, bits.t2);
    if (pasid < 0) return;
    pp.set(words, 1);
    pv.set(words, (pasid >>> 0) % 2 ** pv.width);
    privileged.set(words, priv ? 1 : 0);
    exe.set(words, exec ? 1 : 0);
  }

  /** One of these bits of FSTS is set. */
  raised(mask: number): boolean {
    return (this.vtd.registers.get(FSTS.offset) & mask) !== 0;
  }

  /** Sets bits of FSTS (PFO, IQE, ICE, ITE), with the fault event unless it has been raised and not been served. */
  raise(mask: number): void {
    const { registers, events } = this.vtd;
    const before = registers.get(FSTS.offset);
    if ((before & mask) === mask) return;
    registers.put(FSTS.offset, (before | mask) >>> 0);
    if ((before & PENDING) === 0) events.raise('fault');
  }

  /** Software cleared F of a record: PPF is the OR of them all. */
  recordWritten(): void {
    const { registers, events, capabilities } = this.vtd;
    for (let n = 0; n <= capabilities.nfr; n++) {
      if ((registers.get(registers.frcdAt + n * FRCD_BYTES + 12) & FRCD_F) !== 0) return;
    }
    registers.put(FSTS.offset, (registers.get(FSTS.offset) & ~(PPF | fri.maskLo)) >>> 0);
    events.settle('fault');
  }

  /** TE went to 0: recording begins at the first record again. */
  restart(): void {
    this.state.next = 0;
  }
}
