import { ConfigFetch } from './config-fetch.js';
import type { Vtd } from './device.js';
import { judgedBy, PRIVILEGE } from './privilege.js';
import { TableWalk } from './table-walk.js';

/** One request in the stepwise gait: its own copy of everything, for others are on their way at the same time. */
export class StepwiseRequest {
  readonly fetch = new ConfigFetch();
  readonly walk: TableWalk;
  /** The regime is there. */
  configured = false;
  /** {@link PRIVILEGE} of it. */
  privilege: number = PRIVILEGE.OWN;
  /** An entry on the way has FPD=1. */
  suppressed = false;
  /** The IOTLB's line for it; -1: it needs none, or what was found is not kept. */
  line = -1;

  /** `want` as for {@link TableWalk.want}; `ticket` is InFlight's. */
  constructor(vtd: Vtd, stream: number, pasid: number, page: number, want: number, ticket: number) {
    const { fetch } = this;
    const walk = new TableWalk(vtd);
    this.walk = walk;
    fetch.stream = walk.stream = stream;
    fetch.pasid = walk.pasid = pasid;
    fetch.ticket = walk.ticket = ticket;
    walk.doubles = fetch.doubles;
    walk.numbers = fetch.numbers;
    walk.page = page;
    walk.want = want;
    walk.born = vtd.kernel.steps;
  }

  /** The regime has been fetched: RID_PRIV changes what is wanted. */
  configure(vtd: Vtd): void {
    const { walk, fetch } = this;
    this.configured = true;
    this.privilege = vtd.translator.privilegeOf(fetch);
    walk.want = judgedBy(walk.want, this.privilege);
  }

  /** What the walk said about a leaf is what a line says. */
  takeLine(vtd: Vtd, i: number): void {
    const { walk } = this;
    const { lines, levels } = vtd.iotlb;
    this.line = i;
    walk.frame = lines.frame[i];
    walk.order = lines.order[i];
    walk.flags = lines.flags[i];
    walk.level = levels[i];
  }
}
