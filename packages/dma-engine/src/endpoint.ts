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
import {
  type Atc,
  type AtsEndpoint,
  type ConfigSpace,
  type Downstream,
  type Link,
  type PageRequestInterface,
  PciFunction,
} from '@iommukit/pci-ats';
import { type Capabilities, capabilitiesOf } from './capabilities.js';
import type { JobRunner } from './job-runner.js';
import type { MemoryPort } from './memory-port.js';
import type { EngineParts } from './module.js';
import type { RegisterFile } from './register-file.js';
import * as R from './registers.js';
import { engineStop } from './tracepoints.js';
import type { Work } from './work.js';

/**
 * The accelerator: a PCI function that copies, fills and sums a process's memory by its own addresses. One task runs the
 * job, another one the PASID stop, so that a job of one process never delays the stop of another.
 */
export class DmaEngine implements AtsEndpoint {
  readonly kernel: Kernel;
  readonly name: string;
  readonly link: Link;
  /** `waits` or `marker` (IOPF-14). */
  readonly stopKind: string;
  readonly capabilities: Capabilities;
  readonly fn: PciFunction;
  readonly registers: RegisterFile;
  readonly atc: Atc;
  readonly pri: PageRequestInterface;
  readonly memory: MemoryPort;
  readonly jobs: JobRunner;
  /** Runs jobs. */
  readonly task: Task;
  /** Completes PASID stops. */
  readonly stopTask: Task;
  /** The job under way, and the PASID that is being stopped (-1: none). */
  readonly state: { work: Work | null; stop: number } = { work: null, stop: -1 };
  /** Stands for `state.stop` in footprints. */
  readonly stopWord: Footprint;
  /** Where a stop waits for the end of a job. */
  readonly quiet: WaitQueue;

  /** @throws IommuError EINVAL for capabilities that there are not */
  constructor(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts) {
    const { kernel, name } = place;
    this.kernel = kernel;
    this.name = name;
    this.link = link;
    this.stopKind = String(settings['stop-kind'] ?? 'waits');
    const can = capabilitiesOf(place.capabilities, name);
    this.capabilities = can;
    this.registers = new parts.RegisterFile(kernel, (register) => this.written(register));
    this.fn = new PciFunction(
      kernel,
      place.bus,
      {
        ...R.IDENTITY,
        ats: can.ats ? { queueDepth: can.queueDepth, pageAligned: true, globalInvalidate: false } : null,
        pri: can.pri ? { capacity: can.prgCapacity, prgResponsePasidRequired: can.prgPasidRequired } : null,
        pasid: can.pasidBits > 0 ? { width: can.pasidBits, exec: false, priv: false } : null,
      },
      [this.registers],
    );
    const { fn } = this;
    const { memory } = place.bus;
    this.atc = new parts.Atc({ kernel, name: `${name} ATC`, link, fn, memory, entries: can.atcEntries });
    this.pri = new parts.PageRequestInterface({ kernel, link, fn });
    this.fn.listener = {
      atsDisabled: () => this.atc.dropAll(),
      priEnabled: () => this.pri.enabled(),
      priDisabled: () => this.pri.disabled(),
      priReset: () => this.pri.reset(),
    };
    this.memory = new parts.MemoryPort(this);
    this.jobs = new parts.JobRunner(this);
    this.task = kernel.daemon(`engine/${name}`, () => this.work());
    this.stopTask = kernel.daemon(`engine-stop/${name}`, () => this.stopWork());
    this.stopWord = kernel.footprint();
    this.quiet = new WaitQueue(kernel, `${name} to be done with a PASID`);
    kernel.checkpoints.keep(this.state);
  }

  /** Configuration space. */
  get config(): ConfigSpace {
    return this.fn.config;
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────────────────────

  receive(tlp: Downstream): Step<void> {
    const { kernel } = this;
    switch (tlp.kind) {
      case 'translation-completion':
        return kernel.done(this.atc.answer(tlp));
      case 'prg-response':
        return kernel.done(this.pri.respond(tlp));
      case 'invalidate-request':
        return this.atc.invalidate(tlp);
      case 'completion':
        return kernel.done(this.memory.completed(tlp));
    }
  }

  // ── registers ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A driver wrote a register. */
  written(register: AnyRegister): void {
    const value = this.registers.word(register);
    if (register === R.DOORBELL && R.DOORBELL.f.start.of(value) === 1) this.ring();
    else if (register === R.STOP && R.STOP.f.request.of(value) === 1) this.requestStop(R.STOP.f.pasid.of(value));
  }

  /** The hardware changes a register that drivers may be waiting for. */
  publish(register: AnyRegister, value: number): void {
    this.registers.set(register, value);
    this.fn.bars[0]!.changed(register.offset);
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
    return {
      opcode: R.OPERATION.f.opcode.of(registers.word(R.OPERATION)),
      pasid: R.PASID.f.pasid.of(registers.word(R.PASID)),
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
    this.registers.set(R.STOP, R.STOP.pack({ pasid }));
    if (this.state.stop >= 0) return;
    this.state.stop = pasid;
    this.kernel.touch(this.stopWord, true);
    this.publish(R.STOPPED, R.STOPPED.pack({ pasid }));
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
    if (this.fn.state.interrupts) yield* this.link.up({ kind: 'interrupt' });
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
    while (this.state.stop >= 0) yield* this.stop(this.state.stop);
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

  /** Behind every page request with the PASID, since both are posted. */
  postMarker(pasid: number): Coroutine<void> {
    return this.pri.stopMarker(pasid);
  }

  completeStop(pasid: number): void {
    this.state.stop = -1;
    this.kernel.touch(this.stopWord, true);
    this.publish(R.STOPPED, R.STOPPED.pack({ pasid, done: 1 }));
    const { trace } = this.kernel;
    if (trace.wants(engineStop)) trace.emit(engineStop, { dev: this.name, pasid, kind: this.stopKind });
  }
}
