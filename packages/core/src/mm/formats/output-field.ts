import type { PageDescriptor } from '@iommukit/paging';

/** Reads and writes one field of a descriptor. */
type Field = (typeof PageDescriptor)['f']['oa'];

/** Frames of 4 KiB in 4 GiB. */
const FRAMES_4G = 2 ** 20;

/**
 * The frame number in an entry whose address stands in one field, or in two: the topmost bits elsewhere, as with 52-bit
 * addresses (smmuv3.md 3.2).
 */
export class OutputField {
  readonly main: Field;
  readonly high: Field | null;
  readonly low: number;
  readonly upper: number;
  /** Frames below the first that needs the second field. */
  readonly limit: number;

  constructor(main: Field, high: Field | null) {
    this.main = main;
    this.high = high;
    this.low = main.maskLo;
    this.upper = main.maskHi;
    this.limit = 2 ** (main.hi + 1 - 12);
  }

  get(entry: Uint32Array): number {
    const frame = ((entry[0]! & this.low) >>> 12) + (entry[1]! & this.upper) * FRAMES_4G;
    return this.high === null ? frame : frame + this.high.get(entry) * this.limit;
  }

  /** @throws BitfieldError when the frame is not aligned to the field, or does not fit */
  set(entry: Uint32Array, frame: number): void {
    if (this.high === null) {
      this.main.set(entry, frame * 4096);
      return;
    }
    this.main.set(entry, (frame % this.limit) * 4096);
    this.high.set(entry, Math.floor(frame / this.limit));
  }
}
