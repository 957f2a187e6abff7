import { type Coroutine, PREEMPT, powerOfTwo } from '@iommukit/kernel';
import { inModeOf, RIGHTS, type Translation } from '@iommukit/pci-ats';
import { beyond, forbids, keyOf, passThrough } from './address-checks.js';
import type { Vtd } from './device.js';
import { PRIVILEGE } from './privilege.js';
import { FLAG, KIND, NUMBER, REGIME } from './regime.js';
import { OWN_REGIME } from './regimes.js';
import { denial } from './rights.js';
import { StepwiseRequest } from './stepwise-request.js';
import { NEXT } from './table-walk.js';

/** Level of a page. */
const PAGE_LEVEL = 1;

/** What a stepwise lookup found. */
export const FOUND = {
  /** `walk` has a leaf. Its rights are the caller's business. */
  LEAF: 0,
  /** The address is not translated. */
  BYPASS: 1,
  /** `walk.reason`, `walk.level` and `suppressed` say why it failed. */
  REFUSED: 2,
  /** Nothing yet: the tables have to be walked. */
  MISS: 3,
} as const;

/**
 * The stepwise gait: the same translation with a preemption point before every 64-bit piece of every entry that is fetched, before
 * each update of flags, and before a line is filled. What was read before an invalidation is used, as the architecture lets
 * hardware do until a wait completes, and not kept (MN-18).
 */
export class Stepwise {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** Translator.translate, stepwise; the Translator tells what became of it. */
  *translate(
    stream: number,
    pasid: number,
    page: number,
    want: number,
    out: Translation,
    ticket: number,
  ): Coroutine<boolean> {
    const request = new StepwiseRequest(this.vtd, stream, pasid, page, want, ticket);
    const found = yield* this.lookup(request);
    this.publish(request, found);
    const { walk } = request;
    const { translator } = this.vtd;
    if (found === FOUND.BYPASS) return translator.identity(page, out);
    if (found === FOUND.REFUSED) return translator.refuse(want, out);
    const rights = inModeOf(walk.want, walk.flags);
    if ((walk.want & RIGHTS & ~rights) !== 0) {
      // A line's flags say what is missing, unless its page is clean: then it was walked for.
      const kind = walk.numbers[NUMBER.KIND];
      const { denied } = walk;
      const reason = denied === 0 ? denial(kind, walk.numbers[NUMBER.FLAGS], walk.want, walk.flags) : denied;
      translator.failHere(reason, walk.level);
      return translator.refuse(want, out);
    }
    translator.line = request.line;
    translator.generation = walk.order === 0 ? walk.generation : 0;
    out.frame = walk.frame + (page % powerOfTwo(walk.order));
    out.perm = rights;
    out.log2Size = 12 + walk.order;
    out.reason = 0;
    out.level = walk.order === 0 ? PAGE_LEVEL : walk.level;
    return true;
  }

  /** Finds the leaf of a request: {@link FOUND}. The caller has passed a point; nothing comes between the end and what he does next. */
  *lookup(request: StepwiseRequest): Coroutine<number> {
    const { kernel, footprint, registers, fetcher, walker, translator } = this.vtd;
    const { walk, fetch } = request;
    if (!registers.translating) return fetch.pasid === -1 ? FOUND.BYPASS : this.refused(request, 0);
    const before = kernel.steps;
    if (!(yield* fetcher.steps(fetch))) {
      request.suppressed = fetch.fpd;
      return this.refused(request, fetch.reason);
    }
    request.configure(this.vtd);
    // The caches are looked up in the step of the caller's point, or after one of their own.
    if (kernel.steps !== before && kernel.at(footprint, false)) yield PREEMPT;
    const found = this.find(request);
    if (found !== FOUND.MISS) return found;
    if ((yield* walker.steps(walk)) === NEXT.FAULT) {
      if (translator.remembersAbsence(walk)) {
        if (kernel.at(footprint, true)) yield PREEMPT;
        if (translator.remembersAbsence(walk)) translator.keepAbsent(walk);
      }
      return this.refused(request, walk.reason);
    }
    // A step of its own: an invalidation may come between the last fetch and the fill.
    if (kernel.at(footprint, true)) yield PREEMPT;
    this.fill(request);
    return FOUND.LEAF;
  }

  /** What is known without the tables: {@link FOUND}. */
  find(request: StepwiseRequest): number {
    const { vtd } = this;
    const { walk, fetch } = request;
    const kind = walk.numbers[NUMBER.KIND];
    const control = walk.numbers[NUMBER.FLAGS];
    const low = walk.doubles[REGIME.LOW];
    request.suppressed = (control & FLAG.FPD) !== 0;
    if (kind === KIND.PASS_THROUGH) {
      const reason = passThrough(control, walk.page, walk.doubles[REGIME.OUTPUT]);
      return reason === 0 ? FOUND.BYPASS : this.refused(request, reason);
    }
    const reason = forbids(control, walk.want);
    if (reason !== 0) return this.refused(request, reason);
    walk.key = walk.page < low && walk.page >= 0 ? walk.page : keyOf(kind, low, walk.page);
    if (walk.key < 0) return this.refused(request, beyond(kind, control));
    // Spaces may have been numbered anew since the entries were fetched.
    if (!vtd.walker.fresh(walk)) return FOUND.MISS;
    if (this.findLine(request)) return FOUND.LEAF;
    walk.cached = fetch.at === OWN_REGIME ? -1 : fetch.at;
    return FOUND.MISS;
  }

  /** The IOTLB has a line that will do. */
  findLine(request: StepwiseRequest): boolean {
    const { translator, iotlb } = this.vtd;
    const { walk } = request;
    const i = translator.findOther(walk.numbers, 0, walk.key);
    if (i < 0) return false;
    translator.use(i);
    if (translator.walksAgain(i, walk.want)) {
      iotlb.tags[i] = -1;
      return false;
    }
    request.takeLine(this.vtd, i);
    return true;
  }

  /** Keeps what the walk found, unless an invalidation came since it began. */
  fill(request: StepwiseRequest): void {
    const { walker, translator } = this.vtd;
    if (walker.fresh(request.walk)) request.line = translator.keep(request.walk);
  }

  refused(request: StepwiseRequest, reason: number): number {
    request.walk.reason = reason;
    return FOUND.REFUSED;
  }

  /** Tells the Translator what became of the request, as if it had been its own. */
  publish(request: StepwiseRequest, found: number): void {
    const { translator, regimes } = this.vtd;
    const { walk, fetch } = request;
    regimes.put(OWN_REGIME, fetch.doubles, fetch.numbers);
    regimes.forget();
    regimes.memo = OWN_REGIME;
    translator.privilege = request.configured ? request.privilege : PRIVILEGE.OWN;
    translator.suppressed = false;
    if (found !== FOUND.REFUSED) return;
    translator.fail(walk.reason, walk.level);
    translator.suppressed = request.suppressed;
  }
}
