import type { Coroutine, Footprint, Kernel } from '@iommukit/kernel';

/** The ticket of what nothing can come between: the atomic gait. It is never stale. */
export const NO_TICKET = 0;

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
  readonly state = { next: 1, stale: 0 };
  /** Called when transactions that somebody waits for are through. */
  settled: (() => void) | null = null;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.footprint = kernel.footprint();
    this.open = kernel.checkpoints.keepList<number>([]);
    kernel.checkpoints.keep(this.state);
  }

  /** A transaction begins: its ticket, to be given back at {@link end}. */
  begin(): number {
    return this.admit(this.state.next++);
  }

  admit(ticket: number): number {
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
    this.tellSettled();
  }

  tellSettled(): void {
    if (!this.waiting) this.settled?.();
  }

  /** Something was invalidated: every transaction under way may have read what is old now. */
  invalidated(): void {
    this.state.stale = this.state.next;
  }

  /** A transaction that began before the last invalidation is under way. */
  get waiting(): boolean {
    return this.open.length > 0 && this.open[0] < this.state.stale;
  }

  /** Waits until every transaction that began before the last invalidation is through. */
  *drain(): Coroutine<void> {
    if (this.waiting) yield* this.kernel.until(this.footprint, () => !this.waiting, 'old walks to end');
  }
}
