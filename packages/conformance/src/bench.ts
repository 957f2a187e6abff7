import type { Core, Device, IommuDriver, Process } from '@iommukit/core';
import type { DmaEngineDriver } from '@iommukit/dma-engine';
import {
  type Checkpoint,
  type Chooser,
  type Coroutine,
  DEFAULT_LIMITS,
  type Kernel,
  type MachineBus,
  type Outcome,
  shortHash,
  type Task,
} from '@iommukit/kernel';
import type { Machine } from '@iommukit/machine';
import type { Census } from '@iommukit/oracles';
import type { TranslationAgent } from '@iommukit/pci-ats';
import { describeEnd } from '@iommukit/scenario';
import type { Candidate, CommandObserver, ForeignMachine } from './candidate.js';
import { ConformanceError } from './checks.js';
import type { ConformanceTest, Way } from './conformance-test.js';
import { FaultLog } from './fault-log.js';
import type { KitOracles } from './kit-oracles.js';
import { type BenchMachine, makeMachine } from './make-machine.js';
import type { BackendManifest } from './manifest.js';
import type { Probe } from './probe.js';
import { User } from './user.js';

/** The machine of one test: booted once, and put back to that state before each schedule. */
export class Bench {
  readonly candidate: Candidate;
  readonly test: ConformanceTest;
  readonly way: Way | null;
  readonly machine: Machine;
  readonly oracles: KitOracles;
  readonly probes: readonly Probe[];
  readonly engines: readonly DmaEngineDriver[];
  /** Faults and answers of the run. */
  readonly log = new FaultLog();
  readonly baseline: Census;
  readonly held: ReadonlySet<string>;
  readonly checkpoint: Checkpoint;
  readonly hash: string;
  readonly foreign: ForeignMachine | null;
  /** Processes of the run; one that is killed fails the test. */
  processes: Process[] = [];
  runs = 0;
  /** The run is under the fair schedule. */
  fair = true;
  observer: CommandObserver | null = null;
  /** The commands that were noted, for tests of encodings. */
  commands: string[] = [];

  /** @throws ConformanceError when the machine does not boot */
  constructor(candidate: Candidate, test: ConformanceTest, way: Way | null) {
    this.candidate = candidate;
    this.test = test;
    this.way = way;
    const made: BenchMachine = makeMachine(candidate, test, way);
    this.foreign = made.foreign;
    this.machine = made.machine;
    this.oracles = made.oracles;
    const outcome = this.bootOrStop();
    if (outcome.end !== 'finished') throw new ConformanceError(`the machine does not boot: ${describeEnd(outcome)}`);
    this.engines = made.engineNames.map((name) => this.machine.endpointDriver(name) as DmaEngineDriver);
    this.probes = made.probeNames.map((name) => made.probes.get(name)!);
    this.baseline = this.machine.census();
    this.held = new Set(this.machine.holdings());
    this.checkpoint = this.machine.kernel.checkpoints.take();
    this.machine.kernel.trace.add(this.log);
    this.hash = shortHash(`${candidate.manifest.name} ${test.name} ${way ?? ''}`);
  }

  bootOrStop(): Outcome {
    try {
      return this.machine.boot();
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Ends hardware that is not modelled. */
  stop(): void {
    this.foreign?.stop();
  }

  // ── what tests use ─────────────────────────────────────────────────────────────────────────────────────────────

  get manifest(): BackendManifest {
    return this.candidate.manifest;
  }

  get kernel(): Kernel {
    return this.machine.kernel;
  }

  get core(): Core {
    return this.machine.core;
  }

  get bus(): MachineBus {
    return this.machine.bus;
  }

  /** The driver of the (one) IOMMU. */
  get iommu(): IommuDriver {
    return [...this.machine.iommus.values()][0]!.driver;
  }

  /** The model of the (one) IOMMU. */
  get agent(): TranslationAgent {
    return [...this.machine.iommus.values()][0]!.agent!;
  }

  /** The driver of the IOMMU that a device is behind. */
  iommuOf({ name }: Device): IommuDriver {
    return this.machine.iommuOf.get(name)!;
  }

  /** Frame of the page if the IOMMU that the device is behind lets it have it with this PASID, else -1. */
  reach(device: Device, pasid: number, page: number): number {
    const driver = this.iommuOf(device);
    const { agent } = [...this.machine.iommus.values()].find((unit) => unit.driver === driver)!;
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    return agent!.translate(device.streams[0]!, pasid, page, 1, out) ? out.frame : -1;
  }

  /** The driver of an accelerator. */
  engine(i = 0): DmaEngineDriver {
    return this.engines[i]!;
  }

  /** An accelerator. */
  device(i = 0): Device {
    return this.engine(i).device;
  }

  /** A PCI function that the test speaks for. */
  probe(i = 0): Probe {
    return this.probes[i]!;
  }

  /** The same, to drivers. */
  probeDevice(i = 0): Device {
    return this.machine.devices.get(this.probe(i).name)!;
  }

  /** Starts a process. One that is killed by an error fails the test. */
  process(name: string, program: (user: User) => Coroutine<void>): Process {
    const process = this.core.processes.spawn(name, (self) => program(new User(this, self)));
    this.processes.push(process);
    return process;
  }

  /** Starts a task of the kernel. */
  task(name: string, body: () => Coroutine<void>): Task {
    return this.kernel.spawn(name, body);
  }

  /** Frame of the page if the IOMMU lets the stream have it, else -1. */
  translate(stream: number, pasid: number, page: number, want = 1): number {
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    return this.agent.translate(stream, pasid, page, want, out) ? out.frame : -1;
  }

  /** Commands from here on are noted. */
  watchCommands(): void {
    this.observer ??= this.candidate.encodings!.observe(this.machine);
    this.observer.take();
  }

  /** Notes the commands since {@link watchCommands}. */
  takeCommands(): void {
    this.commands.push(...this.observer!.take());
  }

  /** Turns a probe's features on, page faults first. */
  *enableProbe(i = 0): Coroutine<void> {
    yield* this.iommu.enable(this.probeDevice(i), 'iopf');
    yield* this.iommu.enable(this.probeDevice(i), 'sva');
  }

  /** Turns them off again. */
  *disableProbe(i = 0): Coroutine<void> {
    yield* this.iommu.disable(this.probeDevice(i), 'sva');
    yield* this.iommu.disable(this.probeDevice(i), 'iopf');
  }

  // ── runs ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Runs the test once. @throws ConformanceError with the schedule's name and token when it fails */
  run(chooser: Chooser, schedule: string): void {
    const { kernel } = this;
    if (this.runs++ > 0) this.checkpoint.restore();
    this.processes = [];
    this.fair = chooser.fair === true;
    this.log.clear();
    kernel.injection.failAt = 0;
    let outcome: Outcome | null = null;
    try {
      const after = this.test.body(this);
      kernel.begin(chooser, DEFAULT_LIMITS, this.hash);
      outcome = kernel.run();
      this.judge(outcome);
      after?.();
    } catch (error) {
      throw this.inSchedule(error, schedule, outcome ?? kernel.outcome);
    }
  }

  judge(outcome: Outcome): void {
    if (outcome.end !== 'finished') {
      const name = outcome.end === 'violation' ? outcome.violation.invariant : outcome.end;
      throw new ConformanceError(`${name}: ${describeEnd(outcome)}`);
    }
    for (const { name, failure } of this.processes)
      if (failure !== null) throw new ConformanceError(`process ${name} was killed: ${failure.message}`);
    const found = this.oracles.atEnd(this.baseline, this.machine.census());
    if (found.length === 0) return;
    const left = this.machine.holdings().filter((story) => !this.held.has(story));
    const stories = found.map(({ invariant, story }) => `${invariant}: ${story}`);
    throw new ConformanceError([...stories, ...left].join('; '));
  }

  inSchedule(error: unknown, schedule: string, outcome: Outcome | null): ConformanceError {
    const message = error instanceof Error ? error.message : String(error);
    const token = outcome === null ? '' : `, token ${outcome.token}`;
    const told = new ConformanceError(`${message}\n  schedule: ${schedule}${token}`);
    if (error instanceof Error && error.stack !== undefined) told.stack = `${told.message}\n${error.stack}`;
    return told;
  }
}
