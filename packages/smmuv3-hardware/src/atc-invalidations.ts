import type { Timer } from '@iommukit/kernel';
import type { SmmuV3 } from './device.js';

/** PCIe gives the host 32 tags a function (pcie-ats.md 2.5). */
export const ITAGS = 32;

/** An invalidate request that its device has not completed. */
interface Outstanding {
  readonly stream: number;
  readonly itag: number;
  /** Completions seen so far: a device sends CC of them. */
  seen: number;
  readonly timer: Timer;
}

/** What CMD_SYNC waits for: ATC invalidations under way, by ITag (smmuv3.md 4.4). */
export class AtcInvalidations {
  readonly smmu: SmmuV3;
  readonly outstanding: Outstanding[];
  /** One timed out, and no CMD_SYNC has reported it yet. */
  readonly state = { lost: false };

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    this.outstanding = smmu.kernel.checkpoints.keepList<Outstanding>([]);
    smmu.kernel.checkpoints.keep(this.state);
  }

  /** Takes the lowest free ITag of a stream; -1 when all are in use. */
  begin(stream: number): number {
    let used = 0;
    for (const one of this.outstanding) if (one.stream === stream) used |= 1 << one.itag;
    if (used === -1) return -1;
    const itag = 31 - Math.clz32(~used & -~used);
    const timer = this.smmu.kernel.clock.after(this.smmu.capabilities.atcTimeoutNs, () => this.timeOut(stream, itag));
    this.outstanding.push({ stream, itag, seen: 0, timer });
    return itag;
  }

  /** A completion: `itags` has a bit for each tag, each of which needs `count` completions (0: 8). Strange ones are ignored. */
  complete(stream: number, itags: number, count: number): void {
    const needed = count === 0 ? 8 : count;
    for (let i = this.outstanding.length - 1; i >= 0; i--) {
      const one = this.outstanding[i];
      if (one.stream !== stream || (itags & (1 << one.itag)) === 0) continue;
      one.seen++;
      if (one.seen < needed) continue;
      this.smmu.kernel.clock.cancel(one.timer);
      this.outstanding.splice(i, 1);
    }
    this.smmu.kernel.kick(this.smmu.commands.task);
  }

  timeOut(stream: number, itag: number): void {
    const i = this.outstanding.findIndex((one) => one.stream === stream && one.itag === itag);
    this.outstanding.splice(i, 1);
    this.state.lost = true;
    this.smmu.kernel.kick(this.smmu.commands.task);
  }
}
