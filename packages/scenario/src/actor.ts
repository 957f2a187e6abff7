import type { Core, OpenFile, Process } from '@iommukit/core';
import type { DmaEngineDriver, Job } from '@iommukit/dma-engine';
import { type Coroutine, type Footprint, IommuError, isIommuError } from '@iommukit/kernel';
import type { Machine } from '@iommukit/machine';
import { ActorDma } from './actor-dma.js';
import { ActorMemory, type Buffer } from './actor-memory.js';
import { ActorSupervisor } from './actor-supervisor.js';
import type { Step } from './schema.js';

/** What a process maps of a device (bytes). */
const DEVICE_PAGE = 4096;

/** The steps that an `order:` names: a point before each lets the chooser hold the actor back. */
export interface Marks {
  readonly steps: ReadonlySet<string>;
  readonly footprint: Footprint;
}

/** An open device, and its driver. */
interface Opened {
  readonly file: OpenFile;
  readonly driver: DmaEngineDriver;
}

/** What an actor begins with: nothing, or what the one that started it has. */
export interface Inheritance {
  readonly buffers: ReadonlyMap<string, Buffer>;
  readonly device: Opened | null;
}

/** What an actor without a parent begins with. */
export const NOTHING: Inheritance = { buffers: new Map(), device: null };

/** Everything of a run that its actors share. */
export interface Stage {
  readonly machine: Machine;
  /** Is told in words of every step that did not go as the scenario says. */
  complain(story: string): void;
  /** The actor of this name, with what it inherits. */
  cast(name: string, inheritance: Inheritance): Actor;
  /** A process began that is part of the run. */
  started(process: Process): void;
}

/** One process or thread of a scenario: takes its steps in order; a step that fails is told, and the process exits. */
export class Actor {
  readonly stage: Stage;
  readonly core: Core;
  readonly name: string;
  readonly steps: readonly Step[];
  readonly marks: Marks;
  readonly memory: ActorMemory;
  /** Children and threads that were started, by name. */
  readonly children = new Map<string, Process>();
  /** The open device, or null. */
  device: Opened | null;
  /** The DMA domain that the device is attached to, or null. */
  dma: ActorDma | null = null;
  /** The device works by the kernel's own addresses, or null. */
  supervisor: ActorSupervisor | null = null;

  constructor(stage: Stage, name: string, steps: readonly Step[], marks: Marks, { buffers, device }: Inheritance) {
    this.stage = stage;
    this.core = stage.machine.core;
    this.name = name;
    this.steps = steps;
    this.marks = marks;
    this.memory = new ActorMemory(this.core, name, buffers, (story) => stage.complain(story));
    this.device = device;
  }

  /** The process's program. Returning from it is exit. */
  *program(process: Process): Coroutine<void> {
    yield* this.takeAll(process);
    if (this.dma !== null) yield* this.dmaDetach();
    if (this.supervisor !== null) yield* this.endSupervisor();
  }

  *takeAll(process: Process): Coroutine<void> {
    for (const step of this.steps) {
      if (this.marks.steps.has(step.do)) yield* this.core.kernel.named(step.do, this.marks.footprint, false);
      if (step.do === 'exit') return;
      try {
        yield* this.take(process, step);
      } catch (error) {
        if (!isIommuError(error)) throw error;
        this.stage.complain(`${this.name}: ${step.do}: ${error.message}`);
        return;
      }
    }
  }

  take(process: Process, step: Exclude<Step, { do: 'exit' }>): Coroutine<void> {
    switch (step.do) {
      case 'open':
        return this.open(process, step.device);
      case 'map-device':
        return this.mapDevice(process);
      case 'bind':
        return this.bind(process, step);
      case 'submit':
        return this.submit(step);
      case 'stop':
        return this.stop();
      case 'sleep':
        return this.sleep(step.ns);
      case 'wait':
        return this.wait(step.outcome);
      case 'unbind':
        return this.unbind();
      case 'close':
        return this.close(process);
      case 'dma-attach':
        return this.dmaAttach();
      case 'dma-map':
        return this.dmaMap(step.buffer, step.pages);
      case 'dma-unmap':
        return this.attached().unmap(this.memory.buffer(step.buffer));
      case 'dma-detach':
        return this.dmaDetach();
      case 'supervisor-bind':
        return this.supervisorBind(step.refused);
      case 'supervisor-map':
        return this.supervisorMap(step);
      case 'supervisor-unmap':
        return this.privileged().unmap(this.memory.buffer(step.buffer));
      case 'fork':
        return this.fork(process, step.child);
      case 'thread':
        return this.thread(process, step.child);
      case 'join':
        return this.core.processes.join(this.children.get(step.child)!);
      case 'exec':
        return this.exec(process);
      default:
        return this.memory.take(process, step);
    }
  }

  // ── the device ─────────────────────────────────────────────────────────────────────────────────────────────────

  *open(process: Process, device: string): Coroutine<void> {
    const driver = this.stage.machine.endpointDriver(device) as DmaEngineDriver;
    this.device = { driver, file: yield* driver.open(process) };
  }

  *mapDevice(process: Process): Coroutine<void> {
    yield* this.core.processes.mmapFile(process, this.opened().file, DEVICE_PAGE);
  }

  /** `refused`: the error code that the scenario wants. */
  *bind(process: Process, step: Extract<Step, { do: 'bind' }>): Coroutine<void> {
    const { driver, file } = this.opened();
    const options = { withoutPasid: step['without-pasid'] === true };
    yield* this.tries('bind', step.refused, () => driver.bind(file, this.core.processes.mmOf(process), options));
  }

  *submit(step: Extract<Step, { do: 'submit' }>): Coroutine<void> {
    const { driver, file } = this.opened();
    yield* this.tries('submit', step.refused, () => driver.submit(file, this.job(step)));
  }

  /** Does something that may have to be refused. @returns true when it was done */
  *tries(what: string, refused: string | undefined, act: () => Coroutine<unknown>): Coroutine<boolean> {
    try {
      yield* act();
    } catch (error) {
      if (refused === undefined || !isIommuError(error) || error.code !== refused) throw error;
      return false;
    }
    if (refused !== undefined) this.stage.complain(`${this.name}: ${what}: it was not refused with ${refused}`);
    return true;
  }

  job(step: Extract<Step, { do: 'submit' }>): Job {
    const from = step.from === undefined ? null : this.memory.buffer(step.from);
    const to = step.to === undefined ? null : this.memory.buffer(step.to);
    const bytes = Math.min(...[from, to, step].flatMap((part) => part?.bytes ?? []));
    return {
      op: step.op,
      source: from?.address ?? 0n,
      destination: to?.address ?? 0n,
      bytes,
      pattern: step.byte * 0x01010101,
      prefetch: step.prefetch,
      noPasid: this.dma !== null,
      endless: step.endless,
      privileged: step.privileged ?? this.supervisor !== null,
    };
  }

  *sleep(ns: number): Coroutine<void> {
    yield* this.core.kernel.clock.sleep(ns);
  }

  stop(): Coroutine<void> {
    const { driver, file } = this.opened();
    return driver.stop(file);
  }

  *wait(outcome: string): Coroutine<void> {
    const { driver, file } = this.opened();
    const { status } = yield* driver.wait(file);
    if (outcome !== 'any' && status !== outcome)
      this.stage.complain(`${this.name}: wait: the job ended ${status}, not ${outcome}`);
  }

  *unbind(): Coroutine<void> {
    const { driver, file } = this.opened();
    if (this.supervisor !== null) yield* this.endSupervisor();
    yield* driver.unbind(file);
  }

  *close(process: Process): Coroutine<void> {
    const { file } = this.opened();
    if (this.supervisor !== null) yield* this.endSupervisor();
    this.device = null;
    yield* this.core.processes.close(process, file);
  }

  opened(): Opened {
    if (this.device !== null) return this.device;
    throw new IommuError('EINVAL', 'no device is open', { remedy: 'put `- open: 0000:00:03.0` before this step' });
  }

  // ── the device, as a driver inside the kernel uses it ──────────────────────────────────────────────────────────

  *dmaAttach(): Coroutine<void> {
    this.dma = yield* ActorDma.attach(this.stage.machine, this.opened().driver);
  }

  *dmaMap(name: string, pages: number): Coroutine<void> {
    this.memory.buffers.set(name, yield* this.attached().map(pages));
  }

  *dmaDetach(): Coroutine<void> {
    const dma = this.attached();
    this.dma = null;
    yield* dma.detach();
  }

  attached(): ActorDma {
    if (this.dma !== null) return this.dma;
    throw new IommuError('EINVAL', 'the device has no DMA domain', { remedy: 'put `- dma-attach` before this step' });
  }

  *supervisorBind(refused?: string): Coroutine<void> {
    const { driver, file } = this.opened();
    const bound = yield* this.tries('supervisor-bind', refused, () => driver.bindSupervisor(file));
    if (bound) this.supervisor = new ActorSupervisor(this.stage.machine, driver);
  }

  *supervisorMap({ buffer, pages, outside }: Extract<Step, { do: 'supervisor-map' }>): Coroutine<void> {
    this.memory.buffers.set(buffer, yield* this.privileged().map(pages, outside));
  }

  /** The device works on nothing of the kernel's any more: a job under way is stopped first. */
  *endSupervisor(): Coroutine<void> {
    const { driver, file } = this.opened();
    yield* driver.stop(file);
    yield* this.privileged().release();
    this.supervisor = null;
  }

  privileged(): ActorSupervisor {
    if (this.supervisor !== null) return this.supervisor;
    throw new IommuError('EINVAL', "the device does not work by the kernel's addresses", {
      remedy: 'put `- supervisor-bind` before this step',
    });
  }

  // ── other processes ────────────────────────────────────────────────────────────────────────────────────────────

  *fork(process: Process, name: string): Coroutine<void> {
    const child = this.stage.cast(name, { buffers: this.memory.buffers, device: this.device });
    this.adopt(name, yield* this.core.processes.fork(process, name, (its) => child.program(its)));
  }

  *thread(process: Process, name: string): Coroutine<void> {
    // It opens devices of its own; what is open is shared, and closed by whoever opened it.
    const thread = this.stage.cast(name, { buffers: this.memory.buffers, device: null });
    this.adopt(
      name,
      this.core.processes.spawnThread(process, name, (its) => thread.program(its)),
    );
  }

  adopt(name: string, process: Process): void {
    this.children.set(name, process);
    this.stage.started(process);
  }

  /** The rest of the steps is the new program. */
  *exec(process: Process): Coroutine<void> {
    yield* this.core.processes.exec(process);
    this.memory.buffers.clear();
  }
}
