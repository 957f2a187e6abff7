import type { MmuNotifierOps, Subscription } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { SvaCallbacks } from './sva-callbacks.js';

/** What an address space tells the unit: one notifier per (unit, mm), whatever the number of devices (SVA-4). */
export class SvmNotifier implements MmuNotifierOps {
  readonly sva: SvaCallbacks;

  constructor(sva: SvaCallbacks) {
    this.sva = sva;
  }

  release(subscription: Subscription): Coroutine<void> {
    return this.sva.release(subscription);
  }

  invalidateRange(subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    return this.sva.invalidateRange(subscription, start, end);
  }
}
