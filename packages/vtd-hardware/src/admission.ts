import type { Coroutine } from '@iommukit/kernel';
import { ContextEntry, TTM } from '@iommukit/vtd-spec';
import { forbids } from './address-checks.js';
import { ConfigFetch } from './config-fetch.js';
import type { Vtd } from './device.js';
import { LastRequest, NO_LINE } from './last-request.js';
import { judgedBy, PRIVILEGE } from './privilege.js';
import { FLAG, NUMBER } from './regime.js';
import type { Regimes } from './regimes.js';

/** What root, context and PASID entries say about a request, before any address is looked at. */
export abstract class Admission extends LastRequest {
  readonly regimes: Regimes;
  /** Arrays of the regimes. */
  readonly doubles: Float64Array;
  readonly numbers: Int32Array;
  /** {@link PRIVILEGE} of the last request. */
  privilege: number = PRIVILEGE.OWN;

  constructor(vtd: Vtd) {
    super(vtd);
    this.regimes = vtd.regimes;
    this.doubles = vtd.regimes.doubles;
    this.numbers = vtd.regimes.numbers;
  }

  // ── configuration ──────────────────────────────────────────────────────────────────────────────────────────────

  /** A request of kind `what` (ADMIT) may be made at all: 0, or the fault reason. 0 too while nothing is translated: ask `translating`. */
  admit(stream: number, pasid: number, what: number): number {
    const { fetcher, registers } = this.vtd;
    this.suppressed = false;
    if (!registers.translating) return 0;
    if (fetcher.admits(stream, pasid, what)) return 0;
    this.suppressed = fetcher.atomic.fpd;
    this.fail(fetcher.atomic.reason, 0);
    return this.reason;
  }

  /** {@link admit} stepwise. */
  *admitSteps(stream: number, pasid: number, what: number, ticket: number): Coroutine<number> {
    const { fetcher, registers } = this.vtd;
    if (!registers.translating) return 0;
    const fetch = new ConfigFetch();
    fetch.stream = stream;
    fetch.pasid = pasid;
    fetch.what = what;
    fetch.ticket = ticket;
    const admitted = yield* fetcher.steps(fetch);
    this.suppressed = fetch.fpd && !admitted;
    this.fail(admitted ? 0 : fetch.reason, 0);
    return this.reason;
  }

  /** Root, context and PASID entry. Offset of the regime, which is remembered; or {@link NO_LINE}. */
  configure(stream: number, pasid: number): number {
    const { registers, fetcher } = this.vtd;
    this.regimes.forget();
    this.privilege = PRIVILEGE.OWN;
    this.suppressed = false;
    // Without translation there are no PASIDs.
    if (!registers.translating) return pasid === -1 ? NO_LINE.BYPASS : this.fail(0, 0);
    const at = fetcher.regime(stream, pasid);
    if (at < 0) {
      this.suppressed = fetcher.atomic.fpd;
      return this.fail(fetcher.atomic.reason, 0);
    }
    this.privilege = this.privilegeOf(fetcher.atomic);
    this.regimes.remember(stream, pasid, at);
    // Where invalidations are deferred, every request looks whether one is.
    if (this.vtd.extendedEntries.looksAgain(fetcher.atomic)) this.regimes.forget();
    return at;
  }

  /** Requests without PASID are as privileged as RID_PRIV says (2.8). */
  privilegeOf({ pasid, mode, context }: ConfigFetch): number {
    if (pasid !== -1) return PRIVILEGE.OWN;
    const always = mode === TTM.SCALABLE && ContextEntry.f.ridPriv.get(context) === 1;
    return always ? PRIVILEGE.ALWAYS : PRIVILEGE.NEVER;
  }

  /** The PASID entry forbids requests like this one: a fault reason, else 0 (5.2: SPT.5, SPT.6). */
  forbidden(want: number): number {
    return forbids(this.numbers[this.regimes.memo + NUMBER.FLAGS], want);
  }

  /** Fails by what the regime leads to. */
  failHere(reason: number, level: number): number {
    this.suppressed = (this.numbers[this.regimes.memo + NUMBER.FLAGS] & FLAG.FPD) !== 0;
    return this.fail(reason, level);
  }

  /** A request of the last stream as RID_PRIV makes it look. */
  asSeen(want: number): number {
    return this.privilege === PRIVILEGE.OWN ? want : judgedBy(want, this.privilege);
  }
}
