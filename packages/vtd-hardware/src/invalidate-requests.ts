import { completionsOf, InvalidateTags, ITAGS, type TaggedRequest } from '@iommukit/pci-ats';
import { IQERCD } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';

/** Bits of FSTS (vtd.md 1.8). */
const FSTS_ICE = 0x20;
const FSTS_ITE = 0x40;
const MOST_COMPLETIONS = 8;

/** An invalidate request that its device has not completed. */
export interface OutstandingInvalidation extends TaggedRequest {
  /** Whose queue it counts against: the requester, or the physical function that a descriptor names. */
  readonly group: number;
  /** Waits that came later wait for it. */
  readonly sequence: number;
  /** Completions that the first one announced, 0 before it. */
  needed: number;
}

/** What waits wait for: device-TLB invalidations under way, by ITag (vtd.md 3.3, 3.8, 3.13). */
export class InvalidateRequests extends InvalidateTags<OutstandingInvalidation> {
  readonly vtd: Vtd;
  readonly state = { next: 1 };

  constructor(vtd: Vtd) {
    super(vtd.kernel, vtd.capabilities.devTlbTimeoutNs);
    this.vtd = vtd;
    vtd.kernel.checkpoints.keep(this.state);
  }

  /** The sequence number of the next invalidation: a wait that comes now waits for those below. */
  get next(): number {
    return this.state.next;
  }

  /** Every invalidation below the sequence number is completed, or given up. */
  through(sequence: number): boolean {
    return this.outstanding.every((one) => one.sequence >= sequence);
  }

  /**
   * Takes the lowest free ITag of a stream; -1 when all are in use, or `limit` (MIP: 0 is 32) invalidations of the group are under
   * way.
   */
  begin(stream: number, group: number, limit: number): number {
    const itag = this.freeTag(stream);
    const pending = this.outstanding.filter((one) => one.group === group).length;
    if (itag < 0 || pending >= (limit === 0 ? ITAGS : limit)) return -1;
    const timer = this.startTimer(stream, itag);
    this.outstanding.push({ stream, itag, group, sequence: this.state.next++, needed: 0, seen: 0, timer });
    return itag;
  }

  /** One that nobody asked for, or with another count than the one before, is bad. */
  override complete(stream: number, itags: number, count: number): void {
    const needed = completionsOf(count);
    const named = this.outstanding.filter((one) => one.stream === stream && (itags & (1 << one.itag)) !== 0);
    const known = named.reduce((all, { itag }) => all | (1 << itag), 0);
    const bad =
      itags === 0 ||
      (itags & ~known) !== 0 ||
      needed < 1 ||
      needed > MOST_COMPLETIONS ||
      named.some((one) => one.needed !== 0 && one.needed !== needed);
    super.complete(stream, itags, count);
    if (bad) this.badCompletion(stream);
    this.kernel.kick(this.vtd.queue.task);
  }

  /** Every completion of one ITag carries the same count. */
  override accepts(one: OutstandingInvalidation, needed: number): boolean {
    if (one.needed === 0) one.needed = needed;
    return one.needed === needed;
  }

  /** FSTS.ICE: software is told, and nothing stops. ICESID stays the first one's until ICE is cleared. */
  badCompletion(stream: number): void {
    const { registers, faults } = this.vtd;
    if (!faults.raised(FSTS_ICE)) {
      const hi = registers.get(IQERCD.offset + 4);
      registers.put(IQERCD.offset + 4, ((hi & 0xffff) | (stream << 16)) >>> 0);
    }
    faults.raise(FSTS_ICE);
  }

  /**
   * FSTS.ITE: the device did not complete in time. Waits that were fetched are aborted, and nothing is fetched before software
   * clears ITE (vtd.md 3.13; L51). ITESID stays the first one's until then.
   */
  override timeOut(stream: number, itag: number): void {
    const { registers, faults, waits, kernel, queue } = this.vtd;
    this.giveUp(stream, itag);
    if (!faults.raised(FSTS_ITE)) {
      const hi = registers.get(IQERCD.offset + 4);
      registers.put(IQERCD.offset + 4, ((hi & 0xffff0000) | (stream & 0xffff)) >>> 0);
    }
    waits.abort();
    faults.raise(FSTS_ITE);
    kernel.kick(queue.task);
  }
}
