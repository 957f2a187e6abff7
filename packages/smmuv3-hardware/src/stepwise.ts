import { type Coroutine, PREEMPT, powerOfTwo } from '@iommukit/kernel';
import { inModeOf, RIGHTS, type Translation } from '@iommukit/pci-ats';
import { EVENT } from '@iommukit/smmuv3-spec';
import { OWN_CONTEXT } from './config-cache.js';
import { CONTEXT, KIND, NUMBER } from './context-fields.js';
import type { SmmuV3 } from './device.js';
import { StepwiseRequest } from './stepwise-request.js';
import { NEXT } from './table-walk.js';

/** What a stepwise lookup found. */
export const FOUND = {
  /** `walk` has a leaf. Its rights are the caller's business. */
  LEAF: 0,
  /** The address is not translated. */
  BYPASS: 1,
  /** `walk.reason` and `walk.level` say why it failed. */
  REFUSED: 2,
  /** Nothing yet: the tables have to be walked. */
  MISS: 3,
} as const;

/**
 * The stepwise gait: the same translation with a preemption point before every 64-bit piece of every entry that is fetched, before
 * each update of flags, and before a line is filled. What was read before an invalidation is used, as the architecture lets
 * hardware do until the CMD_SYNC completes, and not kept (MN-18).
 */
export class Stepwise {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** Translator.translate, stepwise; the Translator tells what became of it. */
  *translate(
    stream: number,
    ssid: number,
    page: number,
    want: number,
    out: Translation,
    ticket: number,
  ): Coroutine<boolean> {
    const request = new StepwiseRequest(this.smmu, stream, ssid, page, want, ticket);
    const found = yield* this.lookup(request);
    this.publish(request, found);
    const { walk } = request;
    const { translator } = this.smmu;
    if (found === FOUND.BYPASS) return translator.identity(page, out);
    if (found === FOUND.REFUSED) return translator.refuse(walk.want, out);
    const rights = inModeOf(walk.want, walk.flags);
    if ((walk.want & RIGHTS & ~rights) !== 0) {
      translator.fail(EVENT.F_PERMISSION, walk.level);
      return translator.refuse(walk.want, out);
    }
    translator.line = request.line;
    translator.generation = walk.order === 0 ? walk.generation : 0;
    out.frame = walk.frame + (page % powerOfTwo(walk.order));
    out.perm = rights;
    out.log2Size = 12 + walk.order;
    out.reason = 0;
    out.level = walk.level;
    return true;
  }

  /** Finds the leaf of a request: {@link FOUND}. The caller has passed a point; nothing comes between the end and what he does next. */
  *lookup(request: StepwiseRequest): Coroutine<number> {
    const { kernel, footprint, registers, fetcher, walker } = this.smmu;
    const { walk, fetch } = request;
    if (!registers.enabled) return registers.globalAbort ? this.refused(request, 0) : FOUND.BYPASS;
    const before = kernel.steps;
    if (!(yield* fetcher.contextSteps(fetch))) return this.refused(request, fetch.reason, fetch.address);
    request.configure();
    // The caches are looked up in the step of the caller's point, or after one of their own.
    if (kernel.steps !== before && kernel.at(footprint, false)) yield PREEMPT;
    const found = this.find(request);
    if (found !== FOUND.MISS) return found;
    if ((yield* walker.steps(walk)) === NEXT.FAULT) return this.refused(request, walk.reason, walk.address);
    // A step of its own: an invalidation may come between the last fetch and the fill.
    if (kernel.at(footprint, true)) yield PREEMPT;
    this.fill(request);
    return FOUND.LEAF;
  }

  /** What is known without the tables: {@link FOUND}. */
  find(request: StepwiseRequest): number {
    const { smmu } = this;
    const { walk } = request;
    const kind = walk.numbers[NUMBER.KIND];
    if (kind === KIND.BAD_CD) return this.refused(request, EVENT.C_BAD_CD);
    if (kind !== KIND.STAGE1 && !(walk.page < walk.contexts[CONTEXT.INPUT])) {
      request.beyond = true;
      return this.refused(request, EVENT.F_ADDR_SIZE);
    }
    if (kind === KIND.BYPASS) return FOUND.BYPASS;
    walk.key = smmu.translator.keyOf(walk.contexts, walk.numbers, 0, walk.page);
    if (walk.key < 0) return this.refused(request, EVENT.F_TRANSLATION);
    // Spaces may have been numbered anew since the context was fetched.
    if (!smmu.walker.fresh(walk)) return FOUND.MISS;
    if (this.findLine(request)) return FOUND.LEAF;
    walk.cached = smmu.config.findContext(walk.stream, walk.ssid);
    return FOUND.MISS;
  }

  /** The TLB has a line that will do. */
  findLine(request: StepwiseRequest): boolean {
    const { translator, iotlb } = this.smmu;
    const { walk } = request;
    const i = translator.findOther(walk.numbers, 0, walk.key);
    if (i < 0) return false;
    translator.use(i);
    if (translator.walksAgain(iotlb.lines.flags[i], walk.want)) {
      iotlb.tags[i] = -1;
      return false;
    }
    request.takeLine(this.smmu, i);
    return true;
  }

  /** Keeps what the walk found, unless an invalidation came since it began. */
  fill(request: StepwiseRequest): void {
    const { walker, translator } = this.smmu;
    if (walker.fresh(request.walk)) request.line = translator.keep(request.walk);
  }

  refused(request: StepwiseRequest, reason: number, address = 0): number {
    request.walk.reason = reason;
    request.fetchAddress = address;
    return FOUND.REFUSED;
  }

  /** Tells the Translator what became of the request, as if it had been its own. */
  publish(request: StepwiseRequest, found: number): void {
    const { translator, config } = this.smmu;
    const { walk, fetch } = request;
    config.contexts.set(fetch.contexts, OWN_CONTEXT);
    config.numbers.set(fetch.numbers, OWN_CONTEXT);
    translator.context = request.configured ? OWN_CONTEXT : -1;
    translator.overrides = 0;
    config.forget();
    translator.fetchAddress = request.fetchAddress;
    if (found !== FOUND.REFUSED) return;
    if (request.beyond) translator.failBeyond();
    else translator.fail(walk.reason, walk.level);
  }
}
