import type { Kernel, Timer } from '@iommukit/kernel';

/** PCIe gives the host 32 tags a function (pcie-ats.md 2.5). */
export const ITAGS = 32;
/** Completions that a count of 0 stands for. */
const MOST = 8;

/** An invalidate request that its device has not completed. */
export interface TaggedRequest {
  readonly stream: number;
  readonly itag: number;
  /** Completions seen so far: a device sends as many as each of them says (CC). */
  seen: number;
  readonly timer: Timer;
}

/** Invalidate requests under way, by ITag: what an agent's waits for device TLBs wait for (pcie-ats.md 2.5). */
export abstract class InvalidateTags<Request extends TaggedRequest = TaggedRequest> {
  readonly kernel: Kernel;
  /** How long a device may take. */
  readonly limitNs: number;
  readonly outstanding: Request[];

  constructor(kernel: Kernel, limitNs: number) {
    this.kernel = kernel;
    this.limitNs = limitNs;
    this.outstanding = kernel.checkpoints.keepList<Request>([]);
  }

  /** A request of this tag got no completion in time. */
  abstract timeOut(stream: number, itag: number): void;

  /** Whether a completion counts, one of `needed`. */
  accepts(_one: Request, _needed: number): boolean {
    return true;
  }

  /** The lowest free ITag of a stream; -1 when all are in use. */
  freeTag(stream: number): number {
    let used = 0;
    for (const one of this.outstanding) if (one.stream === stream) used |= 1 << one.itag;
    return used === -1 ? -1 : 31 - Math.clz32(~used & -~used);
  }

  /** The time limit of a request that is about to be sent. */
  startTimer(stream: number, itag: number): Timer {
    return this.kernel.clock.after(this.limitNs, () => this.timeOut(stream, itag));
  }

  /** Takes out a request that is given up. */
  giveUp(stream: number, itag: number): void {
    const i = this.outstanding.findIndex((one) => one.stream === stream && one.itag === itag);
    this.outstanding.splice(i, 1);
  }

  /** A completion: `itags` has a bit for each tag, each of which needs `count` completions (0: 8). */
  complete(stream: number, itags: number, count: number): void {
    const needed = completionsOf(count);
    for (let i = this.outstanding.length - 1; i >= 0; i--) {
      const one = this.outstanding[i];
      if (one.stream !== stream || (itags & (1 << one.itag)) === 0 || !this.accepts(one, needed)) continue;
      one.seen++;
      if (one.seen < needed) continue;
      this.kernel.clock.cancel(one.timer);
      this.outstanding.splice(i, 1);
    }
  }
}

/** How many completions a completion's count stands for. */
export const completionsOf = (count: number): number => (count === 0 ? MOST : count);
