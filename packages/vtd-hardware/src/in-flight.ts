import type { Kernel } from '@iommukit/kernel';
import { InFlight as AnyInFlight } from '@iommukit/pci-ats';

/** What a transaction is, for the invalidations that have to wait for it: IOTLB.DR is about reads, DW about writes. */
export const FLIGHT = { READ: 0, WRITE: 1, WALK: 2 } as const;
/** See {@link FLIGHT}. */
export type Flight = (typeof FLIGHT)[keyof typeof FLIGHT];

/** For each {@link FLIGHT} the first ticket that is not to be waited for. */
export type Bounds = readonly [reads: number, writes: number, walks: number];

/** Tickets carry their {@link FLIGHT} in the low bits. */
const KINDS = 4;

/** Transactions under way, told apart by what they are: an invalidation need not drain reads, or writes. */
export class InFlight extends AnyInFlight {
  /** The first tickets of reads and writes that no invalidation drains. */
  readonly drained = { reads: 0, writes: 0 };

  constructor(kernel: Kernel) {
    super(kernel);
    kernel.checkpoints.keep(this.drained);
  }

  override begin(kind: Flight = FLIGHT.WALK): number {
    return this.admit(this.state.next++ * KINDS + kind);
  }

  /** Each wait has bounds of its own: it looks for itself. */
  override tellSettled(): void {
    this.settled?.();
  }

  /**
   * Something was invalidated: every transaction under way may have read what is old now. Without draining nobody has to wait for
   * reads, or writes, that have their translation already.
   */
  override invalidated(drainReads = true, drainWrites = true): void {
    const { state, drained } = this;
    state.stale = state.next * KINDS;
    if (drainReads) drained.reads = state.stale;
    if (drainWrites) drained.writes = state.stale;
  }

  /** What a wait that comes now has to wait for. */
  bounds(): Bounds {
    const { reads, writes } = this.drained;
    return [reads, writes, this.state.stale];
  }

  /** Every transaction below the bounds is through. */
  through(bounds: Bounds): boolean {
    for (const ticket of this.open) if (ticket < (bounds[ticket % KINDS] ?? 0)) return false;
    return true;
  }
}
