import { type Bus, IommuError, type Kernel, powerOfTwo } from '@iommukit/kernel';
import { Bar, type BarTarget } from './bar.js';
import { AtsCapability, PasidCapability, PriCapability } from './capabilities.js';
import { ConfigSpace } from './config-space.js';
import { BAR0, COMMAND, Type0Header } from './header.js';
import { layOut } from './lay-out.js';

/** What a function is and can do, as data. A capability that is null is absent. */
export interface PciFunctionOptions {
  readonly vendorId: number;
  readonly deviceId: number;
  /** 24 bits: base class, sub-class, interface. */
  readonly classCode: number;
  /** `queueDepth` invalidations (1 to 32) are accepted without back-pressure. */
  readonly ats: {
    readonly queueDepth: number;
    readonly pageAligned: boolean;
    readonly globalInvalidate: boolean;
  } | null;
  /** `capacity`: page requests that may be outstanding. */
  readonly pri: { readonly capacity: number; readonly prgResponsePasidRequired: boolean } | null;
  readonly pasid: { readonly width: number; readonly exec: boolean; readonly priv: boolean } | null;
}

/** What a function tells its inside about writes to its capabilities. */
export interface FunctionListener {
  /** ATS Enable went from 1 to 0: no cached translation survives (ATC-1). */
  atsDisabled(): void;
  /** PRI Enable went to 1. */
  priEnabled(): void;
  /** PRI Enable went to 0: no new page requests (ATC-14). */
  priDisabled(): void;
  /** PRI Reset was written: counters and groups are cleared (ATC-14). */
  priReset(): void;
}

const { memorySpace, busMaster, interruptDisable } = Type0Header.f;

/**
 * One PCI function: its configuration space, and what the switches in it currently say. A virtual function has an ATS
 * capability of its own; the unit of translations, page requests and PASIDs are those of its physical function (1.4).
 */
export class PciFunction {
  readonly config: ConfigSpace;
  readonly bars: readonly Bar[];
  readonly options: PciFunctionOptions;
  listener: FunctionListener = NOBODY;
  /** What the registers say, ready for use. */
  readonly state = {
    busMaster: false,
    interrupts: true,
    ats: false,
    /** Smallest translation unit, as log2 of pages. */
    stu: 0,
    pri: false,
    allocation: 0,
    pasid: false,
    exec: false,
    priv: false,
  };
  /** Offsets of the capabilities; 0 for an absent one. */
  readonly offsets = { ats: 0, pri: 0, pasid: 0 };
  /** The physical function of a virtual one; null: it is none. */
  readonly pf: PciFunction | null;
  /** The virtual functions of a physical one. */
  readonly vfs: PciFunction[] = [];

  /**
   * `bars` are put in order into 64-bit base address registers (at most three). With `pf` it is a virtual function.
   * @throws IommuError EINVAL for a virtual function with a PRI or PASID capability
   */
  constructor(
    kernel: Kernel,
    bus: Bus,
    options: PciFunctionOptions,
    bars: readonly BarTarget[],
    pf: PciFunction | null = null,
  ) {
    if (pf !== null && (options.pri !== null || options.pasid !== null || pf.pf !== null))
      throw new IommuError(
        'EINVAL',
        'a virtual function has no PRI and no PASID capability, and no virtual functions',
        {
          remedy: 'give them to the physical function, which shares them',
        },
      );
    this.options = options;
    this.pf = pf;
    pf?.vfs.push(this);
    this.config = new ConfigSpace(kernel);
    this.bars = bars.map((target) => new Bar(bus, target));
    kernel.checkpoints.keep(this.state);
    for (const bar of this.bars) kernel.checkpoints.keep(bar.state);
    layOut(this);
    this.config.hook(COMMAND, (before, after) => this.commandWritten(before, after));
    this.bars.forEach((bar, i) => {
      this.config.hook(BAR0 + i * 8, (_before, after) =>
        this.barWritten(i, bar.lowWord(after), this.config.word(BAR0 + i * 8 + 4)),
      );
      this.config.hook(BAR0 + i * 8 + 4, (_before, after) => this.barHighWritten(i, after));
    });
    const { ats, pri, pasid } = this.offsets;
    if (ats !== 0) this.config.hook(ats + 4, (before, after) => this.atsWritten(before, after));
    if (pri !== 0) this.config.hook(pri + 4, (before, after) => this.priWritten(before, after));
    if (pri !== 0) this.config.hook(pri + 12, (before, after) => this.allocationWritten(before, after));
    if (pasid !== 0) this.config.hook(pasid + 4, (before, after) => this.pasidWritten(before, after));
  }

  /** Whose PRI and PASID capabilities count, and whose STU. */
  get owner(): PciFunction {
    return this.pf ?? this;
  }

  /** Smallest translation unit, as log2 of pages. */
  get stu(): number {
    return this.owner.state.stu;
  }

  /** Invalidations that are accepted without back-pressure: with its virtual functions together. */
  get queueDepth(): number {
    return this.owner.options.ats?.queueDepth ?? 32;
  }

  /** True if the function may send a request with this PASID (-1: without one) and these wishes (ATC-15). */
  mayUse(pasid: number, exec: boolean, priv: boolean): boolean {
    if (!this.state.busMaster) return false;
    if (pasid < 0) return !exec && !priv;
    const { state, options } = this.owner;
    return (
      state.pasid && pasid < powerOfTwo(options.pasid?.width ?? 0) && (state.exec || !exec) && (state.priv || !priv)
    );
  }

  /** Sets Stopped: Enable is 0 and nothing is outstanding. */
  setStopped(stopped: boolean): void {
    if (this.offsets.pri !== 0) this.config.change(this.offsets.pri + 4, STOPPED, stopped ? STOPPED : 0);
  }

  /** Sets Response Failure. */
  setResponseFailure(): void {
    if (this.offsets.pri !== 0) this.config.change(this.offsets.pri + 4, RF, RF);
  }

  /** Sets Unexpected PRG Index. */
  setUnexpectedIndex(): void {
    if (this.offsets.pri !== 0) this.config.change(this.offsets.pri + 4, UPRGI, UPRGI);
  }

  /** PCI-10: what a function-level reset does to the enables, and with them to ATC and PRI; also of its virtual functions. */
  reset(): void {
    const { ats, pri, pasid } = this.offsets;
    const { words } = this.config.state;
    if (ats !== 0) words[ats / 4 + 1] &= ~ATS_CONTROL;
    if (pri !== 0) {
      words[pri / 4 + 1] = (words[pri / 4 + 1] & ~(PRI_ENABLE | RF | UPRGI)) | STOPPED;
      words[pri / 4 + 3] = 0;
    }
    if (pasid !== 0) words[pasid / 4 + 1] &= ~PASID_CONTROL;
    words[COMMAND / 4] &= ~(memorySpace.maskHi | busMaster.maskHi | interruptDisable.maskHi);
    const off = {
      busMaster: false,
      interrupts: true,
      ats: false,
      stu: 0,
      pri: false,
      allocation: 0,
      pasid: false,
      exec: false,
      priv: false,
    };
    Object.assign(this.state, off);
    for (const bar of this.bars) bar.update(bar.state.base, false);
    this.listener.atsDisabled();
    this.listener.priReset();
    for (const vf of this.vfs) vf.reset();
  }

  /** Surprise removal: configuration space reads all ones, and nothing answers at the base addresses. */
  remove(): void {
    this.reset();
    this.config.state.present = false;
  }

  // ── writes to configuration space ──────────────────────────────────────────────────────────────────────────────

  commandWritten(_before: number, after: number): number {
    this.state.busMaster = busMaster.of(0, after) === 1;
    this.state.interrupts = interruptDisable.of(0, after) === 0;
    const enabled = memorySpace.of(0, after) === 1;
    for (const [i, bar] of this.bars.entries()) bar.update(this.barBase(i), enabled);
    return after;
  }

  barWritten(i: number, lo: number, hi: number): number {
    const enabled = memorySpace.of(0, this.config.word(COMMAND)) === 1;
    this.bars[i].update((lo & ~15) >>> 0 === 0 && hi === 0 ? 0 : hi * 2 ** 32 + ((lo & ~15) >>> 0), enabled);
    return lo;
  }

  barHighWritten(i: number, hi: number): number {
    this.barWritten(i, this.config.word(BAR0 + i * 8), hi);
    return hi;
  }

  barBase(i: number): number {
    return this.config.word(BAR0 + i * 8 + 4) * 2 ** 32 + ((this.config.word(BAR0 + i * 8) & ~15) >>> 0);
  }

  /** STU is fixed while Enable was 1 (PCI-2), and 0 in a virtual function. */
  atsWritten(before: number, after: number): number {
    const was = before >>> 31 === 1;
    const word = was || this.pf !== null ? ((after & ~STU) | (before & STU)) >>> 0 : after;
    this.state.stu = (word >>> 16) & 31;
    this.state.ats = word >>> 31 === 1;
    if (was && !this.state.ats) this.listener.atsDisabled();
    return word;
  }

  /** Reset acts only while Enable stays 0, and reads 0. */
  priWritten(before: number, after: number): number {
    const was = (before & PRI_ENABLE) !== 0;
    const enable = (after & PRI_ENABLE) !== 0;
    const reset = (after & PRI_RESET) !== 0 && !was && !enable;
    this.state.pri = enable;
    // The listener may change Stopped in the word, which is stored after it: its say is taken over.
    if (!was && enable) this.listener.priEnabled();
    if (was && !enable) this.listener.priDisabled();
    if (reset) this.listener.priReset();
    const stopped = this.config.word(this.offsets.pri + 4) & STOPPED;
    return ((after & ~(PRI_RESET | STOPPED)) | stopped) >>> 0;
  }

  /** The allocation is fixed while Enable is 1 (PCI-3), and never above the capacity. */
  allocationWritten(before: number, after: number): number {
    const word = this.state.pri ? before : Math.min(after, this.options.pri?.capacity ?? 0);
    this.state.allocation = word;
    return word;
  }

  /** PASID control is fixed while ATS is on (PCI-1); what is not supported stays 0. */
  pasidWritten(before: number, after: number): number {
    if (this.state.ats) return before;
    const { pasid } = this.options;
    const word = (after & ~((pasid?.exec ? 0 : PASID_EXEC) | (pasid?.priv ? 0 : PASID_PRIV))) >>> 0;
    this.state.pasid = (word & PASID_ENABLE) !== 0;
    this.state.exec = (word & PASID_EXEC) !== 0;
    this.state.priv = (word & PASID_PRIV) !== 0;
    return word;
  }
}

const STU = AtsCapability.f.stu.maskHi;
const ATS_CONTROL = (STU | AtsCapability.f.enable.maskHi) >>> 0;
const PRI_ENABLE = PriCapability.f.enable.maskHi;
const PRI_RESET = PriCapability.f.reset.maskHi;
const RF = PriCapability.f.rf.maskHi;
const UPRGI = PriCapability.f.uprgi.maskHi;
const STOPPED = PriCapability.f.stopped.maskHi;
const PASID_ENABLE = PasidCapability.f.enable.maskHi;
const PASID_EXEC = PasidCapability.f.exec.maskHi;
const PASID_PRIV = PasidCapability.f.priv.maskHi;
const PASID_CONTROL = PASID_ENABLE | PASID_EXEC | PASID_PRIV;

const NOBODY: FunctionListener = {
  atsDisabled() {},
  priEnabled() {},
  priDisabled() {},
  priReset() {},
};
