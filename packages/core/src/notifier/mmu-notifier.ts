import type { Coroutine } from '@iommukit/kernel';
import type { Mm } from '../mm/mm.js';

/**
 * The callbacks of a secondary MMU. One that shares the CPU's page tables and caches translations has
 * {@link invalidateRange}; one that copies entries has the pair around the change instead (MN-11).
 */
export interface MmuNotifierOps {
  /**
   * The address space dies: when this returns, nothing of it can be used any more; no further callback comes (MN-6,
   * MN-8). May sleep, but waits for no DMA and calls no device driver (MN-10). May run twice, even at once (MN-7).
   */
  release(subscription: Subscription): Coroutine<void>;
  /**
   * Translations of bytes [start, end) changed or went away: when this returns, no older one is used (MN-18). Called
   * after the tables changed and before pages are freed. Must not sleep (MN-10).
   */
  invalidateRange(subscription: Subscription, start: bigint, end: bigint): Coroutine<void>;
  /**
   * Bytes [start, end) are about to change: no new copies of their entries until {@link rangeEnd}. May sleep if
   * `blockable`. @returns false when it would have to sleep and must not
   */
  rangeStart?(subscription: Subscription, start: bigint, end: bigint, blockable: boolean): Coroutine<boolean>;
  /** The change of bytes [start, end) is done. Follows each {@link rangeStart} that was not refused. */
  rangeEnd?(subscription: Subscription, start: bigint, end: bigint): Coroutine<void>;
  /** The grace period after the last put is over: frees {@link Subscription.data}. Must not sleep (SVA-14). */
  free?(subscription: Subscription): void;
}

/** One secondary MMU's interest in one address space: one per (ops, mm) when made by `get` (MN-2). */
export interface Subscription {
  /** Counts from 1: tells notifiers of one address space apart in traces. */
  readonly id: number;
  readonly ops: MmuNotifierOps;
  /** Held by one mm_count (MN-1). */
  readonly mm: Mm;
  /** What the owner attached. */
  data: unknown;
  /** References taken by `get`. */
  users: number;
  /** Callbacks come while it is listed. */
  listed: boolean;
}
