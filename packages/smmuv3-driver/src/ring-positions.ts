/**
 * Positions in a ring of 2^n entries. They count for ever; the index registers hold their low n + 1 bits: the index and
 * the wrap bit (smmuv3.md 5.6).
 */
export class RingPositions {
  readonly entries: number;
  /** Bits that an index register keeps. */
  readonly mask: number;

  constructor(log2Entries: number) {
    this.entries = 2 ** log2Entries;
    this.mask = 2 * this.entries - 1;
  }

  /** What an index register holds at `position`. */
  register(position: number): number {
    return position % (2 * this.entries);
  }

  /** The position that a register's value stands for, which is at `from` or at most one ring ahead of it. */
  advance(from: number, register: number): number {
    return from + (((register & this.mask) - this.register(from)) & this.mask);
  }

  /** The entry's number in the ring. */
  index(position: number): number {
    return position % this.entries;
  }
}
