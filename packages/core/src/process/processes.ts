import { type Coroutine, isIommuError, WaitQueue } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Mm } from '../mm/mm.js';
import { processExec, processExit } from '../tracepoints.js';
import { type FileTable, newFileTable } from './file-table.js';
import type { Process, Program } from './process.js';
import { SystemCalls } from './system-calls.js';

/** Unwinds the old program after an exec that names a new one. */
class ImageReplaced extends Error {
  readonly program: Program;

  constructor(program: Program) {
    super('the program was replaced by exec');
    this.name = 'ImageReplaced';
    this.program = program;
  }
}

/** Processes and threads: they run a program, have children, and exit in the order of MM-5. */
export class Processes extends SystemCalls {
  readonly state = { started: 0 };
  readonly ended: WaitQueue;

  constructor(core: Core) {
    super(core);
    this.ended = new WaitQueue(core.kernel, 'a process to end');
    core.kernel.checkpoints.keep(this.state);
  }

  // ── birth ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Starts a process whose task is called `name`. A program that returns exits; one that throws an IommuError is killed
   * by it, as by a signal ({@link Process.failure}).
   */
  spawn(name: string, program: Program): Process {
    return this.start(name, null, newFileTable(), program);
  }

  /**
   * Starts a thread that shares the address space and the descriptors of `process` (MM-13); with `ownFiles` it has copies of
   * the descriptors, and can close the device while the others go on, or the reverse. Part of the caller's step.
   * @throws IommuError ESRCH when the process has exited
   */
  spawnThread(process: Process, name: string, program: Program, { ownFiles = false } = {}): Process {
    const mm = this.mmOf(process);
    this.core.mms.share(mm);
    if (!ownFiles) process.table.users++;
    return this.start(name, mm, ownFiles ? this.copyTable(process.table) : process.table, program);
  }

  /**
   * Starts a child with a copy of the address space and of the descriptors; it shares no bond (MM-12).
   * @throws IommuError ENOMEM
   */
  fork(process: Process, name: string, program: Program): Coroutine<Process> {
    return this.systemCall(process, () => this.forkProcess(process, name, program));
  }

  *forkProcess(process: Process, name: string, program: Program): Coroutine<Process> {
    const mm = yield* this.core.mms.fork(this.mmOf(process));
    return this.start(name, mm, this.copyTable(process.table), program);
  }

  /** Waits until a process has ended. */
  join(process: Process): Coroutine<void> {
    return this.ended.wait(() => !this.byTask.has(process.task!));
  }

  // ── exec (MM-11) ───────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Puts a fresh address space in the place of the old one, which dies here and now unless others use it; descriptors stay,
   * but those that are marked. The task, its device and the bonds of the old address space go on. With a `program` that one
   * runs next, and this never returns; without one the caller goes on as the new program.
   * @throws IommuError ENOMEM; the old program goes on then
   */
  *exec(process: Process, program?: Program): Coroutine<void> {
    yield* this.systemCall(process, () => this.replaceImage(process));
    if (program !== undefined) throw new ImageReplaced(program);
  }

  /** The old address space goes inside the switch; marked descriptors are closed after it. */
  *replaceImage(process: Process): Coroutine<void> {
    const old = this.mmOf(process);
    process.mm = this.newImage(old);
    const { trace } = this.core.kernel;
    if (trace.wants(processExec)) trace.emit(processExec, { comm: process.name, space: process.mm.space });
    yield* this.core.mms.put(old, 'exec-mm');
    this.closeMarked(process);
  }

  /** It starts with no PASID, whatever the old one has: its bonds are still there. */
  newImage(_old: Mm): Mm {
    return this.core.mms.create();
  }

  /** Descriptors that other threads share stay theirs. */
  closeMarked(process: Process): void {
    if (process.table.users > 1) {
      process.table.users--;
      process.table = this.copyTable(process.table);
    }
    for (const file of process.table.closeOnExec) this.core.files.close(process, file);
  }

  // ── life (MM-5) ────────────────────────────────────────────────────────────────────────────────────────────────

  /** `mm`: what it begins with, a user of it counted; null: a new one. */
  start(name: string, mm: Mm | null, table: FileTable, program: Program): Process {
    const process: Process = {
      name,
      task: null,
      cpu: this.nextCpu(),
      mm,
      table,
      get files() {
        return this.table.files;
      },
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

  copyTable({ files, closeOnExec }: FileTable): FileTable {
    for (const file of files) this.core.files.get(file);
    return { files: [...files], closeOnExec: new Set(closeOnExec), users: 1 };
  }

  *run(process: Process, program: Program): Coroutine<void> {
    let next: Program | null = program;
    while (next !== null) next = yield* this.runProgram(process, next);
    yield* this.exit(process);
    this.byTask.delete(process.task!);
    this.ended.wake();
  }

  /** @returns the program that exec named, if any */
  *runProgram(process: Process, program: Program): Coroutine<Program | null> {
    try {
      process.mm ??= this.core.mms.create();
      yield* program(process);
    } catch (error) {
      if (error instanceof ImageReplaced) return error.program;
      if (!isIommuError(error)) throw error;
      process.failure = error;
    }
    return null;
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

  /**
   * Lets go of the address space; the decrement is the named step `exit-mm`. Others may use it still: nothing happens to it
   * then (MM-13).
   */
  *exitMm(process: Process): Coroutine<void> {
    const { mm } = process;
    if (mm === null) return;
    process.mm = null;
    yield* this.core.mms.put(mm, 'exit-mm');
  }

  /** Closes every descriptor that no other thread shares; releases come in the task work. */
  *exitFiles(process: Process): Coroutine<void> {
    if (--process.table.users > 0) return;
    for (const file of process.table.files.splice(0)) this.core.files.put(file);
  }

  /** The last chance of this task to release files. */
  *exitTaskWork(process: Process): Coroutine<void> {
    yield* this.runTaskWork(process);
    process.workClosed = true;
  }
}
