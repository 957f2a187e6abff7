import type { Coroutine } from '@iommukit/kernel';
import type { Master } from './records.js';
import type { Vtd } from './vtd.js';

/** Waits until no page request is under way (VTD-28). */
export class Drain {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  *run(master: Master, _pasid: number): Coroutine<void> {
    yield* this.vtd.iopf.flush(master.device);
  }

  *all(master: Master): Coroutine<void> {
    yield* this.vtd.iopf.flush(master.device);
  }
}
