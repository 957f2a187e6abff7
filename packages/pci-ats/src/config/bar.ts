import type { AccessWidth, Bus, MmioTarget, MmioWindow } from '@iommukit/kernel';

/** What answers behind a base address register. `bytes` is a power of two of at least 4096. */
export interface BarTarget extends MmioTarget {
  readonly bytes: number;
}

/** A 64-bit memory base address register: the function answers where it points while memory space is enabled. */
export class Bar implements MmioTarget {
  readonly bus: Bus;
  readonly target: BarTarget;
  readonly windows = new Map<number, MmioWindow>();
  readonly state = { base: 0, enabled: false };

  constructor(bus: Bus, target: BarTarget) {
    this.bus = bus;
    this.target = target;
  }

  /** The low word after a write: address bits above the size, type "64-bit memory". All ones written tell the size. */
  lowWord(value: number): number {
    return ((value & -Math.min(this.target.bytes, 2 ** 31)) | 0b100) >>> 0;
  }

  /** Follows Command and the register: claims the place on the bus when it is first used. */
  update(base: number, enabled: boolean): void {
    this.state.base = base;
    this.state.enabled = enabled && base !== 0;
    if (!this.state.enabled || this.windows.has(base)) return;
    this.windows.set(base, this.bus.claim(base, this.target.bytes, this.at(base)));
  }

  /** A register changed by itself. */
  changed(offset: number): void {
    this.windows.get(this.state.base)?.changed(offset);
  }

  read(offset: number, bytes: AccessWidth, out: Uint32Array): void {
    this.target.read(offset, bytes, out);
  }

  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void {
    this.target.write(offset, bytes, lo, hi);
  }

  /** The claim at one base answers only while the register points there. */
  at(base: number): MmioTarget {
    return {
      read: (offset, bytes, out) => {
        if (this.state.enabled && this.state.base === base) this.read(offset, bytes, out);
      },
      write: (offset, bytes, lo, hi) => {
        if (this.state.enabled && this.state.base === base) this.write(offset, bytes, lo, hi);
      },
    };
  }
}
