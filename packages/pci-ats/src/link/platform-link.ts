import { assert, type Kernel, type Step } from '@iommukit/kernel';
import type { Link, TranslationAgent } from '../agent.js';
import type { Downstream, Upstream } from '../tlp.js';
import { Lane } from './lane.js';

/** A message that a platform bus carries to a device. */
export type PlatformDownstream = Extract<Downstream, { kind: 'completion' }>;

/** What a {@link PlatformLink} is between. */
export interface PlatformLinkOptions {
  /** The device's name: `accelerator@a000000`. The lanes' tasks are `up/<name>` and `down/<name>`. */
  readonly name: string;
  /** The device's StreamID. */
  readonly stream: number;
}

/** What a {@link PlatformLink} delivers to. */
export interface PlatformEndpoint {
  /** Takes one message; called by the lane's own task. */
  receive(tlp: PlatformDownstream): Step<void>;
}

/**
 * The wires between a platform device and its IOMMU: untranslated reads and writes one way, their answers the other way, each
 * in order. The IOMMU may hold a transaction back (FEAT-5); it does not hold back those behind it.
 */
export class PlatformLink implements Link {
  readonly kernel: Kernel;
  readonly name: string;
  readonly stream: number;
  readonly stalls = true;
  readonly state = { removed: false, sent: 0 };
  agent: TranslationAgent | null = null;
  endpoint: PlatformEndpoint | null = null;
  readonly upLane: Lane<Upstream>;
  readonly downLane: Lane<Downstream>;

  constructor(kernel: Kernel, options: PlatformLinkOptions) {
    const { name } = options;
    this.kernel = kernel;
    this.name = name;
    this.stream = options.stream;
    kernel.checkpoints.keep(this.state);
    this.upLane = new Lane<Upstream>(kernel, `up/${name}`, null, (tlp) => this.deliverUp(tlp));
    this.downLane = new Lane<Downstream>(kernel, `down/${name}`, null, (tlp) => this.deliverDown(tlp));
  }

  /** Joins both ends. Without an agent nobody answers: accesses are unsupported requests. */
  join(endpoint: PlatformEndpoint, agent: TranslationAgent | null): void {
    this.endpoint = endpoint;
    this.agent = agent;
    agent?.connect(this);
  }

  up(tlp: Upstream): Step<void> {
    assert(tlp.kind === 'read' || tlp.kind === 'write', `a platform bus carries reads and writes, no ${tlp.kind}`);
    return this.send(this.upLane, tlp);
  }

  down(tlp: Downstream): Step<void> {
    assert(tlp.kind === 'completion', `a platform bus carries completions, no ${tlp.kind}`);
    return this.send(this.downLane, tlp);
  }

  remove(): void {
    this.state.removed = true;
    this.upLane.clear();
    this.downLane.clear();
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  deliverUp(tlp: Upstream): Step<void> {
    return this.agent !== null ? this.agent.receive(this, tlp) : this.refuse(tlp);
  }

  deliverDown(tlp: Downstream): Step<void> {
    const { endpoint } = this;
    return endpoint !== null ? endpoint.receive(tlp as PlatformDownstream) : this.kernel.done(undefined);
  }

  /** Nobody is there: who wants an answer gets Unsupported Request. */
  refuse(tlp: Upstream): Step<void> {
    const tag = 'tag' in tlp ? tlp.tag : undefined;
    if (tag === undefined) return this.kernel.done(undefined);
    return this.down({ kind: 'completion', tag, status: 'ur', data: new Uint8Array(0) });
  }

  send<T>(lane: Lane<T>, tlp: T): Step<void> {
    return this.kernel.at(lane.footprint, true) ? this.sendLater(lane, tlp) : this.kernel.done(this.push(lane, tlp));
  }

  sendLater<T>(lane: Lane<T>, tlp: T): Step<void> {
    return this.kernel.pending(() => this.push(lane, tlp));
  }

  push<T>(lane: Lane<T>, tlp: T): void {
    if (!this.state.removed) lane.push(tlp, this.state.sent++);
  }
}
