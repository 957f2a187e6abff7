import type { PageResponse } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Master } from './records.js';
import type { Vtd } from './vtd.js';

/** The page request queue and its thread. */
export class PageRequests {
  readonly vtd: Vtd;
  entries = 0;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  *prepare(entries: number): Coroutine<void> {
    this.entries = entries;
  }

  *start(): Coroutine<void> {}

  *respond(_master: Master, _response: PageResponse): Coroutine<void> {}
}
