import {
  type BindOptions,
  type Core,
  type Device,
  type FileOps,
  type IommuDriver,
  type Mm,
  type OpenFile,
  PERM,
  type Process,
  type SupervisorHandle,
  type SupervisorPasids,
  type SvaHandle,
  supervisorPasids,
} from '@iommukit/core';
import { type Coroutine, IommuError, isIommuError, Mutex, type Slab, WaitQueue } from '@iommukit/kernel';
import { PASID_FEATURE, pasidFeatures } from '@iommukit/pci-ats';
import { EngineDevice } from './engine-device.js';
import { contextOf, type EngineFile, isRunning, NEW_FILE } from './engine-file.js';
import { checkJob, type Job, type JobResult } from './job.js';
import { OUTCOMES } from './job-registers.js';
import { INTERRUPT_LINE } from './platform-engine.js';
import * as R from './registers.js';
import { engineJob, pasidOrNull } from './tracepoints.js';
import { NO_PASID } from './work.js';

const DEVICE_PAGE = 4096;

/** The engine's driver: files that processes open, map, bind to their memory, submit jobs to, and close. */
export class DmaEngineDriver extends EngineDevice implements FileOps {
  readonly core: Core;
  readonly slab: Slab<EngineFile>;
  /** Who gets the device next. */
  readonly slotLock: Mutex;
  /** Where processes wait for the end of jobs. */
  readonly idle: WaitQueue;

  constructor(device: Device, iommu: IommuDriver, core: Core) {
    super(device, iommu);
    this.core = core;
    const { kernel } = core;
    this.slab = kernel.slab<EngineFile>('engine file', { ...NEW_FILE });
    this.slotLock = new Mutex(kernel, 'engine slot');
    this.idle = new WaitQueue(kernel, `${device.name} to end a job`);
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

  /** The device was removed: the job under way has failed, and files can be unbound and closed, but not bound any more. */
  *remove(): Coroutine<void> {
    this.state.gone = true;
    this.state.refusal = 'it was removed';
    this.finish({ status: 'failed', sum: 0 });
    this.idle.wake();
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
   * Lets the device use the address space. The caller holds mm_users. Without PASID every page that a job needs must be there,
   * and what an IOMMU's driver needs no feature for, this needs none for.
   * @returns the PASID, or NO_PASID (0)
   * @throws IommuError ENODEV with the reason when the device cannot, EEXIST for a file that is bound, and what
   * `IommuDriver.bind` throws
   */
  *bind(file: OpenFile, mm: Mm, options: BindOptions = {}): Coroutine<number> {
    const { withoutPasid = false } = options;
    const context = this.beginBind(file, withoutPasid);
    try {
      context.handle = yield* this.share(context, mm, options);
      if (!withoutPasid) this.publish(context, context.handle.pasid);
    } finally {
      this.endBind(context);
    }
    return context.handle.pasid;
  }

  beginBind(file: OpenFile, withoutPasid = false): EngineFile {
    const context = contextOf(file);
    if (!withoutPasid) this.requireSva();
    if (context.phase !== 'unbound')
      throw new IommuError('EEXIST', `${file.name} is bound already`, { remedy: 'unbind first' });
    context.phase = 'binding';
    context.withoutPasid = withoutPasid;
    return context;
  }

  endBind(context: EngineFile): void {
    const bound = context.handle !== null || context.supervisor !== null;
    context.phase = bound ? 'bound' : 'unbound';
    if (!bound || context.withoutPasid) this.idle.wake();
  }

  /** Nobody learns the PASID before this returns: the IOMMU's entry is live then (SVA-5). */
  share(_context: EngineFile, mm: Mm, options: BindOptions = {}): Coroutine<SvaHandle> {
    return this.iommu.bind(this.device, mm, options);
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
   * the file runs, EFAULT for a privileged job outside the kernel's 1:1 map
   */
  *submit(file: OpenFile, job: Job): Coroutine<void> {
    checkJob(job);
    const pasid = job.noPasid === true ? NO_PASID : yield* this.pasidOf(file);
    if (job.privileged === true) yield* this.checkKernelAddresses(file, job);
    yield* this.submitWith(file, job, pasid);
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
    if (!this.state.gone) yield* this.program(pasid, job);
    if (!this.state.gone) yield* this.start();
    context.started = true;
    // It may have been removed meanwhile: then nobody else ends the job.
    if (this.state.gone && this.state.owner === file) this.finish({ status: 'failed', sum: 0 });
    // Who wants to stop it waits for that.
    if (job.endless === true) this.idle.wake();
  }

  /** The PASID of a file's jobs, or -1 if their requests have none. @throws IommuError EINVAL when it has none */
  *pasidOf(file: OpenFile): Coroutine<number> {
    const context = contextOf(file);
    if (context.phase === 'binding') yield* this.idle.wait(() => this.knowsPasid(context));
    if (context.phase === 'bound' && context.withoutPasid) return NO_PASID;
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
    const { phase, handle, supervisor } = context;
    if (phase !== 'bound')
      throw new IommuError('EINVAL', `${file.name} is not bound`, { remedy: 'bind before unbind' });
    context.phase = 'unbinding';
    if (supervisor === null) yield* this.detach(file, handle!);
    else yield* this.detachSupervisor(file, supervisor);
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

  // ── the kernel's own use (SVA-20) ──────────────────────────────────────────────────────────────────────────────

  /**
   * Lets the kernel itself use the device through the file, by its own addresses: for privileged jobs (VTD-42).
   * @throws IommuError ENODEV with the reason when the device or its IOMMU cannot, EEXIST for a file that is bound, and what
   * `SupervisorPasids.bindSupervisor` throws
   */
  *bindSupervisor(file: OpenFile): Coroutine<number> {
    const iommu = this.supervisorIommu();
    yield* this.requirePrivileged();
    const context = this.beginBind(file);
    try {
      context.supervisor = yield* iommu.bindSupervisor(this.device);
      this.publish(context, context.supervisor.pasid);
    } finally {
      this.endBind(context);
    }
    return context.supervisor.pasid;
  }

  /** The kernel address of memory that the kernel owns, for its jobs. @throws IommuError EFAULT, ENOMEM, ENODEV */
  mapSupervisor(pa: number, bytes: number): Coroutine<bigint> {
    return this.supervisorIommu().mapSupervisor(pa, bytes);
  }

  /** The kernel's jobs are through with the memory. Nobody else tells the IOMMU, so this flushes it (SVA-20). */
  unmapSupervisor(address: bigint, bytes: number): Coroutine<void> {
    return this.supervisorIommu().unmapSupervisor(address, bytes);
  }

  /** Only the 1:1 map stays as it is: what is mapped elsewhere goes, and no IOMMU hears of it (SVA-20). */
  *checkKernelAddresses(file: OpenFile, job: Job): Coroutine<void> {
    const { supervisor } = contextOf(file);
    if (supervisor === null)
      throw new IommuError('EINVAL', `${file.name} is not the kernel's: its jobs are not privileged`, {
        rule: 'VTD-42',
        remedy: 'bindSupervisor before a privileged job',
      });
    try {
      yield* this.useKernelAddresses(job);
    } catch (error) {
      this.tell(supervisor.pasid, job, 'refused');
      throw error;
    }
  }

  *useKernelAddresses({ op, source, destination, bytes }: Job): Coroutine<void> {
    const iommu = this.supervisorIommu();
    if (op !== 'fill') yield* iommu.useSupervisor(source, bytes);
    if (op !== 'checksum') yield* iommu.useSupervisor(destination, bytes);
  }

  supervisorIommu(): SupervisorPasids {
    const iommu = supervisorPasids(this.iommu);
    if (iommu !== null) return iommu;
    throw new IommuError('ENODEV', `the IOMMU of ${this.device.name} has no supervisor PASIDs`, { rule: 'SVA-20' });
  }

  *requirePrivileged(): Coroutine<void> {
    const { config, name } = this.device;
    const features = config === null ? 0 : ((yield* pasidFeatures(config)) ?? 0);
    if ((features & PASID_FEATURE.PRIV) !== 0) return;
    throw new IommuError('ENODEV', `${name} cannot ask for privileged mode`, {
      rule: 'ATC-15',
      remedy: 'use a device whose PASID capability has it',
    });
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The device first, then the IOMMU: an access that comes after the entry is gone is an error (SVA-12). */
  *detach(file: OpenFile, handle: SvaHandle): Coroutine<void> {
    yield* this.quiesce(file, contextOf(file).withoutPasid ? NO_PASID : handle.pasid);
    yield* this.unshare(file, handle);
  }

  *unshare(file: OpenFile, handle: SvaHandle): Coroutine<void> {
    contextOf(file).handle = null;
    yield* this.iommu.unbind(handle);
  }

  /** As {@link detach}. */
  *detachSupervisor(file: OpenFile, handle: SupervisorHandle): Coroutine<void> {
    yield* this.quiesce(file, handle.pasid);
    contextOf(file).supervisor = null;
    yield* this.supervisorIommu().unbindSupervisor(handle);
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

  *awaitOutcome(file: OpenFile): Coroutine<void> {
    const context = contextOf(file);
    if (context.job !== null) yield* this.idle.wait(() => context.result !== null);
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

  tell(pasid: number, { op, bytes, privileged = false }: Job, status: string): void {
    const { trace } = this.core.kernel;
    if (trace.wants(engineJob))
      trace.emit(engineJob, { dev: this.device.name, pasid: pasidOrNull(pasid), privileged, op, bytes, status });
  }
}
