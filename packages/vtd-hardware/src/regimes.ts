import type { Kernel } from '@iommukit/kernel';
import { NUMBER, STRIDE } from './regime.js';

/** How many regimes the PASID cache and the context cache keep. */
export const PASID_SLOTS = 256;
export const CONTEXT_SLOTS = 64;

/** Offset of the first regime that belongs to a cached context entry. */
export const CONTEXT_REGIMES = PASID_SLOTS * STRIDE;
/** The regime of a request that keeps its own: no cached one. */
export const OWN_REGIME = (PASID_SLOTS + CONTEXT_SLOTS) * STRIDE;

/**
 * Regimes: what the entries on the way of a request say about its translation, decoded once. PASID entries have theirs, and so do
 * context entries of the legacy and the extended-context mode. The last one is remembered, so that a hit looks nothing up.
 */
export class Regimes {
  /** REGIME fields. */
  readonly doubles = new Float64Array(OWN_REGIME + STRIDE);
  /** NUMBER fields, at the same offsets. */
  readonly numbers = new Int32Array(OWN_REGIME + STRIDE);
  /** The last regime that was translated with; -1 when it has to be looked up again. */
  memoStream = -1;
  memoPasid = -2;
  /** The request that it was looked up for. */
  stream = -1;
  pasid = -1;
  memo = 0;
  memoSalt = 0;

  constructor(kernel: Kernel) {
    kernel.checkpoints.add(this);
  }

  /** Requests of (stream, PASID) use the regime at `at` without looking for it, until {@link forget}. */
  remember(stream: number, pasid: number, at: number): void {
    this.memoStream = this.stream = stream;
    this.memoPasid = this.pasid = pasid;
    this.memo = at;
    this.memoSalt = this.numbers[at + NUMBER.SALT];
  }

  /** The next request looks its regime up again. */
  forget(): void {
    this.memoStream = -1;
    this.memoPasid = -2;
  }

  /** Copies a regime from elsewhere to `at`. */
  put(at: number, doubles: Float64Array, numbers: Int32Array): void {
    this.doubles.set(doubles, at);
    this.numbers.set(numbers, at);
  }

  save(): () => void {
    return () => this.forget();
  }
}
