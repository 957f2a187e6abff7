import type { Process } from '@iommukit/core';
import type { PlatformDescription } from '@iommukit/firmware';
import {
  type Checkpoint,
  type Chooser,
  DEFAULT_LIMITS,
  DirectedChooser,
  FairChooser,
  type Footprint,
  isDirected,
  isIommuError,
  type Limits,
  type Order,
  type Outcome,
  type Settings,
  shortHash,
  type TraceSink,
} from '@iommukit/kernel';
import { assemble, type ForeignHardware, type Machine } from '@iommukit/machine';
import { type Census, type Finding, Oracles } from '@iommukit/oracles';
import { Actor, NOTHING, type Stage } from './actor.js';
import type { Backend } from './backend.js';
import { endpointModules, endpointsOf } from './endpoints.js';
import { checkTasks, StepRecorder, stepsOf } from './named-steps.js';
import { parseOrder } from './parse-order.js';
import { namesOf, type PartOverrides, withParts } from './part-overrides.js';
import { refuseBackend } from './refuse-backend.js';
import { ScenarioError } from './scenario-error.js';
import type { Scenario } from './schema.js';
import { startedActors } from './started-actors.js';
import { type Counts, Tally } from './tally.js';
import { TraceShape } from './trace-shape.js';
import { placeUnits } from './units.js';
import { unmetOrder } from './unmet-order.js';

/** Random runs that are looked at for named steps, when an order cannot be met. */
const SAMPLES = 100;

/** Everything that decides a run but its schedule. */
export interface Plan {
  readonly scenario: Scenario;
  readonly platform: PlatformDescription;
  readonly backend: Backend;
  readonly settings: Settings;
  readonly limits?: Limits;
  /** Parts of the machine that are replaced. */
  readonly parts?: PartOverrides;
  /** Hardware that is there, in place of the models: such a plan is run once, and does not replay. */
  readonly hardware?: ForeignHardware;
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
  /** Actors that begin with the run; the others are started by them. */
  readonly roots: readonly string[];
  readonly baseline: Census;
  /** Who holds what after boot. */
  readonly held: ReadonlySet<string>;
  readonly checkpoint: Checkpoint;
  /** What the points before steps that an order names touch: nothing that anybody else does. */
  readonly marker: Footprint;
  readonly tally = new Tally();
  readonly shape = new TraceShape();
  ran = false;

  /** @throws ScenarioError when the machine does not boot, or the order names a task that it does not have */
  constructor(plan: Plan) {
    this.plan = plan;
    this.orders = parseOrder(plan.scenario.order);
    const { scenario, platform, backend, settings, parts = {}, hardware } = plan;
    refuseBackend(scenario, backend, settings);
    this.hash = shortHash(JSON.stringify([scenario, platform, backend.name, settings, ...namesOf(parts)]));
    const ats = scenario.platform['ats-supported'];
    const placed = placeUnits(scenario, platform, backend.name);
    let oracles: Oracles | null = null;
    this.machine = assemble({
      platform: placed.platform,
      overlay: {
        ...(ats === undefined ? {} : { atsSupported: ats }),
        endpoints: endpointsOf(scenario, placed.unitOf),
        iommu: scenario.platform.iommu,
        iommus: { ...scenario.platform.iommus, ...placed.capabilities },
      },
      iommuHardware: [withParts(backend.hardware, parts.hardware)],
      iommuDrivers: [withParts(backend.driver, parts.driver)],
      ...endpointModules(parts),
      coreParts: parts.core ?? {},
      settings,
      ...(hardware === undefined ? {} : { hardware }),
      observe: (kernel, memory) => {
        oracles = new Oracles(kernel, memory);
        return oracles;
      },
    });
    this.oracles = oracles!;
    this.marker = this.machine.kernel.footprint();
    this.boot();
    const actors = Object.keys(scenario.actors);
    const started = startedActors(scenario);
    this.roots = actors.filter((name) => !started.has(name));
    checkTasks(this.orders, [...actors, ...this.machine.kernel.tasks.map(({ name }) => name)]);
    this.baseline = this.machine.census();
    this.held = new Set(this.machine.holdings());
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

  /**
   * Runs the actors once. `sinks` see the trace of this run.
   * @throws ScenarioError when the chooser's order cannot be met, or its token does not fit
   */
  run(chooser: Chooser, sinks: readonly TraceSink[] = []): Report {
    const { kernel } = this.machine;
    if (this.ran) this.restore();
    this.ran = true;
    this.tally.clear();
    this.shape.clear();
    const complaints: Finding[] = [];
    const complain = (story: string): void => void complaints.push({ invariant: 'scenario', story });
    const processes = this.spawnActors(complain);
    // Allocations count from the beginning of the run.
    kernel.injection.failAt = Number(this.plan.settings['alloc-fail'] ?? 0);
    for (const sink of sinks) kernel.trace.add(sink);
    kernel.begin(chooser, this.plan.limits ?? DEFAULT_LIMITS, this.hash);
    let outcome: Outcome;
    try {
      outcome = kernel.run();
    } catch (error) {
      outcome = this.uncaught(error);
    } finally {
      for (const sink of sinks) kernel.trace.remove(sink);
    }
    for (const { name, failure } of processes) if (failure !== null) complain(`${name} was killed: ${failure.message}`);
    const counts = this.tally.counts;
    const shape = [...this.shape.lines];
    const findings = [...complaints, ...this.findings(outcome)];
    const problem = this.scheduleProblem(chooser, outcome);
    if (problem === null) return { outcome, findings, counts, shape };
    // A step that failed keeps later ones from happening: then that is the news, and the order is its victim.
    if (complaints.length === 0) throw new ScenarioError(problem);
    return { outcome, findings: [...findings, { invariant: 'order', story: problem }], counts, shape };
  }

  /** Back to the rest after boot. @throws ScenarioError on hardware that only goes forwards */
  restore(): void {
    const { hardware } = this.plan;
    if (hardware !== undefined) throw new ScenarioError(`${hardware.name} runs a scenario once: start another one`);
    this.checkpoint.restore();
  }

  /** Starts the actors that nobody else starts. Returns every process of the run, as they come. */
  spawnActors(complain: (story: string) => void): readonly Process[] {
    const { actors } = this.plan.scenario;
    const { core } = this.machine;
    const processes: Process[] = [];
    const stage: Stage = {
      machine: this.machine,
      complain,
      cast: (name, inheritance) => {
        const marks = { steps: stepsOf(this.orders, name), footprint: this.marker };
        return new Actor(stage, name, actors[name]!, marks, inheritance);
      },
      started: (process) => void processes.push(process),
    };
    for (const name of this.roots) {
      const actor = stage.cast(name, NOTHING);
      stage.started(core.processes.spawn(name, (process) => actor.program(process)));
    }
    return processes;
  }

  /** What is left over, and the story of each piece. */
  atEnd(): readonly Finding[] {
    const found = this.oracles.atEnd(this.baseline, this.machine.census());
    if (found.length === 0) return found;
    const left = this.machine.holdings().filter((story) => !this.held.has(story));
    return [...found, ...left.map((story) => ({ invariant: 'INV-9', story }))];
  }

  /** What a task threw and nobody caught: an error of a service ends the run as a finding. @throws anything else */
  uncaught(error: unknown): Outcome {
    const { outcome } = this.machine.kernel;
    if (outcome === null || !isIommuError(error)) throw error;
    return outcome;
  }

  findings(outcome: Outcome): readonly Finding[] {
    if (outcome.end === 'finished') return this.atEnd();
    if (outcome.end === 'refused') return [];
    const story = describeEnd(outcome);
    if (outcome.end === 'violation') return [{ invariant: outcome.violation.invariant, story }];
    return [{ invariant: outcome.end === 'limit' ? 'limit' : 'INV-11', story }];
  }

  /** Why the schedule that was asked for was not the one that ran; null when it was. */
  scheduleProblem(chooser: Chooser, outcome: Outcome): string | null {
    const refusal = outcome.end === 'refused' ? outcome.reason : null;
    if (isDirected(chooser) && (refusal !== null || outcome.end === 'finished'))
      return unmetOrder(chooser, refusal, () => this.namedSteps());
    const unmade = chooser.unmade?.() ?? 0;
    if (refusal === null && unmade > 0) {
      return `the token makes ${unmade} more choices than this run has; it is damaged, or of another release`;
    }
    return refusal;
  }

  /** The named steps that happen in some run, whatever the order says. */
  namedSteps(): ReadonlySet<string> {
    const steps = new Set<string>();
    if (this.plan.hardware !== undefined) return steps;
    for (let i = 0; i < SAMPLES; i++) this.run(new StepRecorder(i, steps));
    return steps;
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
