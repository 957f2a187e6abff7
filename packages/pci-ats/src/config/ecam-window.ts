import { type AccessWidth, type Bus, IommuError, type MmioTarget, type MmioWindow } from '@iommukit/kernel';
import type { ConfigSpace } from './config-space.js';

/** The memory-mapped configuration space of a host bridge: 4 KiB a function. Absent functions read all ones. */
export class EcamWindow implements MmioTarget {
  readonly functions = new Map<number, ConfigSpace>();
  readonly window: MmioWindow;

  /** Claims `buses` MiB of the bus at `base`. @throws IommuError EBUSY if the place is taken */
  constructor(bus: Bus, base: number, buses: number) {
    this.window = bus.claim(base, buses * 2 ** 20, this);
  }

  /**
   * Adds a function. `bdf` is bus << 8 | device << 3 | function, counted from the window's first bus.
   * @throws IommuError EEXIST if there is one
   */
  add(bdf: number, config: ConfigSpace): void {
    if (this.functions.has(bdf)) {
      throw new IommuError('EEXIST', `there is a function at ${formatBdf(bdf)} already`, {
        remedy: 'give it another device number',
      });
    }
    this.functions.set(bdf, config);
    config.onChange = (offset) => this.window.changed(bdf * 4096 + offset);
  }

  read(offset: number, bytes: AccessWidth, out: Uint32Array): void {
    this.functions.get(offset >>> 12)?.read(offset & 4095, bytes, out);
  }

  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void {
    this.functions.get(offset >>> 12)?.write(offset & 4095, bytes, lo, hi);
  }
}

/** `00:03.0` */
export function formatBdf(bdf: number): string {
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return `${hex(bdf >>> 8)}:${hex((bdf >>> 3) & 31)}.${bdf & 7}`;
}

/** The requester id (bus << 8 | device << 3 | function) of `0000:00:03.0` or `00:03.0`. @throws IommuError EINVAL */
export function parseBdf(name: string): number {
  const match = /^(?:[0-9a-f]{4}:)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i.exec(name);
  if (match === null) {
    throw new IommuError('EINVAL', `'${name}' is no PCI function`, {
      remedy: 'write segment:bus:device.function, 0000:00:03.0',
    });
  }
  return (Number.parseInt(match[1], 16) << 8) | (Number.parseInt(match[2], 16) << 3) | Number(match[3]);
}
