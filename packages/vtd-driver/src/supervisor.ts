import type { Vtd } from './vtd.js';

/** Supervisor PASIDs. */
export class Supervisor {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }
}
