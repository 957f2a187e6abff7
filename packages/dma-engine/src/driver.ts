import {
  type Core,
  type Device,
  type FileOps,
  type IommuDriver,
  type Mm,
  type OpenFile,
  PERM,
  type Process,
  type SvaHandle,
} from '@iommukit/core';
import {
  type Coroutine,
  IommuError,
  isIommuError,
  type Mmio,
  Mutex,
  type Slab,
  type Step,
  WaitQueue,
} from '@iommukit/kernel';
import { atsSupported, priSupported, setBusMaster } from '@iommukit/pci-ats';
import { contextOf, type EngineFile, type EngineState, isRunning, NEW_FILE } from './engine-file.js';
import { checkJob, type Job, type JobResult } from './job.js';
import { hasStopped, high, low, OUTCOMES, operationOf, stopOf } from './job-registers.js';
import { INTERRUPT_LINE } from './platform-engine.js';
import * as R from './registers.js';
import { engineJob } from './tracepoints.js';
import { NO_PASID } from './work.js';

/** A stop that takes longer than this (virtual ns) is a device that hangs. */
const STOP_LIMIT_NS = 60e9;
const DEVICE_PAGE = 4096;

/** The engine's driver: files that processes open, map, bind to their memory, submit jobs to, and close. */
export class DmaEngineDriver implements FileOps {
  readonly device: Device;
  readonly iommu: IommuDriver;
  readonly core: Core;
  readonly registers: Mmio;
  readonly slab: Slab<EngineFile>;
  /** Who gets the device next. */
  readonly slotLock: Mutex;
  /** Serialises use of the stop registers. */
  readonly stopLock: Mutex;
  readonly state: EngineState = { owner: null, refusal: 'it was not probed', faults: false };
  /** Where processes wait for the end of jobs. */
  readonly idle: WaitQueue;

  constructor(device: Device, iommu: IommuDriver, core: Core) {
    this.device = device;
    this.iommu = iommu;
    this.core = core;
    this.registers = device.mmio[0]!;
    const { kernel } = core;
    this.slab = kernel.slab<EngineFile>('engine file', { ...NEW_FILE });
    this.slotLock = new Mutex(kernel, 'engine slot');
    this.stopLock = new Mutex(kernel, 'engine stop');
    this.idle = new WaitQueue(kernel, `${device.name} to end a job`);
    kernel.checkpoints.keep(this.state);
  }

  // ── probe ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes the device ready. Where Shared Virtual Addressing cannot be had it works without, and {@link bind} says why.
   * @throws IommuError ENODEV when the device does not answer as an engine
   */
  *probe(): Coroutine<void> {
    yield* this.identify();
    this.device.irq(this.device.config === null ? INTERRUPT_LINE : 'intx').handle(() => this.interrupt());
    yield* this.setBusMaster(true);
    try {
      yield* this.enableFeatures();
    } catch (error) {
      if (!isIommuError(error)) throw error;
      // The code is told once, by what is thrown for it.
      this.state.refusal = error.message.replace(` (${error.code})`, '');
    }
  }

  *identify(): Coroutine<void> {
    const magic = yield* this.registers.read32(R.ID.offset);
    if (magic === R.MAGIC) return;
    throw new IommuError('ENODEV', `${this.device.name} is no DMA engine: its ID reads 0x${magic.toString(16)}`, {
      remedy: 'check the model that is plugged in there, and its base address',
    });
  }

  /** A platform device needs no leave to send requests. */
  *setBusMaster(on: boolean): Coroutine<void> {
    if (this.device.config !== null) yield* setBusMaster(this.device.config, on);
  }

  /**
   * Lets files be bound. Page faults first, since SVA relies on them (FEAT-1); a device without them reaches only pages that
   * are there. @throws IommuError what `IommuDriver.enable` throws
   */
  *enableFeatures(): Coroutine<void> {
    this.state.faults = yield* this.enableFaults();
    try {
      yield* this.iommu.enable(this.device, 'sva');
    } catch (error) {
      if (this.state.faults) yield* this.iommu.disable(this.device, 'iopf');
      throw error;
    }
    this.state.refusal = '';
  }

  /**
   * The reverse of {@link enableFeatures} (FEAT-2): afterwards the device can be attached to a DMA domain (FEAT-6), for jobs
   * without PASID. @throws IommuError EBUSY while files are bound
   */
  *disableFeatures(): Coroutine<void> {
    if (this.state.refusal !== '') return;
    yield* this.iommu.disable(this.device, 'sva');
    if (this.state.faults) yield* this.iommu.disable(this.device, 'iopf');
    this.state.refusal = 'its driver uses it without';
  }

  /** False: the device reports no page faults. A platform device does if firmware and IOMMU let it stall (FEAT-5). */
  *enableFaults(): Coroutine<boolean> {
    const { config } = this.device;
    if (config !== null && !((yield* atsSupported(config)) && (yield* priSupported(config)))) return false;
    try {
      yield* this.iommu.enable(this.device, 'iopf');
      return true;
    } catch (error) {
      if (config !== null || !isIommuError(error, 'ENODEV')) throw error;
      return false;
    }
  }

  // ── system calls ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Opens the device. @throws IommuError ENOMEM */
  *open(process: Process): Coroutine<OpenFile> {
    const context = this.slab.alloc();
    try {
      return this.core.files.open(process, this.device.name, this, context);
    } catch (error) {
      this.slab.free(context);
      throw error;
    }
  }

  /** Maps the page that shows the device's status; the mapping holds the file (VMA-4). @throws IommuError EINVAL, ENOMEM */
  mmap(file: OpenFile, process: Process, bytes: number): Coroutine<bigint> {
    if (bytes !== DEVICE_PAGE) {
      throw new IommuError('EINVAL', `${this.device.name} maps ${DEVICE_PAGE} bytes, not ${bytes}`, {
        remedy: 'map one page',
      });
    }
    const mm = this.core.processes.mmOf(process);
    return this.core.mappings.mmapDevice(mm, this.registers.base + R.USER_PAGE, bytes, PERM.READ, file);
  }

  /**
   * Lets the device use the address space. The caller holds mm_users.
   * @throws IommuError ENODEV with the reason when the device cannot, EEXIST for a file that is bound, and what
   * `IommuDriver.bind` throws
   */
  *bind(file: OpenFile, mm: Mm): Coroutine<number> {
    const context = contextOf(file);
    this.requireSva();
    if (context.phase !== 'unbound')
      throw new IommuError('EEXIST', `${file.name} is bound already`, { remedy: 'unbind first' });
    context.phase = 'binding';
    try {
      context.handle = yield* this.share(context, mm);
      this.publish(context, context.handle.pasid);
    } finally {
      context.phase = context.handle === null ? 'unbound' : 'bound';
      if (context.handle === null) this.idle.wake();
    }
    return context.handle.pasid;
  }

  /** Nobody learns the PASID before this returns: the IOMMU's entry is live then (SVA-5). */
  share(_context: EngineFile, mm: Mm): Coroutine<SvaHandle> {
    return this.iommu.bind(this.device, mm);
  }

  /** From here on jobs of the file may use the PASID. */
  publish(context: EngineFile, pasid: number): void {
    context.pasid = pasid;
    this.idle.wake();
  }

  requireSva(): void {
    const { refusal } = this.state;
    if (refusal !== '') throw new IommuError('ENODEV', `${this.device.name} cannot share address spaces: ${refusal}`);
  }

  /**
   * Starts a job; waits for the device while another file's job runs, and for a bind that is under way.
   * @throws IommuError EINVAL for a job that the device does not take or a file that is not bound, EBUSY while a job of
   * the file runs
   */
  *submit(file: OpenFile, job: Job): Coroutine<void> {
    checkJob(job);
    yield* this.submitWith(file, job, job.noPasid === true ? NO_PASID : yield* this.pasidOf(file));
  }

  /**
   * Starts a job with a PASID that the file need not have: what a guest or a hostile program tells the device.
   * @throws IommuError as {@link submit}, but for the binding
   */
  *submitWith(file: OpenFile, job: Job, pasid: number): Coroutine<void> {
    const context = contextOf(file);
    checkJob(job);
    if (isRunning(context)) throw new IommuError('EBUSY', `a job of ${file.name} runs`, { remedy: 'wait first' });
    // From here on an unbind waits for the outcome.
    context.job = job;
    context.jobPasid = pasid;
    context.started = false;
    context.result = null;
    yield* this.takeSlot(file);
    this.tell(pasid, job, 'submitted');
    yield* this.program(pasid, job);
    yield* this.start();
    context.started = true;
    // Who wants to stop it waits for that.
    if (job.endless === true) this.idle.wake();
  }

  /** The PASID of a file's jobs. @throws IommuError EINVAL when it has none */
  *pasidOf(file: OpenFile): Coroutine<number> {
    const context = contextOf(file);
    if (context.phase === 'binding') yield* this.idle.wait(() => this.knowsPasid(context));
    if (context.phase === 'unbinding' || context.pasid === NO_PASID)
      throw new IommuError('EINVAL', `${file.name} is not bound`, { remedy: 'bind before submit' });
    return context.pasid;
  }

  knowsPasid(context: EngineFile): boolean {
    return context.pasid !== NO_PASID || context.phase !== 'binding';
  }

  /** Waits for the outcome of the last job. @throws IommuError EINVAL when there is none */
  *wait(file: OpenFile): Coroutine<JobResult> {
    const context = contextOf(file);
    if (context.job === null)
      throw new IommuError('EINVAL', `no job was submitted to ${file.name}`, { remedy: 'submit first' });
    yield* this.idle.wait(() => context.result !== null);
    return context.result!;
  }

  /** Ends the job under way as `stopped`, unless it ends before. The file stays bound. */
  *stop(file: OpenFile): Coroutine<void> {
    const context = contextOf(file);
    if (!isRunning(context)) return;
    yield* this.awaitStart(context);
    yield* this.stopQueue(context.jobPasid);
    yield* this.awaitOutcome(file);
  }

  /** Stops the device's use of the address space, then lets go of it (SVA-12). @throws IommuError EINVAL when not bound */
  *unbind(file: OpenFile): Coroutine<void> {
    const context = contextOf(file);
    const { phase, handle } = context;
    if (phase !== 'bound' || handle === null)
      throw new IommuError('EINVAL', `${file.name} is not bound`, { remedy: 'bind before unbind' });
    context.phase = 'unbinding';
    yield* this.detach(file, handle);
    context.pasid = NO_PASID;
    context.phase = 'unbound';
  }

  /** The last reference of the file is gone: job outcome, stop, outstanding responses, unbind. */
  *release(file: OpenFile): Coroutine<void> {
    const context = contextOf(file);
    if (context.phase === 'bound') yield* this.unbind(file);
    else if (isRunning(context)) yield* this.quiesce(file, context.jobPasid);
    this.slab.free(context);
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The device first, then the IOMMU: an access that comes after the entry is gone is an error (SVA-12). */
  *detach(file: OpenFile, handle: SvaHandle): Coroutine<void> {
    yield* this.quiesce(file, handle.pasid);
    yield* this.unshare(file, handle);
  }

  *unshare(file: OpenFile, handle: SvaHandle): Coroutine<void> {
    contextOf(file).handle = null;
    yield* this.iommu.unbind(handle);
  }

  /** Nothing with the PASID is under way or follows when this returns. An endless job has no outcome before its stop. */
  *quiesce(file: OpenFile, pasid: number): Coroutine<void> {
    const endless = contextOf(file).job?.endless === true;
    if (endless) yield* this.awaitStart(contextOf(file));
    else yield* this.awaitOutcome(file);
    yield* this.stopQueue(pasid);
    if (endless) yield* this.awaitOutcome(file);
  }

  /** A stop of a job that the device has not begun would come too early. */
  awaitStart(context: EngineFile): Coroutine<void> {
    return this.idle.wait(() => context.started || !isRunning(context));
  }

  /** In the order of submission: who holds the lock is next. */
  *takeSlot(file: OpenFile): Coroutine<void> {
    const lock = yield* this.slotLock.acquire();
    try {
      yield* this.idle.wait(() => this.state.owner === null);
      this.state.owner = file;
    } finally {
      lock.release();
    }
  }

  *program(pasid: number, job: Job): Coroutine<void> {
    const { registers } = this;
    yield* registers.write32(R.OPERATION.offset, operationOf(pasid, job));
    yield* registers.write64(R.SOURCE.offset, low(job.source), high(job.source));
    yield* registers.write64(R.DESTINATION.offset, low(job.destination), high(job.destination));
    yield* registers.write32(R.LENGTH.offset, job.bytes);
    yield* registers.write32(R.PASID.offset, R.PASID.pack({ pasid: Math.max(pasid, 0) }));
    yield* registers.write32(R.PATTERN.offset, job.pattern);
    yield* registers.write32(R.PREFETCH.offset, R.PREFETCH.pack({ pages: job.prefetch }));
  }

  start(): Step<void> {
    return this.registers.write32(R.DOORBELL.offset, R.DOORBELL.pack({ start: 1 }));
  }

  *awaitOutcome(file: OpenFile): Coroutine<void> {
    const context = contextOf(file);
    if (context.job !== null) yield* this.idle.wait(() => context.result !== null);
  }

  /**
   * PASID stop: complete when nothing with the PASID follows, and (a device that waits) every response is in (IOPF-14).
   * A device that never completes it is cut off.
   */
  *stopQueue(pasid: number): Coroutine<void> {
    const lock = yield* this.stopLock.acquire();
    try {
      yield* this.registers.write32(R.STOP.offset, stopOf(pasid));
      yield* this.registers.until32(R.STOPPED.offset, (value) => hasStopped(value, pasid), STOP_LIMIT_NS);
    } catch (error) {
      if (!isIommuError(error, 'ETIMEDOUT')) throw error;
      yield* this.cutOff();
    } finally {
      lock.release();
    }
  }

  /** The device cannot be trusted with an address space any more: a PCI function sends nothing from now on. */
  cutOff(): Coroutine<void> {
    const taken = this.device.config === null ? '' : ', and was taken off the bus';
    this.state.refusal = `it did not stop when it was asked to${taken}`;
    return this.setBusMaster(false);
  }

  /** The interrupt thread: takes the outcome, and lets the next job in. */
  *interrupt(): Coroutine<void> {
    const { registers } = this;
    const pending = yield* registers.read32(R.INTERRUPT.offset);
    if (R.INTERRUPT.f.jobEnded.of(pending) === 0) return;
    yield* registers.write32(R.INTERRUPT.offset, R.INTERRUPT.pack({ jobEnded: 1 }));
    const status = R.STATUS.f.job.of(yield* registers.read32(R.STATUS.offset));
    const sum = yield* registers.read32(R.RESULT.offset);
    this.finish({ status: OUTCOMES[status] ?? 'invalid', sum });
  }

  finish(result: JobResult): void {
    const { owner } = this.state;
    if (owner === null) return;
    const context = contextOf(owner);
    this.state.owner = null;
    context.result = result;
    this.tell(context.jobPasid, context.job!, result.status);
    this.idle.wake();
  }

  tell(pasid: number, { op, bytes }: Job, status: string): void {
    const { trace } = this.core.kernel;
    if (trace.wants(engineJob)) trace.emit(engineJob, { dev: this.device.name, pasid, op, bytes, status });
  }
}
