import type { Bus } from './bus.js';
import { IommuError } from './errors.js';
import type { Kernel } from './kernel.js';
import type { Coroutine, Step } from './types.js';

/** One register window, as a driver sees it: each access is a preemption point. Offsets are bytes from its base. */
export interface Mmio {
  /** Physical address of offset 0, for drivers that map registers into processes. */
  readonly base: number;
  read16(offset: number): Step<number>;
  write16(offset: number, value: number): Step<void>;
  read32(offset: number): Step<number>;
  write32(offset: number, value: number): Step<void>;
  read64(offset: number, out: Uint32Array): Step<void>;
  write64(offset: number, lo: number, hi: number): Step<void>;
  /**
   * Waits until the register passes `test`; parks, never spins.
   * @returns the value that passed
   * @throws IommuError ETIMEDOUT after `limitNs` virtual nanoseconds
   */
  until32(offset: number, test: (value: number) => boolean, limitNs: number): Coroutine<number>;
}

/** {@link Mmio} over any {@link Bus}. */
export class BusMmio implements Mmio {
  readonly kernel: Kernel;
  readonly bus: Bus;
  readonly base: number;
  readonly bytes: number;
  readonly name: string;
  readonly whys = new Map<number, string>();

  /** A window of `bytes` at physical address `base`; `name` is for reports. */
  constructor(kernel: Kernel, bus: Bus, base: number, bytes: number, name: string) {
    this.kernel = kernel;
    this.bus = bus;
    this.base = base;
    this.bytes = bytes;
    this.name = name;
  }

  /** @throws IommuError EINVAL outside the window */
  place(offset: number, bytes: number): number {
    if (offset >= 0 && offset + bytes <= this.bytes) return this.base + offset;
    throw new IommuError('EINVAL', `${this.name} has no register 0x${offset.toString(16)}`, {
      remedy: `its window has 0x${this.bytes.toString(16)} bytes`,
    });
  }

  read16(offset: number): Step<number> {
    const pa = this.place(offset, 2);
    return this.kernel.at(Math.floor(pa / 8), false) ? this.read16Later(pa) : this.kernel.done(this.bus.read16(pa));
  }

  write16(offset: number, value: number): Step<void> {
    const { kernel } = this;
    const pa = this.place(offset, 2);
    return kernel.at(Math.floor(pa / 8), true)
      ? this.write16Later(pa, value)
      : kernel.done(this.bus.write16(pa, value));
  }

  read32(offset: number): Step<number> {
    const pa = this.place(offset, 4);
    return this.kernel.at(Math.floor(pa / 8), false) ? this.read32Later(pa) : this.kernel.done(this.bus.load32(pa));
  }

  write32(offset: number, value: number): Step<void> {
    const { kernel } = this;
    const pa = this.place(offset, 4);
    return kernel.at(Math.floor(pa / 8), true)
      ? this.write32Later(pa, value)
      : kernel.done(this.bus.store32(pa, value));
  }

  read64(offset: number, out: Uint32Array): Step<void> {
    const { kernel } = this;
    const pa = this.place(offset, 8);
    return kernel.at(Math.floor(pa / 8), false) ? this.read64Later(pa, out) : kernel.done(this.bus.load64(pa, out));
  }

  write64(offset: number, lo: number, hi: number): Step<void> {
    const { kernel } = this;
    const pa = this.place(offset, 8);
    return kernel.at(Math.floor(pa / 8), true)
      ? this.write64Later(pa, lo, hi)
      : kernel.done(this.bus.store64(pa, lo, hi));
  }

  *until32(offset: number, test: (value: number) => boolean, limitNs: number): Coroutine<number> {
    const pa = this.place(offset, 4);
    let value = 0;
    const look = (): boolean => {
      value = this.bus.load32(pa);
      return test(value);
    };
    if (yield* this.kernel.until(Math.floor(pa / 8), look, this.whyOf(offset), limitNs)) return value;
    throw new IommuError(
      'ETIMEDOUT',
      `${this.name} register 0x${offset.toString(16)} stayed 0x${value.toString(16)} for ${limitNs} ns`,
    );
  }

  /** What a poller of a register waits for; made once. */
  whyOf(offset: number): string {
    let why = this.whys.get(offset);
    if (why === undefined) {
      why = `${this.name} register 0x${offset.toString(16)} to change`;
      this.whys.set(offset, why);
    }
    return why;
  }

  // Closures are made here only: one in the methods above would cost an allocation at every access.
  read16Later(pa: number): Step<number> {
    return this.kernel.pending(() => this.bus.read16(pa));
  }

  write16Later(pa: number, value: number): Step<void> {
    return this.kernel.pending(() => this.bus.write16(pa, value));
  }

  read32Later(pa: number): Step<number> {
    return this.kernel.pending(() => this.bus.load32(pa));
  }

  write32Later(pa: number, value: number): Step<void> {
    return this.kernel.pending(() => this.bus.store32(pa, value));
  }

  read64Later(pa: number, out: Uint32Array): Step<void> {
    return this.kernel.pending(() => this.bus.load64(pa, out));
  }

  write64Later(pa: number, lo: number, hi: number): Step<void> {
    return this.kernel.pending(() => this.bus.store64(pa, lo, hi));
  }
}
