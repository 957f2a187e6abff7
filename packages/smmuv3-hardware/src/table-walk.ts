import { NO_TICKET } from '@iommukit/pci-ats';
import type { SmmuV3 } from './device.js';

/** What comes next in a walk. */
export const NEXT = {
  /** The descriptor at `address` is fetched, and looked at. */
  FETCH: 0,
  /** The descriptor at `address` gets flags, if it still is what was fetched: in one atomic step. */
  UPDATE: 1,
  /** The walk found a leaf. */
  LEAF: 2,
  /** It failed; `reason` says why. */
  FAULT: 3,
} as const;

/**
 * One request on its way through the tables, level by level: plain state, which {@link Walker} advances. The atomic gait has one
 * and uses it again and again; a stepwise translation has one of its own.
 */
export class TableWalk {
  // ── the request ────────────────────────────────────────────────────────────────────────────────────────────────
  stream = 0;
  ssid = -1;
  page = 0;
  /** The page as caches count: see TaggedCache. */
  key = 0;
  /** LINE rights that are needed, WANT_PRIVILEGED and WANT_WRITE_TOO; 0 for a hint, which changes no flags. */
  want = 0;
  /** Of InFlight: what was read is not kept once it is stale. {@link NO_TICKET} never is. */
  ticket: number = NO_TICKET;
  /** The step at which it began. */
  born = 0;
  /** Its context: arrays, and where in them. */
  contexts: Float64Array;
  numbers: Int32Array;
  at = 0;
  /** Where the configuration cache has it; -1: not, or not any more. */
  cached = -1;

  // ── where it is ────────────────────────────────────────────────────────────────────────────────────────────────
  half = 0;
  level = 0;
  /** Of the next descriptor, or of the one that is to be updated. */
  address = 0;
  /** The descriptor. */
  lo = 0;
  hi = 0;
  /** Its low word with the flags that it gets. */
  updated = 0;
  inherited = 0;

  // ── what it found ──────────────────────────────────────────────────────────────────────────────────────────────
  /** An event number. */
  reason = 0;
  /** First page (as a key) and first frame of the leaf, log2 of its pages, and its flags as a line has them. */
  first = 0;
  frame = 0;
  order = 0;
  flags = 0;
  global = false;
  /** Generation of the first frame when the leaf was read. */
  generation = 0;

  constructor(smmu: SmmuV3) {
    this.contexts = smmu.config.contexts;
    this.numbers = smmu.config.numbers;
  }
}
