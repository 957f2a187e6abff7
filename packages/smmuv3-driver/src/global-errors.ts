import type { Coroutine, Step } from '@iommukit/kernel';
import { CR0, GERROR, GERROR_KNOWN, GERRORN } from '@iommukit/smmuv3-spec';
import type { Smmu } from './smmu.js';
import { smmuGlobalError } from './trace-points.js';

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
    const { mmio, kernel, name } = this.smmu;
    const reported = yield* mmio.read32(GERROR.offset);
    const active = (reported ^ (yield* mmio.read32(GERRORN.offset))) & GERROR_KNOWN;
    if (active === 0) return;
    this.state.count++;
    if (kernel.trace.on) kernel.trace.emit(smmuGlobalError, { smmu: name, active });
    if (GERROR.f.sfmErr.of(active) === 1) yield* this.disable();
    if (GERROR.f.cmdqErr.of(active) === 1) yield* this.smmu.commands.handleError();
    yield* this.acknowledge(reported);
  }

  acknowledge(reported: number): Step<void> {
    return this.smmu.mmio.write32(GERRORN.offset, reported);
  }

  /** Service failure mode: nothing it does can be relied on. */
  disable(): Step<void> {
    return this.smmu.mmio.write32(CR0.offset, 0);
  }
}
