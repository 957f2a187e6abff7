import { type Coroutine, IommuError, isIommuError, type Task } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { OpenFile } from '../file/open-file.js';
import type { Mm } from '../mm/mm.js';
import { processExit } from '../tracepoints.js';
import type { Process } from './process.js';

/** Processes with one thread each: they run a program, and exit in the order of MM-5. */
export class Processes {
  readonly core: Core;
  /** Processes by the task that runs them. */
  readonly byTask = new Map<Task, Process>();
  readonly state = { started: 0 };

  constructor(core: Core) {
    this.core = core;
    core.kernel.checkpoints.keepMap(this.byTask);
    core.kernel.checkpoints.keep(this.state);
  }

  /**
   * Starts a process whose task is called `name`. A program that returns exits; one that throws an IommuError is killed
   * by it, as by a signal ({@link Process.failure}).
   */
  spawn(name: string, program: (process: Process) => Coroutine<void>): Process {
    const process: Process = {
      name,
      task: null,
      cpu: this.nextCpu(),
      mm: null,
      files: [],
      exiting: false,
      workClosed: false,
      taskWork: [],
      failure: null,
    };
    process.task = this.core.kernel.spawn(name, () => this.run(process, program));
    this.byTask.set(process.task, process);
    return process;
  }

  /** Processes take turns on the CPUs, and stay where they began. */
  nextCpu(): number {
    return this.state.started++ % this.core.cpuFeatures.cpus;
  }

  /** The process whose task runs now; null in a kernel thread. */
  current(): Process | null {
    const task = this.core.kernel.current;
    return task === null ? null : (this.byTask.get(task) ?? null);
  }

  /** The address space of a process that has not exited. @throws IommuError ESRCH */
  mmOf(process: Process): Mm {
    if (process.mm !== null) return process.mm;
    throw new IommuError('ESRCH', `process ${process.name} has no address space: it has not started, or has exited`);
  }

  /** Processes that have not ended. */
  alive(): number {
    return this.byTask.size;
  }

  // ── system calls: each ends with the task's deferred work (MM-15) ──────────────────────────────────────────────

  /** Maps zero-filled memory; see {@link MmService.mmap}. */
  mmap(process: Process, bytes: number, perm: number): Coroutine<bigint> {
    return this.systemCall(process, () => this.core.mms.mmap(this.mmOf(process), bytes, perm));
  }

  /** Unmaps memory; see {@link MmService.munmap}. */
  munmap(process: Process, address: bigint, bytes: number): Coroutine<void> {
    return this.systemCall(process, () => this.core.mms.munmap(this.mmOf(process), address, bytes));
  }

  /** Maps a file, as its driver sees fit. @throws IommuError ENODEV when the file cannot be mapped */
  mmapFile(process: Process, file: OpenFile, bytes: number): Coroutine<bigint> {
    return this.systemCall(process, () => {
      if (file.ops.mmap === undefined) throw new IommuError('ENODEV', `${file.name} cannot be mapped`);
      return file.ops.mmap(file, process, bytes);
    });
  }

  /** Closes a descriptor. */
  close(process: Process, file: OpenFile): Coroutine<void> {
    return this.systemCall(process, () => this.closeFile(process, file));
  }

  /** Runs `body` as a system call of `process`: on its return the deferred work is done. */
  *systemCall<T>(process: Process, body: () => Coroutine<T>): Coroutine<T> {
    try {
      return yield* body();
    } finally {
      yield* this.runTaskWork(process);
    }
  }

  *closeFile(process: Process, file: OpenFile): Coroutine<void> {
    this.core.files.close(process, file);
  }

  // ── life (MM-5) ────────────────────────────────────────────────────────────────────────────────────────────────

  *run(process: Process, program: (process: Process) => Coroutine<void>): Coroutine<void> {
    try {
      process.mm = this.core.mms.create();
      yield* program(process);
    } catch (error) {
      if (!isIommuError(error)) throw error;
      process.failure = error;
    }
    yield* this.exit(process);
    this.byTask.delete(process.task!);
  }

  /** MM-5: exiting, exit_mm, exit_files, exit_task_work, in this order. */
  *exit(process: Process): Coroutine<void> {
    process.exiting = true;
    const { trace } = this.core.kernel;
    if (trace.wants(processExit)) trace.emit(processExit, { comm: process.name });
    yield* this.exitMm(process);
    yield* this.exitFiles(process);
    yield* this.exitTaskWork(process);
  }

  /** Lets go of the address space; the decrement is the named step `exit-mm`. */
  *exitMm(process: Process): Coroutine<void> {
    const { mm } = process;
    if (mm === null) return;
    process.mm = null;
    yield* this.core.mms.put(mm, 'exit-mm');
  }

  /** Closes every descriptor; releases come in the task work. */
  *exitFiles(process: Process): Coroutine<void> {
    for (const file of process.files.splice(0)) this.core.files.put(file);
  }

  /** The last chance of this task to release files. */
  *exitTaskWork(process: Process): Coroutine<void> {
    yield* this.runTaskWork(process);
    process.workClosed = true;
  }

  *runTaskWork(process: Process): Coroutine<void> {
    for (;;) {
      const file = process.taskWork.shift();
      if (file === undefined) return;
      yield* this.core.files.release(file);
    }
  }
}
