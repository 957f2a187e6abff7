import { InvalidateTags } from '@iommukit/pci-ats';
import type { SmmuV3 } from './device.js';

/** What CMD_SYNC waits for: ATC invalidations under way, by ITag (smmuv3.md 4.4). Strange completions are ignored. */
export class InvalidateRequests extends InvalidateTags {
  readonly smmu: SmmuV3;
  /** One timed out, and no CMD_SYNC has reported it yet. */
  readonly state = { lost: false };

  constructor(smmu: SmmuV3) {
    super(smmu.kernel, smmu.capabilities.atcTimeoutNs);
    this.smmu = smmu;
    smmu.kernel.checkpoints.keep(this.state);
  }

  /** Takes the lowest free ITag of a stream; -1 when all are in use. */
  begin(stream: number): number {
    const itag = this.freeTag(stream);
    if (itag >= 0) this.outstanding.push({ stream, itag, seen: 0, timer: this.startTimer(stream, itag) });
    return itag;
  }

  override complete(stream: number, itags: number, count: number): void {
    super.complete(stream, itags, count);
    this.kernel.kick(this.smmu.commands.task);
  }

  override timeOut(stream: number, itag: number): void {
    this.giveUp(stream, itag);
    this.state.lost = true;
    this.kernel.kick(this.smmu.commands.task);
  }
}
