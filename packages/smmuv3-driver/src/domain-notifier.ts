import type { MmuNotifierOps, Subscription } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Sva } from './sva.js';

/** What an address space tells a domain. One object a domain: its identity makes notifiers one per (domain, mm) (MN-2). */
export class DomainNotifier implements MmuNotifierOps {
  readonly sva: Sva;

  constructor(sva: Sva) {
    this.sva = sva;
  }

  release(subscription: Subscription): Coroutine<void> {
    return this.sva.release(subscription);
  }

  invalidateRange(subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    return this.sva.invalidateRange(subscription, start, end);
  }

  free(subscription: Subscription): void {
    this.sva.freeNotifierObject(subscription);
  }
}
