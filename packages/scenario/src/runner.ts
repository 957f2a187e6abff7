import type { PlatformDescription } from '@iommukit/firmware';
import {
  type Chooser,
  type Checkpoint,
  DEFAULT_LIMITS,
  DirectedChooser,
  FairChooser,
  type Limits,
  type Order,
  type Outcome,
  type Settings,
  shortHash,
  type TraceSink,
} from '@iommukit/kernel';
import { assemble, type Machine } from '@iommukit/machine';
import { type Census, type Finding, Oracles } from '@iommukit/oracles';
import { Actor } from './actor.js';
import type { Backend } from './backend.js';
import { endpointModules } from './endpoints.js';
import { parseOrder } from './parse-order.js';
import type { Scenario } from './schema.js';
import { ScenarioError } from './scenario-error.js';
import { type Counts, Tally } from './tally.js';
import { TraceShape } from './trace-shape.js';

/** Everything that decides a run but its schedule. */
export interface Plan {
  readonly scenario: Scenario;
  readonly platform: PlatformDescription;
  readonly backend: Backend;
  readonly settings: Settings;
  readonly limits?: Limits;
}

/** What came of one run. */
export interface Report {
  readonly outcome: Outcome;
  /** Broken invariants, steps that did not go as the scenario says, leaks: empty when all is fine. */
  readonly findings: readonly Finding[];
  readonly counts: Counts;
  /** The run's bond events, normalised; joined they name its kind. */
  readonly shape: readonly string[];
}

/** Assembles and boots the machine of a plan once, then runs its actors as often as asked, each time from the same rest. */
export class ScenarioRunner {
  readonly plan: Plan;
  readonly orders: readonly Order[];
  /** Names scenario, platform, backend and settings in tokens. */
  readonly hash: string;
  readonly machine: Machine;
  readonly oracles: Oracles;
  readonly baseline: Census;
  readonly checkpoint: Checkpoint;
  readonly tally = new Tally();
  readonly shape = new TraceShape();
  ran = false;

  /** @throws ScenarioError when the machine does not boot */
  constructor(plan: Plan) {
    this.plan = plan;
    this.orders = parseOrder(plan.scenario.order);
    const { scenario, platform, backend, settings } = plan;
    this.hash = shortHash(JSON.stringify([scenario, platform, backend.name, settings]));
    let oracles: Oracles | null = null;
    this.machine = assemble({
      platform,
      overlay: {
        atsSupported: scenario.platform['ats-supported'],
        endpoints: scenario.platform.endpoints,
        iommu: scenario.platform.iommu,
      },
      iommuHardware: [backend.hardware],
      iommuDrivers: [backend.driver],
      ...endpointModules,
      settings,
      observe: (kernel, memory) => {
        oracles = new Oracles(kernel, memory);
        return oracles;
      },
    });
    this.oracles = oracles!;
    this.boot();
    this.baseline = this.machine.census();
    this.checkpoint = this.machine.kernel.checkpoints.take();
    this.machine.kernel.trace.add(this.tally);
    this.machine.kernel.trace.add(this.shape);
  }

  boot(): void {
    const outcome = this.machine.boot();
    if (outcome.end === 'finished') return;
    throw new ScenarioError(`the machine does not boot: ${describeEnd(outcome)}`);
  }

  /** The chooser of a run that nobody directs otherwise: the scenario's order, or fair. */
  defaultChooser(): Chooser {
    return this.orders.length > 0 ? new DirectedChooser(this.orders) : new FairChooser();
  }

  /** Runs the actors once. `sinks` see the trace of this run. */
  run(chooser: Chooser, sinks: readonly TraceSink[] = []): Report {
    const { kernel } = this.machine;
    if (this.ran) this.checkpoint.restore();
    this.ran = true;
    this.tally.clear();
    this.shape.clear();
    const complaints: Finding[] = [];
    for (const [name, steps] of Object.entries(this.plan.scenario.actors)) {
      const actor = new Actor(this.machine, name, steps, (story) => complaints.push({ invariant: 'scenario', story }));
      this.machine.core.processes.spawn(name, (process) => actor.program(process));
    }
    const failing = Number(this.plan.settings['alloc-fail'] ?? 0);
    kernel.injection.failAt = failing === 0 ? 0 : kernel.injection.state.count + failing;
    for (const sink of sinks) kernel.trace.add(sink);
    kernel.begin(chooser, this.plan.limits ?? DEFAULT_LIMITS, this.hash);
    let outcome: Outcome;
    try {
      outcome = kernel.run();
    } finally {
      for (const sink of sinks) kernel.trace.remove(sink);
    }
    const findings = [...complaints, ...this.findings(outcome), ...this.unmet(chooser, outcome)];
    return { outcome, findings, counts: this.tally.counts, shape: [...this.shape.lines] };
  }

  findings(outcome: Outcome): readonly Finding[] {
    if (outcome.end === 'finished') return this.oracles.atEnd(this.baseline, this.machine.census());
    if (outcome.end === 'violation') return [{ invariant: outcome.violation.invariant, story: describeEnd(outcome) }];
    if (outcome.end === 'deadlock' || outcome.end === 'livelock')
      return [{ invariant: 'INV-11', story: describeEnd(outcome) }];
    if (outcome.end === 'refused') throw new ScenarioError(outcome.reason);
    return [{ invariant: outcome.end, story: describeEnd(outcome) }];
  }

  /** A directed run must have met its order. @throws ScenarioError when a step of it never happened */
  unmet(chooser: Chooser, outcome: Outcome): readonly Finding[] {
    if (!(chooser instanceof DirectedChooser) || outcome.end !== 'finished') return [];
    const missing = chooser.missing();
    if (missing !== '') throw new ScenarioError(`the order cannot be met: ${missing}`);
    return [];
  }
}

/** How a run ended, in words. */
export function describeEnd(outcome: Outcome): string {
  switch (outcome.end) {
    case 'finished':
      return 'finished';
    case 'limit':
      return `the limit ${outcome.limit} was reached`;
    case 'refused':
      return outcome.reason;
    case 'violation':
      return `at step ${outcome.violation.step}, ${outcome.violation.task}: ${outcome.violation.story}`;
    default: {
      const waits = outcome.waits.map(
        (w) => `${w.task} waits for ${w.for}${w.heldBy === null ? '' : ` (held by ${w.heldBy})`}`,
      );
      return `${outcome.end}: ${waits.join('; ')}`;
    }
  }
}
