import { type Coroutine, PREEMPT } from '@iommukit/kernel';
import { ICS, InvWait, IQEI } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import type { Bounds } from './in-flight.js';

/** An invalidation wait that was fetched and has not completed. */
export interface PendingWait {
  /** What it waits for: transactions under way, device-TLB invalidations and, with PD, page requests. */
  readonly bounds: Bounds;
  readonly invalidateRequests: number;
  readonly pageRequests: number;
  /** Nothing is fetched before it completes. */
  readonly fence: boolean;
  readonly interrupt: boolean;
  /** Where its status goes; -1: nowhere. */
  readonly address: number;
  readonly data: number;
}

/**
 * Invalidation waits (vtd.md 3.5). One completes after every descriptor before it: their effects are there, transactions that used
 * what was dropped are through, and devices have acknowledged. The queue goes on meanwhile, unless the wait is a fence.
 */
export class Waits {
  readonly vtd: Vtd;
  /** In the order in which they were fetched, which is that in which they complete. */
  readonly pending: PendingWait[];

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.pending = vtd.kernel.checkpoints.keepList<PendingWait>([]);
  }

  /** Takes a wait descriptor. */
  begin(words: Uint32Array): number {
    const { capabilities, inFlight, invalidateRequests, pageRequests } = this.vtd;
    const { if: signals, sw, fn, pd, statusData, statusAddress, statusAddressHigh } = InvWait.f;
    const drains = pd.get(words) === 1;
    if (drains && !capabilities.pds) return IQEI.RESERVED;
    // Beyond every host address width no memory is.
    const address = statusAddressHigh.get(words) * 2 ** 52 + statusAddress.get(words);
    this.pending.push({
      bounds: inFlight.bounds(),
      invalidateRequests: invalidateRequests.next,
      pageRequests: drains ? pageRequests.next : 0,
      fence: fn.get(words) === 1,
      interrupt: signals.get(words) === 1,
      address: sw.get(words) === 1 ? address : -1,
      data: statusData.get(words),
    });
    return IQEI.NONE;
  }

  /** A fence is pending: nothing may be fetched. */
  get fenced(): boolean {
    return this.pending.some(({ fence }) => fence);
  }

  /** The first pending wait may complete. */
  get ready(): boolean {
    return this.pending.length > 0 && this.through(this.pending[0]);
  }

  /** Everything that a wait waits for is over. */
  through(wait: PendingWait): boolean {
    const { inFlight, invalidateRequests, pageRequests } = this.vtd;
    return (
      inFlight.through(wait.bounds) &&
      invalidateRequests.through(wait.invalidateRequests) &&
      pageRequests.through(wait.pageRequests)
    );
  }

  /** Completes the first pending wait: its status is in memory before its event. */
  *finish(): Coroutine<void> {
    const { kernel, footprint, memory } = this.vtd;
    const wait = this.pending[0];
    const { address, data } = wait;
    if (kernel.at(address < 0 ? footprint : Math.floor(address / 8), true)) yield PREEMPT;
    // A time-out may have aborted it meanwhile.
    if (this.pending[0] !== wait) return;
    this.pending.shift();
    if (address >= 0 && memory.contains(address)) memory.store32(address, data);
    if (wait.interrupt) this.signal();
  }

  /** ICS.IWC; an event only if it was clear. */
  signal(): void {
    const { registers, events } = this.vtd;
    const status = registers.get(ICS.offset);
    if (ICS.f.iwc.of(status) === 1) return;
    registers.put(ICS.offset, (status | ICS.f.iwc.maskLo) >>> 0);
    events.raise('invalidation');
  }

  /** A device-TLB invalidation timed out: no wait that was fetched completes any more (vtd.md 3.13). */
  abort(): void {
    this.pending.length = 0;
  }
}
