import type { Coroutine, Step } from '@iommukit/kernel';
import { CR0, GERROR, GERROR_KNOWN, GERRORN } from '@iommukit/smmuv3-spec';
import { smmuGlobalError } from './error-points.js';
import type { Smmu } from './smmu.js';

/** The thread for errors of the SMMU as a whole (smmuv3.md 1.6). */
export class GlobalErrors {
  readonly smmu: Smmu;
  readonly state = { count: 0 };

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    smmu.kernel.checkpoints.keep(this.state);
  }

  /** The interrupt thread: handles what is active and acknowledges it, in this order: the command queue goes on then. */
  *work(): Coroutine<void> {
    const { mmio } = this.smmu;
    const reported = yield* mmio.read32(GERROR.offset);
    const active = (reported ^ (yield* mmio.read32(GERRORN.offset))) & GERROR_KNOWN;
    if (active === 0) return;
    this.state.count++;
    yield* this.handle(active);
    yield* this.acknowledge(reported);
  }

  *handle(active: number): Coroutine<void> {
    const { kernel, name } = this.smmu;
    const { sfmErr, cmdqErr, priqAbtErr } = GERROR.f;
    const serious = active & ~GERROR.pack({ cmdqErr: 1 });
    if (serious !== 0 && kernel.trace.wants(smmuGlobalError))
      kernel.trace.emit(smmuGlobalError, { smmu: name, active });
    if (sfmErr.of(active) === 1) yield* this.disable();
    if (cmdqErr.of(active) === 1) yield* this.smmu.commands.handleError();
    if (priqAbtErr.of(active) === 1) yield* this.lostRequests();
  }

  acknowledge(reported: number): Step<void> {
    return this.smmu.mmio.write32(GERRORN.offset, reported);
  }

  /** Service failure mode: nothing it does can be relied on. Whoever waits for commands gives up by their time-outs. */
  disable(): Step<void> {
    return this.smmu.mmio.write32(CR0.offset, 0);
  }

  /** Page requests may be lost in a write that aborted, as in an overflow (IOPF-15). */
  lostRequests(): Coroutine<void> {
    return this.smmu.pageRequests.discardPartial();
  }
}
