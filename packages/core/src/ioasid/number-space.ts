import type { Kernel } from '@iommukit/kernel';
import { INVALID_IOASID, type Ioasid } from './ioasid.js';

/** The default allocator: records by number, the lowest free number first (IOASID-4). */
export class NumberSpace {
  readonly ids = new Map<number, Ioasid>();
  /** Every number in [1, lowest) is in use: where a search begins. */
  readonly state = { lowest: 1 };

  constructor(kernel: Kernel) {
    kernel.checkpoints.keepMap(this.ids);
    kernel.checkpoints.keep(this.state);
  }

  /** The lowest free number in [min, max], both included; {@link INVALID_IOASID} if there is none. */
  lowestFree(min: number, max: number): number {
    if (min === 0 && !this.ids.has(0)) return max >= 0 ? 0 : INVALID_IOASID;
    const last = Math.min(max, INVALID_IOASID - 1);
    let id = Math.max(min, this.state.lowest);
    while (id <= last && this.ids.has(id)) id++;
    return id <= last ? id : INVALID_IOASID;
  }

  /** A number of [min, …] that {@link lowestFree} found is taken. */
  took(id: number, min: number): void {
    if (id !== 0 && min <= this.state.lowest) this.state.lowest = id + 1;
  }

  /** A number is free again. */
  freed(id: number): void {
    if (id !== 0 && id < this.state.lowest) this.state.lowest = id;
  }
}
