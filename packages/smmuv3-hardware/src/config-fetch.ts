import { NO_TICKET } from '@iommukit/pci-ats';
import { ENTRY_BYTES } from '@iommukit/smmuv3-spec';
import { STRIDE } from './context-fields.js';

/** What is being fetched. */
export const STAGE = { L1STD: 0, STE: 1, L1CD: 2, CD: 3 } as const;

/** What comes next. */
export const CONFIG_NEXT = {
  /** `bytes` at `address` are fetched into `words`, 64 bits at a time, and looked at. */
  FETCH: 0,
  /** The context, or the STE if no more was asked for, is there. */
  READY: 1,
  /** `reason` says what failed. */
  FAILED: 2,
} as const;

/**
 * One request's way through stream table and CD table: plain state, which {@link Fetcher} advances. The atomic gait has one and uses
 * it again and again; a stepwise translation has one of its own.
 */
export class ConfigFetch {
  stream = 0;
  /** -1 without one. */
  ssid = -1;
  /** No more than the STE is wanted. */
  steOnly = false;
  /** Of InFlight: see TableWalk. */
  ticket: number = NO_TICKET;
  /** The step at which it began. */
  born = 0;

  stage: number = STAGE.STE;
  /** Of what is fetched; F_STE_FETCH and F_CD_FETCH report it. */
  address = 0;
  bytes = 0;
  readonly words = new Uint32Array(ENTRY_BYTES / 4);
  /** The STE, once it is there: a copy, for the cached one may go. */
  readonly ste = new Uint32Array(ENTRY_BYTES / 4);

  /** Event number of what failed; 0 for an abort without a record. */
  reason = 0;
  /** The context: CONTEXT and NUMBER fields from 0 on. */
  readonly contexts = new Float64Array(STRIDE);
  readonly numbers = new Int32Array(STRIDE);
  /** Where the context lies in the configuration cache; -1: nowhere. */
  at = -1;
}
