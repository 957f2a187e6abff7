import type { Footprint, Kernel } from '@iommukit/kernel';

/** What a transaction is, for the invalidations that have to wait for it: IOTLB.DR is about reads, DW about writes. */
export const FLIGHT = { READ: 0, WRITE: 1, WALK: 2 } as const;
/** See {@link FLIGHT}. */
export type Flight = (typeof FLIGHT)[keyof typeof FLIGHT];

/** For each {@link FLIGHT} the first ticket that is not to be waited for. */
export type Bounds = readonly [reads: number, writes: number, walks: number];

/** Tickets carry their {@link FLIGHT} in the low bits. */
const KINDS = 4;

/**
 * Transactions of the stepwise gait that are under way: walking, or with an old translation in hand. An invalidation is complete
 * only when those that began before it are through (MN-18). In the atomic gait a transaction is one step and none of them is.
 */
export class InFlight {
  readonly kernel: Kernel;
  readonly footprint: Footprint;
  /** Tickets of the transactions that are under way, ascending. */
  readonly open: number[];
  /** `next`: the next ticket's number; `stale`: tickets below began before the last invalidation. */
  readonly state = { next: 1, stale: 0, reads: 0, writes: 0 };
  /** Called when a transaction that somebody may wait for is through. */
  settled: (() => void) | null = null;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.footprint = kernel.footprint();
    this.open = kernel.checkpoints.keepList<number>([]);
    kernel.checkpoints.keep(this.state);
  }

  /** A transaction begins: its ticket, to be given back at {@link end}. */
  begin(kind: Flight = FLIGHT.WALK): number {
    const ticket = this.state.next++ * KINDS + kind;
    this.open.push(ticket);
    return ticket;
  }

  /** An invalidation came since the transaction began: what it has read must not be kept. */
  stale(ticket: number): boolean {
    return ticket < this.state.stale;
  }

  /** The transaction is through: what it did is visible. */
  end(ticket: number): void {
    const i = this.open.indexOf(ticket);
    if (i >= 0) this.open.splice(i, 1);
    if (!this.stale(ticket)) return;
    this.kernel.touch(this.footprint, true);
    this.settled?.();
  }

  /**
   * Something was invalidated: every transaction under way may have read what is old now. Without draining nobody has to wait for
   * reads, or writes, that have their translation already.
   */
  invalidated(drainReads = true, drainWrites = true): void {
    const { state } = this;
    state.stale = state.next * KINDS;
    if (drainReads) state.reads = state.stale;
    if (drainWrites) state.writes = state.stale;
  }

  /** What a wait that comes now has to wait for. */
  bounds(): Bounds {
    const { reads, writes, stale } = this.state;
    return [reads, writes, stale];
  }

  /** Every transaction below the bounds is through. */
  through(bounds: Bounds): boolean {
    for (const ticket of this.open) if (ticket < (bounds[ticket % KINDS] ?? 0)) return false;
    return true;
  }
}
