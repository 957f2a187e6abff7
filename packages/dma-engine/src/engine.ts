import type { AnyRegister } from '@iommukit/bitfield';
import {
  type Coroutine,
  type Footprint,
  type HardwarePlace,
  type Kernel,
  type Settings,
  type Step,
  type Task,
  WaitQueue,
} from '@iommukit/kernel';
import type { Link } from '@iommukit/pci-ats';
import type { EngineCapabilities } from './capabilities.js';
import type { JobRunner } from './job-runner.js';
import type { EngineParts } from './module.js';
import type { RegisterFile } from './register-file.js';
import * as R from './registers.js';
import { engineStop, pasidOrNull } from './tracepoints.js';
import type { UntranslatedPort } from './untranslated-port.js';
import { NO_PASID, type Work } from './work.js';

/** No PASID stop is under way. */
export const NO_STOP = -2;

/**
 * What the accelerator is on every bus: registers, jobs, PASID stops. One task runs the job, another one the stop, so that a
 * job of one process never delays the stop of another.
 */
export abstract class Engine {
  readonly kernel: Kernel;
  readonly name: string;
  readonly link: Link;
  /** `waits` or `marker` (IOPF-14). */
  readonly stopKind: string;
  abstract readonly capabilities: EngineCapabilities;
  readonly registers: RegisterFile;
  /** The way to memory. */
  abstract readonly memory: UntranslatedPort;
  readonly jobs: JobRunner;
  /** Runs jobs. */
  readonly task: Task;
  /** Completes PASID stops. */
  readonly stopTask: Task;
  /**
   * The job under way; the PASID that is being stopped (-1: requests without one, -2: no stop is under way); and whether the
   * device is gone.
   */
  readonly state: { work: Work | null; stop: number; removed: boolean } = { work: null, stop: NO_STOP, removed: false };
  /** Stands for `state.stop` in footprints. */
  readonly stopWord: Footprint;
  /** Where a stop waits for the end of a job. */
  readonly quiet: WaitQueue;

  constructor(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts) {
    const { kernel, name } = place;
    this.kernel = kernel;
    this.name = name;
    this.link = link;
    this.stopKind = String(settings['stop-kind'] ?? 'waits');
    this.registers = new parts.RegisterFile(kernel, (register) => this.written(register));
    this.jobs = new parts.JobRunner(this);
    this.task = kernel.daemon(`engine/${name}`, () => this.work());
    this.stopTask = kernel.daemon(`engine-stop/${name}`, () => this.stopWork());
    this.stopWord = kernel.footprint();
    this.quiet = new WaitQueue(kernel, `${name} to be done with a PASID`);
    kernel.checkpoints.keep(this.state);
  }

  // ── the bus ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** True if the engine may send requests with this PASID (-1: without one). */
  abstract mayUse(pasid: number): boolean;

  /** A register changed by itself: who waits for it looks again. */
  abstract changed(offset: number): void;

  /** Sends the interrupt. */
  abstract interrupt(): Step<void>;

  /** Surprise removal: what is under way is lost, the job ends with nobody to tell, and no request follows. */
  remove(): void {
    this.state.removed = true;
    this.link.remove();
    this.abort();
  }

  /** Nobody waits for answers any more. */
  abort(): void {
    this.memory.abort();
  }

  // ── registers ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A driver wrote a register. */
  written(register: AnyRegister): void {
    const value = this.registers.word(register);
    if (register === R.DOORBELL && R.DOORBELL.f.start.of(value) === 1) this.ring();
    else if (register === R.STOP && R.STOP.f.request.of(value) === 1)
      this.requestStop(R.STOP.f.noPasid.of(value) === 1 ? NO_PASID : R.STOP.f.pasid.of(value));
  }

  /** The hardware changes a register that drivers may be waiting for. */
  publish(register: AnyRegister, value: number): void {
    this.registers.set(register, value);
    this.changed(register.offset);
  }

  /** A doorbell while a job runs is lost: the driver waits for the outcome first. */
  ring(): void {
    this.registers.set(R.DOORBELL, 0);
    if (this.state.work !== null) return;
    this.state.work = this.takeJob();
    this.publish(R.STATUS, R.STATUS.pack({ job: R.JOB_STATUS.RUNNING }));
    this.publish(R.RESULT, 0);
    this.kernel.kick(this.task);
  }

  /** What the registers say now; later writes are for the next job. */
  takeJob(): Work {
    const { registers } = this;
    const destination = registers.address(R.DESTINATION);
    const operation = registers.word(R.OPERATION);
    const { opcode, noPasid, endless, eager, privileged } = R.OPERATION.f;
    return {
      opcode: opcode.of(operation),
      pasid: noPasid.of(operation) === 1 ? NO_PASID : R.PASID.f.pasid.of(registers.word(R.PASID)),
      endless: endless.of(operation) === 1,
      eager: eager.of(operation) === 1 || this.capabilities.eager,
      privileged: privileged.of(operation) === 1,
      source: registers.address(R.SOURCE),
      destination,
      bytes: registers.word(R.LENGTH),
      pattern: registers.word(R.PATTERN),
      prefetch: R.PREFETCH.f.pages.of(registers.word(R.PREFETCH)),
      prefetched: destination.page,
    };
  }

  /** A stop while another one is under way is lost: the driver waits for STOPPED first. */
  requestStop(pasid: number): void {
    this.registers.set(R.STOP, R.STOP.pack(nameOf(pasid)));
    if (this.state.stop !== NO_STOP) return;
    this.state.stop = pasid;
    this.kernel.touch(this.stopWord, true);
    this.publish(R.STOPPED, R.STOPPED.pack(nameOf(pasid)));
    this.kernel.kick(this.stopTask);
    // A job that waits for an answer looks whether it still should.
    if (this.state.work !== null) this.kernel.wake(this.task);
  }

  // ── jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────

  *work(): Coroutine<void> {
    for (let { work } = this.state; work !== null; { work } = this.state) {
      yield* this.endJob(yield* this.jobs.run(work));
    }
  }

  /** Publishes the outcome, then says so: the message never overtakes the data. */
  *endJob(status: number): Coroutine<void> {
    this.state.work = null;
    this.publish(R.STATUS, R.STATUS.pack({ job: status }));
    this.publish(R.INTERRUPT, R.INTERRUPT.pack({ jobEnded: 1 }));
    this.quiet.wake();
    if (!this.state.removed) yield* this.interrupt();
  }

  /** The job under way asks for privileged mode. */
  get privileged(): boolean {
    return this.state.work?.privileged === true;
  }

  // ── PASID stop (IOPF-14) ───────────────────────────────────────────────────────────────────────────────────────

  /** True while the PASID is being stopped: a job that uses it sends nothing more. */
  isStopping(pasid: number): boolean {
    this.kernel.touch(this.stopWord, false);
    return this.state.stop === pasid;
  }

  /** True for the kind of device that does not wait for the answers to its page requests. */
  get abandonsAnswers(): boolean {
    return this.stopKind === 'marker';
  }

  *stopWork(): Coroutine<void> {
    while (this.state.stop !== NO_STOP) yield* this.stop(this.state.stop);
  }

  *stop(pasid: number): Coroutine<void> {
    yield* this.awaitJob(pasid);
    if (this.abandonsAnswers) yield* this.postMarker(pasid);
    this.completeStop(pasid);
  }

  /** The job that uses the PASID ends before its next access; a device that waits has every answer by then. */
  awaitJob(pasid: number): Coroutine<void> {
    return this.quiet.wait(() => this.state.work?.pasid !== pasid);
  }

  /** Behind every page request with the PASID, since both are posted. Without page requests there is nothing to mark. */
  *postMarker(_pasid: number): Coroutine<void> {}

  completeStop(pasid: number): void {
    this.state.stop = NO_STOP;
    this.kernel.touch(this.stopWord, true);
    this.publish(R.STOPPED, R.STOPPED.pack({ ...nameOf(pasid), done: 1 }));
    const { trace } = this.kernel;
    if (trace.wants(engineStop))
      trace.emit(engineStop, {
        dev: this.name,
        pasid: pasidOrNull(pasid),
        kind: this.abandonsAnswers ? 'marker' : 'waits',
      });
  }
}

/** How the stop registers name a PASID. */
function nameOf(pasid: number): { pasid: number; noPasid: number } {
  return pasid === NO_PASID ? { pasid: 0, noPasid: 1 } : { pasid, noPasid: 0 };
}
