import type { Bus, Kernel } from '@iommukit/kernel';
import { Bar, type BarTarget } from './bar.js';
import { AtsCapability, CAPABILITY, FIRST_CAPABILITY, PasidCapability, PriCapability } from './capabilities.js';
import { ConfigSpace } from './config-space.js';
import { BAR0, COMMAND, Type0Header } from './header.js';

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

/** One PCI function: its configuration space, and what the switches in it currently say. */
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

  /** `bars` are put in order into 64-bit base address registers (at most three). */
  constructor(kernel: Kernel, bus: Bus, options: PciFunctionOptions, bars: readonly BarTarget[]) {
    this.options = options;
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

  /** True if the function may send a request with this PASID (-1: without one) and these wishes (ATC-15). */
  mayUse(pasid: number, exec: boolean, priv: boolean): boolean {
    const { state } = this;
    if (!state.busMaster) return false;
    if (pasid < 0) return !exec && !priv;
    return (
      state.pasid && pasid < 2 ** (this.options.pasid?.width ?? 0) && (state.exec || !exec) && (state.priv || !priv)
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

  /** PCI-10: what a function-level reset does to the enables, and with them to ATC and PRI. */
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

  /** STU is fixed while Enable was 1 (PCI-2). */
  atsWritten(before: number, after: number): number {
    const was = before >>> 31 === 1;
    const word = was ? ((after & ~STU) | (before & STU)) >>> 0 : after;
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

/** The content of configuration space after power-on. */
function layOut(self: PciFunction): void {
  const { config, options, offsets } = self;
  const words = Type0Header.make({
    vendorId: options.vendorId,
    deviceId: options.deviceId,
    classCode: options.classCode,
    interruptPin: 1,
    ...Object.fromEntries(self.bars.map((_bar, i) => [`bar${i * 2}`, 0b100])),
  });
  config.place(Type0Header, 0, words);
  for (let i = self.bars.length * 2; i < 6; i++) config.placed[BAR0 / 4 + i] = null;
  const chain: { key: 'ats' | 'pri' | 'pasid'; bytes: number }[] = [];
  if (options.ats !== null) chain.push({ key: 'ats', bytes: 16 });
  if (options.pri !== null) chain.push({ key: 'pri', bytes: 16 });
  if (options.pasid !== null) chain.push({ key: 'pasid', bytes: 16 });
  let at = FIRST_CAPABILITY;
  chain.forEach(({ key, bytes }, i) => {
    offsets[key] = at;
    const next = i + 1 < chain.length ? at + bytes : 0;
    placeCapability(self, key, next);
    at += bytes;
  });
}

function placeCapability({ config, options, offsets }: PciFunction, key: 'ats' | 'pri' | 'pasid', next: number): void {
  const { ats, pri, pasid } = options;
  if (key === 'ats' && ats !== null) {
    const words = AtsCapability.make({
      id: CAPABILITY.ATS,
      version: 1,
      next,
      queueDepth: ats.queueDepth % 32,
      pageAligned: ats.pageAligned ? 1 : 0,
      globalInvalidate: ats.globalInvalidate ? 1 : 0,
    });
    config.place(AtsCapability, offsets.ats, words);
  }
  if (key === 'pri' && pri !== null) {
    // P-5: Stopped is 1 after reset, as software waits for it before it enables.
    const words = PriCapability.make({
      id: CAPABILITY.PRI,
      version: 1,
      next,
      stopped: 1,
      prgResponsePasidRequired: pri.prgResponsePasidRequired ? 1 : 0,
      capacity: pri.capacity,
    });
    config.place(PriCapability, offsets.pri, words);
  }
  if (key === 'pasid' && pasid !== null) {
    const words = PasidCapability.make({
      id: CAPABILITY.PASID,
      version: 1,
      next,
      execSupported: pasid.exec ? 1 : 0,
      privSupported: pasid.priv ? 1 : 0,
      maxWidth: pasid.width,
    });
    config.place(PasidCapability, offsets.pasid, words);
  }
}
