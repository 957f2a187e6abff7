import type { Coroutine, InterruptLine, Kernel, Step } from '@iommukit/kernel';
import type { AtsEndpoint, Link, TranslationAgent } from '../agent.js';
import type { Downstream, Upstream } from '../tlp.js';
import { Lane } from './lane.js';

/** What a {@link PcieLink} is between. */
export interface PcieLinkOptions {
  /** The device's name: `0000:00:03.0`. The lanes' tasks are `up-posted/<name>` and so on. */
  readonly name: string;
  /** The StreamID that the root complex makes of the device's requester id. */
  readonly stream: number;
  /** Where the device's interrupt messages arrive; none: they are dropped. */
  readonly irq?: InterruptLine;
}

/**
 * A link of four lanes, each with a task of its own. In one direction posted messages may overtake the others, never the
 * reverse; messages of one lane keep their order.
 */
export class PcieLink implements Link {
  readonly kernel: Kernel;
  readonly name: string;
  readonly stream: number;
  readonly irq: InterruptLine | null;
  readonly state = { removed: false, sentUp: 0, sentDown: 0 };
  agent: TranslationAgent | null = null;
  endpoint: AtsEndpoint | null = null;
  readonly upPosted: Lane<Upstream>;
  readonly upNonPosted: Lane<Upstream>;
  readonly downPosted: Lane<Downstream>;
  readonly downCompletions: Lane<Downstream>;

  constructor(kernel: Kernel, options: PcieLinkOptions) {
    const { name } = options;
    this.kernel = kernel;
    this.name = name;
    this.stream = options.stream;
    this.irq = options.irq ?? null;
    kernel.checkpoints.keep(this.state);
    const up = (tlp: Upstream): Step<void> => this.deliverUp(tlp);
    const down = (tlp: Downstream): Step<void> => this.deliverDown(tlp);
    this.upPosted = new Lane(kernel, `up-posted/${name}`, null, up);
    this.upNonPosted = new Lane(kernel, `up-non-posted/${name}`, this.upPosted, up);
    this.downPosted = new Lane(kernel, `down-posted/${name}`, null, down);
    this.downCompletions = new Lane(kernel, `down-completions/${name}`, this.downPosted, down);
  }

  /** Joins both ends. Without an agent the link is dead: reads are unsupported requests. */
  join(endpoint: AtsEndpoint, agent: TranslationAgent | null): void {
    this.endpoint = endpoint;
    this.agent = agent;
    agent?.connect(this);
  }

  up(tlp: Upstream): Step<void> {
    const lane = this.upLane(tlp);
    return this.kernel.at(lane.footprint, true) ? this.upLater(lane, tlp) : this.kernel.done(this.sendUp(lane, tlp));
  }

  down(tlp: Downstream): Step<void> {
    const lane = this.downLane(tlp);
    return this.kernel.at(lane.footprint, true)
      ? this.downLater(lane, tlp)
      : this.kernel.done(this.sendDown(lane, tlp));
  }

  remove(): void {
    this.state.removed = true;
    for (const lane of [this.upPosted, this.upNonPosted, this.downPosted, this.downCompletions]) lane.clear();
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The lane of a message of the device: reads and translation requests are non-posted. */
  upLane(tlp: Upstream): Lane<Upstream> {
    return tlp.kind === 'read' || tlp.kind === 'translation-request' ? this.upNonPosted : this.upPosted;
  }

  /** The lane of a message of the root complex. */
  downLane(tlp: Downstream): Lane<Downstream> {
    return tlp.kind === 'completion' || tlp.kind === 'translation-completion' ? this.downCompletions : this.downPosted;
  }

  deliverUp(tlp: Upstream): Step<void> {
    if (tlp.kind === 'interrupt') return this.kernel.done(this.irq?.pulse());
    return this.agent !== null ? this.agent.receive(this, tlp) : this.refuse(tlp);
  }

  deliverDown(tlp: Downstream): Step<void> {
    return this.endpoint !== null ? this.endpoint.receive(tlp) : this.kernel.done(undefined);
  }

  /** Nobody is there: what wants an answer gets Unsupported Request. */
  *refuse(tlp: Upstream): Coroutine<void> {
    if (tlp.kind === 'read')
      yield* this.down({ kind: 'completion', tag: tlp.tag, status: 'ur', data: new Uint8Array(0) });
    if (tlp.kind !== 'translation-request') return;
    const entries = new Uint32Array(0);
    yield* this.down({ kind: 'translation-completion', tag: tlp.tag, status: 'ur', entries, born: this.kernel.steps });
  }

  sendUp(lane: Lane<Upstream>, tlp: Upstream): void {
    if (!this.state.removed) lane.push(tlp, this.state.sentUp++);
  }

  sendDown(lane: Lane<Downstream>, tlp: Downstream): void {
    if (!this.state.removed) lane.push(tlp, this.state.sentDown++);
  }

  upLater(lane: Lane<Upstream>, tlp: Upstream): Step<void> {
    return this.kernel.pending(() => this.sendUp(lane, tlp));
  }

  downLater(lane: Lane<Downstream>, tlp: Downstream): Step<void> {
    return this.kernel.pending(() => this.sendDown(lane, tlp));
  }
}
