import { type MmioWindow, type PhysicalBus, ThreadedInterrupt } from '@iommukit/kernel';

/** Where the unit's registers are. */
export const BASE = 0xfed9_0000;

/** CAP and ECAP of a unit, as raw words. */
export interface FakeCapabilities {
  readonly cap?: bigint;
  readonly ecap?: bigint;
}

/** ND 6, SAGAW 39 and 48, MGAW 48, FRO 0x22, SLLPS 2M and 1G, PSI, NFR 1, MAMV 18, DWD, DRD, FL1GP. */
export const CAP = 0x01d2_018c_222f_0606n;
/** C, QI, DT, PT, SC, IRO 0x0f, PRS, SRS, PSS 20, PASID, PDS, SMTS, SLTS, FLTS, SMPWCS. */
export const ECAP = 0x0001_cd98_a000_0fc7n;

/**
 * A unit that takes descriptors, does nothing with them but write them down, and completes waits. Everything it knows is a
 * literal of vtd.md 1, 3 and 5.4: it shares no declaration with the driver.
 */
export class FakeUnit {
  readonly bus: PhysicalBus;
  readonly window: MmioWindow;
  readonly fault: ThreadedInterrupt;
  readonly lines = new Map<string, ThreadedInterrupt>();
  readonly registers = new Map<number, number>();
  /** What happened, in order: `q <words>`, `w <register>=<value>`, and what tests add. */
  readonly log: string[] = [];
  /** The IQEI with which a descriptor is refused; 0: it is taken. */
  refuse: (words: readonly bigint[]) => number = () => 0;
  /** False: waits are fetched, and complete when {@link completeWaits} is called. */
  completes = true;
  readonly open: { readonly pa: number; readonly data: number }[] = [];

  constructor(bus: PhysicalBus, { cap = CAP, ecap = ECAP }: FakeCapabilities = {}) {
    this.bus = bus;
    this.fault = this.line('fault');
    this.set64(0x08, cap);
    this.set64(0x10, ecap);
    this.registers.set(0x00, 0x10);
    this.window = bus.claim(BASE, 0x1000, {
      widths: [4, 8],
      read: (offset, bytes, out) => {
        out[0] = this.get(offset);
        if (bytes === 8) out[1] = this.get(offset + 4);
      },
      write: (offset, bytes, lo, hi) => {
        if (bytes === 8) this.registers.set(offset + 4, hi);
        this.write(offset, lo);
      },
    });
  }

  line(name: string): ThreadedInterrupt {
    let line = this.lines.get(name);
    if (line === undefined) {
      line = new ThreadedInterrupt(this.bus.kernel, name);
      this.lines.set(name, line);
    }
    return line;
  }

  get(offset: number): number {
    return this.registers.get(offset) ?? 0;
  }

  set64(offset: number, value: bigint): void {
    this.registers.set(offset, Number(value & 0xffff_ffffn));
    this.registers.set(offset + 4, Number(value >> 32n));
  }

  write(offset: number, value: number): void {
    this.log.push(`w ${offset.toString(16)}=${value.toString(16)}`);
    if (offset === 0x18) return this.command(value);
    if (offset === 0x34) return this.clearStatus(value);
    // PRS: PPR and PRO are write one to clear.
    if (offset === 0xdc) return void this.registers.set(offset, this.get(offset) & ~value);
    // Fault records (FRO 0x22, 16 bytes each): F is write one to clear.
    if (offset >= 0x220 && offset < 0x240) {
      if (offset % 16 === 12 && value >>> 31 === 1) this.registers.set(offset, (this.get(offset) & 0x7fffffff) >>> 0);
      return this.updateStatus();
    }
    this.registers.set(offset, value);
    if (offset === 0x88) this.consume();
  }

  /** GCMD: level bits show in GSTS; SRTP sets RTPS; WBF is done at once. */
  command(value: number): void {
    const level = value & 0x96800000;
    const latched = (this.get(0x1c) & 0x40000000) | (value & 0x40000000);
    this.registers.set(0x1c, (level | latched) >>> 0);
    this.window.changed(0x1c);
    if ((value & 0x04000000) === 0) this.set64(0x80, 0n);
  }

  /** FSTS: PFO, IQE, ICE, ITE are write one to clear; PPF follows the records. */
  clearStatus(value: number): void {
    this.registers.set(0x34, (this.get(0x34) & ~(value & 0x71)) >>> 0);
    this.updateStatus();
    this.consume();
  }

  updateStatus(): void {
    const pending = [0, 1].filter((i) => this.get(0x22c + 16 * i) >>> 31 === 1);
    const first = pending.length > 0 ? (pending[0]! << 8) | 2 : 0;
    this.registers.set(0x34, (this.get(0x34) & ~0xff02) | first);
  }

  /** Sets bits of FSTS; the event fires as long as its mask (FECTL) is clear. */
  raise(bits: number): void {
    this.registers.set(0x34, this.get(0x34) | bits);
    this.updateStatus();
    if (this.get(0x38) >>> 31 === 0 && (this.get(0x40) & 0xfff00000) >>> 0 === 0xfee00000) this.fault.pulse();
  }

  /** Records a fault at record `index`. */
  record(index: number, fi: bigint, high: bigint): void {
    this.set64(0x220 + 16 * index, fi);
    this.set64(0x228 + 16 * index, high);
    this.raise(0);
  }

  /** Descriptors until the queue is empty, or stands at an error (IQE, ITE). */
  consume(): void {
    const wide = (this.get(0x90) & 0x800) !== 0;
    const [stride, bytes] = [wide ? 32 : 16, 4096 * 2 ** (this.get(0x90) & 7)];
    const base = (this.get(0x90) & ~0xfff) >>> 0;
    while ((this.get(0x1c) & 0x04000000) !== 0 && (this.get(0x34) & 0x50) === 0 && this.get(0x80) !== this.get(0x88)) {
      const at = this.get(0x80);
      const words = Array.from({ length: stride / 8 }, (_, i) => this.word(base + at + 8 * i));
      const iqei = this.refuse(words);
      if (iqei !== 0) {
        this.registers.set(0xb0, iqei);
        return this.raise(0x10);
      }
      this.registers.set(0x80, (at + stride) % bytes);
      this.execute(words);
    }
  }

  execute(words: readonly bigint[]): void {
    const [qw0, qw1] = words as [bigint, bigint];
    const wait = (qw0 & 0xfn) === 5n;
    if (!wait || (qw0 & 0x80n) !== 0n) this.log.push(`q ${words.map((word) => word.toString(16)).join(' ')}`);
    if (!wait || (qw0 & 0x20n) === 0n) return;
    this.open.push({ pa: Number(qw1), data: Number(qw0 >> 32n) });
    if (this.completes) this.completeWaits();
  }

  completeWaits(): void {
    for (const { pa, data } of this.open.splice(0)) this.bus.store32(pa, data);
  }

  /** A device did not answer: waits that were fetched never complete (FSTS.ITE, ITESID). */
  timeOut(sid: number): void {
    this.open.length = 0;
    this.registers.set(0xb4, sid);
    this.raise(0x40);
  }

  word(pa: number): bigint {
    return (BigInt(this.bus.load32(pa + 4)) << 32n) | BigInt(this.bus.load32(pa));
  }

  /** What was written down since the last call, without registers that are not asked for. */
  take(keep: RegExp = /^q/): string[] {
    return this.log.splice(0).filter((line) => keep.test(line));
  }
}
