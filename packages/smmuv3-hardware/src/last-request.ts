import { LINE } from '@iommukit/kernel';
import { WANT_PRIVILEGED } from '@iommukit/pci-ats';
import { EVENT } from '@iommukit/smmuv3-spec';
import { KIND, NUMBER } from './context-fields.js';
import type { SmmuV3 } from './device.js';

/** What {@link Translator.lookup} returns instead of a line. */
export const NO_LINE = {
  /** The request failed: `reason` says why. */
  REFUSED: -1,
  /** The address is not translated. */
  BYPASS: -2,
} as const;

/** What became of the last request that was translated, in either gait: until the next one. */
export abstract class LastRequest {
  readonly smmu: SmmuV3;
  /** Event number of what failed; 0 for an abort without a record. */
  reason = 0;
  /** Level at which the walk ended. */
  level = 0;
  /** Address whose fetch failed: F_STE_FETCH, F_CD_FETCH, F_WALK_EABT. */
  fetchAddress = 0;
  /** Offset of the last request's context in {@link ConfigCache.contexts}; -1 when it had none. */
  context = -1;
  /** The line of the last {@link translate} that succeeded; -1 when it needed none. */
  line = -1;
  /** Generation of the frame of a translation that has no line, when it was read. */
  generation = 0;
  /** What the last request that failed wanted, after STE.PRIVCFG and INSTCFG. */
  wanted = 0;
  /** The input address was too large where stage 1 does not translate: a fault of no stage (3.3). */
  beyond = false;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** A stage translates the last request's stream: CD.A, R and S, or STE.S2R and S2S, govern its faults (3.3). */
  get translates(): boolean {
    return this.kind === KIND.STAGE1 || this.atStage2;
  }

  /** The last request came to stage 2: its faults are those of stage 2. */
  get atStage2(): boolean {
    return this.kind === KIND.STAGE2 && !this.beyond;
  }

  /** {@link KIND} of the last request's context; -1 when it had none. */
  get kind(): number {
    return this.context < 0 ? -1 : this.smmu.config.numbers[this.context + NUMBER.KIND];
  }

  /** FLAG bits of the context that governs the last request's faults; 0 where no stage translates. */
  get controls(): number {
    return this.translates ? this.smmu.config.numbers[this.context + NUMBER.FLAGS] : 0;
  }

  /** The generation of the last translation's frame when it was read; 0 for a block, whose frames have many. */
  get witness(): number {
    if (this.line < 0) return this.generation;
    const { lines } = this.smmu.iotlb;
    return lines.order[this.line] === 0 ? lines.generation[this.line] : 0;
  }

  /** The last request that failed counts as privileged (PnU). */
  get privileged(): boolean {
    return (this.wanted & WANT_PRIVILEGED) !== 0;
  }

  /** The last request that failed counts as an instruction fetch (InD). */
  get instruction(): boolean {
    return (this.wanted & (LINE.EXEC | LINE.WRITE)) === LINE.EXEC;
  }

  fail(reason: number, level: number): number {
    this.reason = reason;
    this.level = level;
    this.beyond = false;
    return NO_LINE.REFUSED;
  }

  /** Stage 1 does not translate, and the input address is too large for what follows (3.3). */
  failBeyond(): number {
    this.fail(EVENT.F_ADDR_SIZE, 0);
    this.beyond = true;
    return NO_LINE.REFUSED;
  }
}
