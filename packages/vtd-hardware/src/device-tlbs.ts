import type { Timer } from '@iommukit/kernel';
import { IQERCD } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';

/** PCIe gives the host 32 tags a function (pcie-ats.md 2.5). */
export const ITAGS = 32;
/** Bits of FSTS (vtd.md 1.8). */
const FSTS_ICE = 0x20;
const FSTS_ITE = 0x40;

/** An invalidate request that its device has not completed. */
export interface OutstandingInvalidation {
  readonly stream: number;
  readonly itag: number;
  /** Whose queue it counts against: the requester, or the physical function that a descriptor names. */
  readonly group: number;
  /** Waits that came later wait for it. */
  readonly sequence: number;
  /** Completions that the first one announced, 0 before it; and those seen: a device sends CC of them. */
  needed: number;
  seen: number;
  readonly timer: Timer;
}

/** What waits wait for: device-TLB invalidations under way, by ITag (vtd.md 3.3, 3.8, 3.13). */
export class DeviceTlbs {
  readonly vtd: Vtd;
  readonly outstanding: OutstandingInvalidation[];
  readonly state = { next: 1 };

  constructor(vtd: Vtd) {
    this.vtd = vtd;
    this.outstanding = vtd.kernel.checkpoints.keepList<OutstandingInvalidation>([]);
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
    let used = 0;
    let pending = 0;
    for (const one of this.outstanding) {
      if (one.stream === stream) used |= 1 << one.itag;
      if (one.group === group) pending++;
    }
    if (used === -1 || pending >= (limit === 0 ? ITAGS : limit)) return -1;
    const itag = 31 - Math.clz32(~used & -~used);
    const { clock } = this.vtd.kernel;
    const timer = clock.after(this.vtd.capabilities.devTlbTimeoutNs, () => this.timeOut(stream, itag));
    this.outstanding.push({ stream, itag, group, sequence: this.state.next++, needed: 0, seen: 0, timer });
    return itag;
  }

  /** A completion: `itags` has a bit for each tag, each of which needs `count` completions (0: 8). One that nobody asked for is bad. */
  complete(stream: number, itags: number, count: number): void {
    const { kernel } = this.vtd;
    const needed = count === 0 ? 8 : count;
    let unknown = itags;
    let bad = unknown === 0 || needed < 1 || needed > 8;
    for (let i = this.outstanding.length - 1; i >= 0; i--) {
      const one = this.outstanding[i];
      if (one.stream !== stream || (itags & (1 << one.itag)) === 0) continue;
      unknown &= ~(1 << one.itag);
      // Every completion of one ITag carries the same count.
      if (one.needed !== 0 && one.needed !== needed) bad = true;
      else if (this.count(one, needed)) this.outstanding.splice(i, 1);
    }
    if (bad || unknown !== 0) this.badCompletion(stream);
    kernel.kick(this.vtd.queue.task);
  }

  /** One more completion of an invalidation. True: it was the last. */
  count(one: OutstandingInvalidation, needed: number): boolean {
    one.needed = needed;
    one.seen++;
    if (one.seen < needed) return false;
    this.vtd.kernel.clock.cancel(one.timer);
    return true;
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
  timeOut(stream: number, itag: number): void {
    const { registers, faults, waits, kernel, queue } = this.vtd;
    const i = this.outstanding.findIndex((one) => one.stream === stream && one.itag === itag);
    this.outstanding.splice(i, 1);
    if (!faults.raised(FSTS_ITE)) {
      const hi = registers.get(IQERCD.offset + 4);
      registers.put(IQERCD.offset + 4, ((hi & 0xffff0000) | (stream & 0xffff)) >>> 0);
    }
    waits.abort();
    faults.raise(FSTS_ITE);
    kernel.kick(queue.task);
  }
}
