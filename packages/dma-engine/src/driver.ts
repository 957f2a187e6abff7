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
import { type Coroutine, IommuError, isIommuError, type Mmio, Mutex, type Slab, WaitQueue } from '@iommukit/kernel';
import type { Job, JobOutcome, JobResult } from './job.js';
import * as R from './registers.js';
import { engineJob } from './tracepoints.js';

/** What the driver keeps of an open file. */
export interface EngineFile {
  handle: SvaHandle | null;
  /** The job under way or the last one; null: none yet. */
  job: Job | null;
  /** Null while the job runs. */
  result: JobResult | null;
}

/** A stop that takes longer than this (virtual ns) is a device that hangs. */
const STOP_LIMIT_NS = 60e9;
const DEVICE_PAGE = 4096;

const OUTCOMES: Readonly<Record<number, JobOutcome>> = {
  [R.JOB_STATUS.DONE]: 'done',
  [R.JOB_STATUS.CANCELLED]: 'cancelled',
  [R.JOB_STATUS.FAILED]: 'failed',
};
const OPCODES = { copy: R.OPCODE.COPY, fill: R.OPCODE.FILL, checksum: R.OPCODE.CHECKSUM } as const;

/** The engine's driver: files that processes open, map, bind to their memory, submit jobs to, and close. */
export class DmaEngineDriver implements FileOps {
  readonly device: Device;
  readonly iommu: IommuDriver;
  readonly core: Core;
  readonly registers: Mmio;
  readonly slab: Slab<EngineFile>;
  /** Serialises use of the job registers. */
  readonly slotLock: Mutex;
  /** Serialises use of the stop registers. */
  readonly stopLock: Mutex;
  /** The file whose job the device runs. */
  readonly state: { owner: OpenFile | null; sva: boolean; refusal: string } = { owner: null, sva: false, refusal: '' };
  readonly idle: WaitQueue;

  constructor(device: Device, iommu: IommuDriver, core: Core) {
    this.device = device;
    this.iommu = iommu;
    this.core = core;
    this.registers = device.mmio[0]!;
    const { kernel } = core;
    this.slab = kernel.slab<EngineFile>('engine file', { handle: null, job: null, result: null });
    this.slotLock = new Mutex(kernel, 'engine slot');
    this.stopLock = new Mutex(kernel, 'engine stop');
    this.idle = new WaitQueue(kernel, `${device.name} to end a job`);
    kernel.checkpoints.keep(this.state);
  }

  /** Makes the device ready. Where Shared Virtual Addressing cannot be had it works without, and {@link bind} says why. */
  *probe(): Coroutine<void> {
    this.device.irq('intx').handle(() => this.interrupt());
    try {
      yield* this.iommu.enable(this.device, 'iopf');
      yield* this.iommu.enable(this.device, 'sva');
      this.state.sva = true;
    } catch (error) {
      if (!isIommuError(error)) throw error;
      this.state.refusal = error.message;
    }
  }

  // ── system calls ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Opens the device. */
  // biome-ignore lint/correctness/useYield: opening may sleep.
  *open(process: Process): Coroutine<OpenFile> {
    return this.core.files.open(process, this.device.name, this, this.slab.alloc());
  }

  /** Maps the register page; the mapping holds the file (VMA-4). */
  mmap(file: OpenFile, process: Process, bytes: number): Coroutine<bigint> {
    if (bytes !== DEVICE_PAGE)
      throw new IommuError('EINVAL', `${this.device.name} maps ${DEVICE_PAGE} bytes, not ${bytes}`);
    return this.core.mappings.mmapDevice(
      this.core.processes.mmOf(process),
      this.registers.base,
      bytes,
      PERM.READ | PERM.WRITE,
      file,
    );
  }

  /** Lets the device use the address space. The caller holds mm_users. @throws IommuError ENODEV with the reason, EEXIST, … */
  *bind(file: OpenFile, mm: Mm): Coroutine<number> {
    const context = contextOf(file);
    if (!this.state.sva)
      throw new IommuError('ENODEV', `${this.device.name} cannot share address spaces: ${this.state.refusal}`);
    if (context.handle !== null)
      throw new IommuError('EEXIST', `${file.name} is bound already`, { remedy: 'unbind first' });
    const handle = yield* this.iommu.bind(this.device, mm);
    context.handle = handle;
    return handle.pasid;
  }

  /** Starts a job; waits for the device while another file's job runs. @throws IommuError EINVAL, EBUSY */
  *submit(file: OpenFile, job: Job): Coroutine<void> {
    const context = contextOf(file);
    const { handle } = context;
    if (handle === null) throw new IommuError('EINVAL', `${file.name} is not bound`, { remedy: 'bind before submit' });
    if (context.job !== null && context.result === null)
      throw new IommuError('EBUSY', `a job of ${file.name} runs`, { remedy: 'wait first' });
    yield* this.takeSlot(file);
    context.job = job;
    context.result = null;
    this.tell(handle.pasid, job, 'submitted');
    yield* this.program(handle.pasid, job);
    yield* this.registers.write32(R.DOORBELL.offset, R.DOORBELL.pack({ start: 1 }));
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
    const { handle } = contextOf(file);
    if (handle === null) throw new IommuError('EINVAL', `${file.name} is not bound`, { remedy: 'bind before unbind' });
    yield* this.awaitOutcome(file);
    yield* this.stopQueue(handle.pasid);
    contextOf(file).handle = null;
    yield* this.iommu.unbind(handle);
  }

  /** The last reference of the file is gone: job outcome, stop, outstanding responses, unbind. */
  *release(file: OpenFile): Coroutine<void> {
    if (contextOf(file).handle !== null) yield* this.unbind(file);
    this.slab.free(contextOf(file));
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  *takeSlot(file: OpenFile): Coroutine<void> {
    const lock = yield* this.slotLock.acquire();
    yield* this.idle.wait(() => this.state.owner === null);
    this.state.owner = file;
    lock.release();
  }

  *program(pasid: number, job: Job): Coroutine<void> {
    const { registers } = this;
    yield* registers.write32(R.OPERATION.offset, R.OPERATION.pack({ opcode: OPCODES[job.op] }));
    yield* registers.write64(R.SOURCE.offset, low(job.source), high(job.source));
    yield* registers.write64(R.DESTINATION.offset, low(job.destination), high(job.destination));
    yield* registers.write32(R.LENGTH.offset, job.bytes);
    yield* registers.write32(R.PASID.offset, R.PASID.pack({ pasid }));
    yield* registers.write32(R.PATTERN.offset, job.pattern >>> 0);
    yield* registers.write32(R.PREFETCH.offset, R.PREFETCH.pack({ pages: job.prefetch }));
  }

  *awaitOutcome(file: OpenFile): Coroutine<void> {
    const context = contextOf(file);
    if (context.job !== null) yield* this.idle.wait(() => context.result !== null);
  }

  /** PASID stop: complete when nothing with the PASID follows, and (a device that waits) every response is in (IOPF-14). */
  *stopQueue(pasid: number): Coroutine<void> {
    const { registers } = this;
    const stopped = (value: number): boolean => R.STOPPED.f.done.of(value) === 1 && R.STOPPED.f.pasid.of(value) === pasid;
    const lock = yield* this.stopLock.acquire();
    try {
      yield* registers.write32(R.STOP.offset, R.STOP.pack({ pasid, request: 1 }));
      yield* registers.until32(R.STOPPED.offset, stopped, STOP_LIMIT_NS);
    } finally {
      lock.release();
    }
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
    this.tell(context.handle?.pasid ?? 0, context.job!, result.status);
    this.core.kernel.touch(this.idle.footprint, true);
    this.idle.wake();
  }

  tell(pasid: number, { op, bytes }: Job, status: string): void {
    const { trace } = this.core.kernel;
    if (trace.on) trace.emit(engineJob, { dev: this.device.name, pasid, op, bytes, status });
  }
}

function contextOf(file: OpenFile): EngineFile {
  return file.data as EngineFile;
}

function low(address: bigint): number {
  return Number(address & 0xffffffffn);
}

function high(address: bigint): number {
  return Number(address >> 32n);
}
