import { NO_TICKET } from '@iommukit/pci-ats';
import { STRIDE } from './regime.js';

/** What a request is, for the entries on its way. */
export const ADMIT = {
  /** An untranslated access: it is to be translated. */
  ACCESS: 0,
  /** A translation request of ATS: the device may have a TLB, and the PASID is one that it may name. */
  TRANSLATION: 1,
  /** A translated access: the device may have a TLB (vtd.md 5.3). */
  TRANSLATED: 2,
  /** A page request: the device may make them. */
  PAGE_REQUEST: 3,
} as const;

/** What is being fetched. */
export const STAGE = { ROOT: 0, CONTEXT: 1, DIRECTORY: 2, PASID: 3, ECS_PASID: 4, ECS_STATE: 5 } as const;

/** What comes next. */
export const CONFIG_NEXT = {
  /** `bytes` at `address` are fetched into `words`, 64 bits at a time, and looked at. */
  FETCH: 0,
  /** What was asked for is there. */
  READY: 1,
  /** `reason` says what failed. */
  FAILED: 2,
  /** The 64 bits of a PASID-state entry are written back in one atomic step: its invalidation is no longer deferred. */
  CLEAR: 3,
} as const;

/**
 * One request's way through root table, context table, PASID directory and PASID table: plain state, which {@link Fetcher} advances.
 * The atomic gait has one and uses it again and again; a stepwise translation has one of its own.
 */
export class ConfigFetch {
  stream = 0;
  /** -1 without one. */
  pasid = -1;
  /** {@link ADMIT}. */
  what: number = ADMIT.ACCESS;
  /** Of InFlight: what was read is not kept once it is stale. {@link NO_TICKET} never is. */
  ticket: number = NO_TICKET;
  /** The step at which it began. */
  born = 0;

  /** TTM of the root table that the way began at. */
  mode = 0;
  stage: number = STAGE.ROOT;
  /** Of what is fetched. */
  address = 0;
  bytes = 0;
  readonly words = new Uint32Array(16);
  /** The context entry, once it is there: a copy, for the cached one may go. */
  readonly context = new Uint32Array(8);
  /** Where the context cache has it; -1: not. */
  line = -1;
  /** The PASID whose entry counts: the request's, or RID_PASID. */
  effective = 0;
  /** An entry that was read has FPD=1. */
  fpd = false;

  /** A fault reason; 0 for a refusal without a record. */
  reason = 0;
  /** The regime: REGIME and NUMBER fields from 0 on. */
  readonly doubles = new Float64Array(STRIDE);
  readonly numbers = new Int32Array(STRIDE);
  /** Where the regime lies in Regimes; -1: nowhere. */
  at = -1;
}
