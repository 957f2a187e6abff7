import { EVENTQ_IRQ_CFG0, GERROR_IRQ_CFG0, IRQ_CTRL, PRIQ_IRQ_CFG0 } from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import { GERROR_BIT } from './register-map.js';

/** One interrupt of the SMMU: its line, its enable bit in IRQ_CTRL, and where its message is configured. */
export interface Source {
  /** The platform's name of the wired line. */
  readonly line: 'eventq' | 'priq' | 'gerror';
  /** Mask in IRQ_CTRL. */
  readonly enable: number;
  /** The 64-bit address of the message; its data is in the register 8 bytes further on. */
  readonly address: typeof GERROR_IRQ_CFG0;
  /** Mask in GERROR: its message could not be written. */
  readonly abort: number;
}

/** The sources that IRQ_CTRL enables (smmuv3.md 1.5). */
export const SOURCE = {
  GERROR: {
    line: 'gerror',
    enable: IRQ_CTRL.f.gerrorIrqen.maskLo,
    address: GERROR_IRQ_CFG0,
    abort: GERROR_BIT.MSI_GERROR_ABT_ERR,
  },
  PRIQ: {
    line: 'priq',
    enable: IRQ_CTRL.f.priqIrqen.maskLo,
    address: PRIQ_IRQ_CFG0,
    abort: GERROR_BIT.MSI_PRIQ_ABT_ERR,
  },
  EVENTQ: {
    line: 'eventq',
    enable: IRQ_CTRL.f.eventqIrqen.maskLo,
    address: EVENTQ_IRQ_CFG0,
    abort: GERROR_BIT.MSI_EVENTQ_ABT_ERR,
  },
} as const satisfies Record<string, Source>;

/** Raises interrupts: an edge on a wired line, or a message where software configured one. */
export class Interrupts {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** Raises `source` if IRQ_CTRL enables it. What it reports is in memory and in the registers before. */
  raise(source: Source): void {
    const { registers } = this.smmu;
    if ((registers.get(IRQ_CTRL.offset) & source.enable) === 0) return;
    const address = this.smmu.capabilities.msi ? registers.address(source.address) : 0;
    if (address === 0) this.smmu.place.irq(source.line).pulse();
    else this.message(address, registers.get(source.address.offset + 8), source.abort);
  }

  /** CMD_SYNC with CS=IRQ: the message if the command has an address, else the wired line. */
  sync(address: number, data: number): void {
    if (this.smmu.capabilities.msi && address !== 0) this.message(address, data, GERROR_BIT.MSI_CMDQ_ABT_ERR);
    else this.smmu.place.irq('cmdq-sync').pulse();
  }

  /** Writes a message; where nothing takes it, reports that in GERROR (1.6). */
  message(address: number, data: number, abort: number): void {
    if (this.reachable(address)) this.smmu.bus.store32(address, data);
    else this.smmu.registers.raiseError(abort);
  }

  /** There is memory, or a register that takes 32-bit writes. */
  reachable(address: number): boolean {
    const { bus } = this.smmu;
    return bus.memory.contains(address) || (bus.claimOf(address)?.widths.includes(4) ?? false);
  }
}
