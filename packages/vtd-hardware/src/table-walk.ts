import { NO_TICKET } from '@iommukit/pci-ats';
import type { Vtd } from './device.js';

/** What comes next in a walk. */
export const NEXT = {
  /** The entry at `address` is fetched, and looked at. */
  FETCH: 0,
  /** The entry at `address` gets flags, if it still is what was fetched: in one atomic step. */
  UPDATE: 1,
  /** The walk found a leaf. */
  LEAF: 2,
  /** It failed; `reason` says why. */
  FAULT: 3,
} as const;

/**
 * One request on its way through the tables, level by level: plain state, which {@link Walker} advances. The atomic gait has one
 * and uses it again and again; a stepwise translation has one of its own. Level 1 holds pages.
 */
export class TableWalk {
  // ── the request ────────────────────────────────────────────────────────────────────────────────────────────────
  stream = 0;
  /** -1 without one. */
  pasid = -1;
  page = 0;
  /** The page as caches count: see TaggedCache. */
  key = 0;
  /** LINE rights that are needed, WANT_PRIVILEGED and WANT_WRITE_TOO. */
  want = 0;
  /** Of InFlight: what was read is not kept once it is stale. {@link NO_TICKET} never is. */
  ticket: number = NO_TICKET;
  /** The step at which it began. */
  born = 0;
  /** Its regime: arrays, and where in them. */
  doubles: Float64Array;
  numbers: Int32Array;
  at = 0;
  /** Where Regimes has it; -1: nowhere, or not any more. */
  cached = -1;

  // ── where it is ────────────────────────────────────────────────────────────────────────────────────────────────
  level = 0;
  /** Of the next entry, or of the one that is to be updated. */
  address = 0;
  /** The entry. */
  lo = 0;
  hi = 0;
  /** Its low word with the flags that it gets. */
  updated = 0;
  /** LESS bits of the tables above. */
  inherited = 0;

  // ── what it found ──────────────────────────────────────────────────────────────────────────────────────────────
  /** A fault reason. */
  reason = 0;
  /** The leaf was found, and does not grant what is wanted: why; else 0. */
  denied = 0;
  /** The second stage maps nothing there: what caching mode remembers. */
  absent = false;
  /** First page (as a key) and first frame of the leaf, log2 of its pages, and its flags as a line has them. */
  first = 0;
  frame = 0;
  order = 0;
  flags = 0;
  /** MARK bits of the leaf. */
  marks = 0;
  /** Generation of the first frame when the leaf was read. */
  generation = 0;

  constructor(vtd: Vtd) {
    this.doubles = vtd.regimes.doubles;
    this.numbers = vtd.regimes.numbers;
  }
}
