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
import { setBusMaster } from '@iommukit/pci-ats';
import { checkJob, type Job, type JobOutcome, type JobResult } from './job.js';
import * as R from './registers.js';
import { engineJob } from './tracepoints.js';

/** What the driver keeps of an open file. */
export interface EngineFile {
  /** Whether the device may use an address space, and which change of that is under way. */
  phase: 'unbound' | 'binding' | 'bound' | 'unbinding';
  handle: SvaHandle | null;
  /** The job under way or the last one; null: none yet. */
  job: Job | null;
  /** Null while the job waits or runs. */
  result: JobResult | null;
}

/** What the driver keeps of its device. */
export interface EngineState {
  /** The file whose job the device runs. */
  owner: OpenFile | null;
  /** Why the device cannot share address spaces; empty: it can. */
  refusal: string;
}

/** A stop that takes longer than this (virtual ns) is a device that hangs. */
const STOP_LIMIT_NS = 60e9;
const DEVICE_PAGE = 4096;

const OUTCOMES: Readonly<Record<number, JobOutcome>> = {
  [R.JOB_STATUS.DONE]: 'done',
  [R.JOB_STATUS.CANCELLED]: 'cancelled',
  [R.JOB_STATUS.FAILED]: 'failed',
  [R.JOB_STATUS.STOPPED]: 'stopped',
};
const OPCODES = { copy: R.OPCODE.COPY, fill: R.OPCODE.FILL, checksum: R.OPCODE.CHECKSUM } as const;

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
  readonly state: EngineState = { owner: null, refusal: 'it was not probed' };
  /** Where processes wait for the end of jobs. */
  readonly idle: WaitQueue;

  constructor(device: Device, iommu: IommuDriver, core: Core) {
    this.device = device;
    this.iommu = iommu;
    this.core = core;
    this.registers = device.mmio[0]!;
    const { kernel } = core;
    this.slab = kernel.slab<EngineFile>('engine file', { phase: 'unbound', handle: null, job: null, result: null });
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
    this.device.irq('intx').handle(() => this.interrupt());
    yield* setBusMaster(this.device.config!, true);
    try {
      yield* this.enableFeatures();
      this.state.refusal = '';
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

  /** Page requests first, since SVA relies on them (FEAT-1). */
  *enableFeatures(): Coroutine<void> {
    yield* this.iommu.enable(this.device, 'iopf');
    try {
      yield* this.iommu.enable(this.device, 'sva');
    } catch (error) {
      yield* this.iommu.disable(this.device, 'iopf');
      throw error;
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
      context.handle = yield* this.iommu.bind(this.device, mm);
    } finally {
      context.phase = context.handle === null ? 'unbound' : 'bound';
    }
    return context.handle.pasid;
  }

  requireSva(): void {
    const { refusal } = this.state;
    if (refusal !== '') throw new IommuError('ENODEV', `${this.device.name} cannot share address spaces: ${refusal}`);
  }

  /**
   * Starts a job; waits for the device while another file's job runs.
   * @throws IommuError EINVAL for a job that the device does not take or a file that is not bound, EBUSY while a job of
   * the file runs
   */
  *submit(file: OpenFile, job: Job): Coroutine<void> {
    const context = contextOf(file);
    const { phase, handle } = context;
    checkJob(job);
    if (phase !== 'bound' || handle === null)
      throw new IommuError('EINVAL', `${file.name} is not bound`, { remedy: 'bind before submit' });
    if (context.job !== null && context.result === null)
      throw new IommuError('EBUSY', `a job of ${file.name} runs`, { remedy: 'wait first' });
    // From here on an unbind waits for the outcome.
    context.job = job;
    context.result = null;
    yield* this.takeSlot(file);
    this.tell(handle.pasid, job, 'submitted');
    yield* this.program(handle.pasid, job);
    yield* this.start();
  }

  /** Waits for the outcome of the last job. @throws IommuError EINVAL when there is none */
  *wait(file: OpenFile): Coroutine<JobResult> {
    const context = contextOf(file);
    if (context.job === null)
      throw new IommuError('EINVAL', `no job was submitted to ${file.name}`, { remedy: 'submit first' });
    yield* this.idle.wait(() => context.result !== null);
    return context.result!;
  }

  /** Stops the device's use of the address space, then lets go of it (SVA-12). @throws IommuError EINVAL when not bound */
  *unbind(file: OpenFile): Coroutine<void> {
    const context = contextOf(file);
    const { phase, handle } = context;
    if (phase !== 'bound' || handle === null)
      throw new IommuError('EINVAL', `${file.name} is not bound`, { remedy: 'bind before unbind' });
    context.phase = 'unbinding';
    yield* this.awaitOutcome(file);
    yield* this.stopQueue(handle.pasid);
    context.handle = null;
    yield* this.iommu.unbind(handle);
    context.phase = 'unbound';
  }

  /** The last reference of the file is gone: job outcome, stop, outstanding responses, unbind. */
  *release(file: OpenFile): Coroutine<void> {
    if (contextOf(file).phase === 'bound') yield* this.unbind(file);
    this.slab.free(contextOf(file));
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

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
    yield* registers.write32(R.OPERATION.offset, R.OPERATION.pack({ opcode: OPCODES[job.op] }));
    yield* registers.write64(R.SOURCE.offset, low(job.source), high(job.source));
    yield* registers.write64(R.DESTINATION.offset, low(job.destination), high(job.destination));
    yield* registers.write32(R.LENGTH.offset, job.bytes);
    yield* registers.write32(R.PASID.offset, R.PASID.pack({ pasid }));
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
      yield* this.registers.write32(R.STOP.offset, R.STOP.pack({ pasid, request: 1 }));
      yield* this.registers.until32(R.STOPPED.offset, (value) => hasStopped(value, pasid), STOP_LIMIT_NS);
    } catch (error) {
      if (!isIommuError(error, 'ETIMEDOUT')) throw error;
      yield* this.cutOff();
    } finally {
      lock.release();
    }
  }

  /** The device cannot be trusted with an address space any more: it sends nothing from now on. */
  cutOff(): Coroutine<void> {
    this.state.refusal = 'it did not stop when it was asked to, and was taken off the bus';
    return setBusMaster(this.device.config!, false);
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
    this.tell(context.handle!.pasid, context.job!, result.status);
    this.idle.wake();
  }

  tell(pasid: number, { op, bytes }: Job, status: string): void {
    const { trace } = this.core.kernel;
    if (trace.wants(engineJob)) trace.emit(engineJob, { dev: this.device.name, pasid, op, bytes, status });
  }
}

function contextOf(file: OpenFile): EngineFile {
  return file.data as EngineFile;
}

function hasStopped(value: number, pasid: number): boolean {
  return R.STOPPED.f.done.of(value) === 1 && R.STOPPED.f.pasid.of(value) === pasid;
}

function low(address: bigint): number {
  return Number(address & 0xffffffffn);
}

function high(address: bigint): number {
  return Number(address >> 32n);
}
