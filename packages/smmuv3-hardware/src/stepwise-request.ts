import { ConfigFetch } from './config-fetch.js';
import { FLAG, NUMBER } from './context-fields.js';
import type { SmmuV3 } from './device.js';
import { overridden } from './overrides.js';
import { TableWalk } from './table-walk.js';

/** One request in the stepwise gait: its own copy of everything, for others are on their way at the same time. */
export class StepwiseRequest {
  readonly fetch = new ConfigFetch();
  readonly walk: TableWalk;
  /** The context is there. */
  configured = false;
  /** The TLB's line for it; -1: it needs none, or what was found is not kept. */
  line = -1;
  /** Address whose fetch failed. */
  fetchAddress = 0;
  /** See LastRequest.beyond. */
  beyond = false;

  /** `want` as for {@link TableWalk.want}; `ticket` is InFlight's. */
  constructor(smmu: SmmuV3, stream: number, ssid: number, page: number, want: number, ticket: number) {
    const { fetch } = this;
    const walk = new TableWalk(smmu);
    this.walk = walk;
    fetch.stream = walk.stream = stream;
    fetch.ssid = walk.ssid = ssid;
    fetch.ticket = walk.ticket = ticket;
    walk.contexts = fetch.contexts;
    walk.numbers = fetch.numbers;
    walk.page = page;
    walk.want = want;
    walk.born = smmu.kernel.steps;
  }

  /** The context has been fetched: STE.PRIVCFG and INSTCFG change what is wanted. */
  configure(): void {
    const { walk, fetch } = this;
    this.configured = true;
    const overrides = fetch.numbers[NUMBER.FLAGS] & FLAG.OVERRIDES;
    if (overrides !== 0) walk.want = overridden(walk.want, overrides);
  }

  /** What the walk said about a leaf is what a line says. */
  takeLine(smmu: SmmuV3, i: number): void {
    const { walk } = this;
    const { lines, levels } = smmu.iotlb;
    this.line = i;
    walk.frame = lines.frame[i];
    walk.order = lines.order[i];
    walk.flags = lines.flags[i];
    walk.level = levels[i];
  }
}
