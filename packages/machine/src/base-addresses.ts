import type { PciWindow, PlatformPciHost } from '@iommukit/firmware';
import { type Bus, IommuError } from '@iommukit/kernel';

/** Offsets in the header of a function that is no bridge. */
const BAR0 = 0x10;
const BAR_END = 0x28;
const COMMAND = 0x04;
const MEMORY_SPACE = 2;

/** Bits of a base address register. */
const IS_IO = 1;
const IS_64_BIT = 4;

/** Where a function's registers were put. */
export interface PlacedBar {
  readonly base: number;
  readonly bytes: number;
}

/** A window, and how much of it is given away. */
interface Pool {
  readonly window: PciWindow;
  next: number;
}

/** Sizes and places base address registers in a root complex's memory windows, as firmware does. */
export class BaseAddresses {
  readonly bus: Bus;
  readonly node: PlatformPciHost;
  /** Windows below 4 GiB come first. */
  readonly pools: readonly Pool[];

  /** The windows of one root complex. */
  constructor(bus: Bus, node: PlatformPciHost) {
    this.bus = bus;
    this.node = node;
    const windows = (space: string): PciWindow[] => node.windows.filter((window) => window.space === space);
    this.pools = [...windows('mem32'), ...windows('mem64')]
      // A CPU finds a device here under the address that the device itself sees.
      .filter(({ cpu, pci }) => cpu === pci)
      .map((window) => ({ window, next: window.cpu }));
  }

  /**
   * Places every memory base address register of the function whose configuration space is at `config`, and lets it answer.
   * @throws IommuError ENODEV when the root complex has no memory window, ENOSPC when none has room
   */
  assign(config: number): readonly PlacedBar[] {
    const placed: PlacedBar[] = [];
    for (let at = config + BAR0; at < config + BAR_END; at += 4) {
      const low = this.probe(at);
      if (low === 0 || (low & IS_IO) !== 0) continue;
      const wide = (low & IS_64_BIT) !== 0;
      const bytes = this.sizeOf(low, wide ? this.probe(at + 4) : 0xffffffff);
      const base = this.take(bytes);
      this.bus.store32(at, base % 2 ** 32);
      if (wide) this.bus.store32(at + 4, Math.floor(base / 2 ** 32));
      placed.push({ base, bytes });
      if (wide) at += 4;
    }
    this.bus.store32(config + COMMAND, MEMORY_SPACE);
    return placed;
  }

  /** What a register reads after all ones were written to it: 0 if it is none. */
  probe(at: number): number {
    const old = this.bus.load32(at);
    this.bus.store32(at, 0xffffffff);
    const ones = this.bus.load32(at);
    this.bus.store32(at, old);
    return ones;
  }

  sizeOf(low: number, high: number): number {
    const mask = (low & ~15) >>> 0;
    return mask !== 0 ? 2 ** 32 - mask : 2 ** 32 * (2 ** 32 - high);
  }

  /** Takes `bytes` from the first window with room, aligned to their size. */
  take(bytes: number): number {
    for (const pool of this.pools) {
      const base = Math.ceil(pool.next / bytes) * bytes;
      if (base + bytes > pool.window.cpu + pool.window.bytes) continue;
      pool.next = base + bytes;
      return base;
    }
    const none = this.pools.length === 0;
    throw new IommuError(
      none ? 'ENODEV' : 'ENOSPC',
      none
        ? `${this.node.name} has no memory window that devices see where CPUs see it`
        : `${this.node.name}: no memory window has room for 0x${bytes.toString(16)} bytes more`,
      { remedy: none ? 'describe one in its ranges' : 'describe a larger one in its ranges' },
    );
  }
}
