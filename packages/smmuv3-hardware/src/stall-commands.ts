import { CERROR, Resume, StallTerm } from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import { STALL_ACTION, type StallAction } from './stalls.js';

/** The commands that end stalls (smmuv3.md 4.2, 5.4). What they let go runs later: nobody waits for it. */
export class StallCommands {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  resume(words: Uint32Array): number {
    const { smmu } = this;
    if (smmu.capabilities.stall === 'none') return CERROR.ILL;
    const { sid, stag } = Resume.f;
    smmu.stalls.resume(sid.get(words), stag.get(words), this.actionOf(words));
    return CERROR.NONE;
  }

  /** Ac = 1 retries, whatever Ab says; else Ab = 1 aborts; else the transaction is terminated as TERM_MODEL says. */
  actionOf(words: Uint32Array): StallAction {
    const { ac, ab } = Resume.f;
    if (ac.get(words) === 1) return STALL_ACTION.RETRY;
    if (ab.get(words) === 1 || this.smmu.capabilities.terminateAborts) return STALL_ACTION.ABORT;
    return STALL_ACTION.IGNORE;
  }

  stallTerm(words: Uint32Array): number {
    const { smmu } = this;
    if (smmu.capabilities.stall === 'none') return CERROR.ILL;
    smmu.stalls.terminate(StallTerm.f.sid.get(words));
    return CERROR.NONE;
  }
}
