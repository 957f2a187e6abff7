import { type Coroutine, IommuError, type Task } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { OpenFile } from '../file/open-file.js';
import type { MapOptions } from '../mm/mappings.js';
import type { Mm } from '../mm/mm.js';
import type { RemapOptions } from '../mm/remapping.js';
import type { Process } from './process.js';

/** What a process asks the kernel for. Each call ends with the task's deferred work (MM-15). */
export class SystemCalls {
  readonly core: Core;
  /** Processes by the task that runs them. */
  readonly byTask = new Map<Task, Process>();

  constructor(core: Core) {
    this.core = core;
    core.kernel.checkpoints.keepMap(this.byTask);
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

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Maps zero-filled memory; see {@link MmService.mmap}. */
  mmap(process: Process, bytes: number, perm: number, options: MapOptions = {}): Coroutine<bigint> {
    return this.systemCall(process, () => this.core.mms.mmap(this.mmOf(process), bytes, perm, null, options));
  }

  /** Maps pages of a regular file; see {@link MmService.mmap}. @throws IommuError ENODEV for a file that has none */
  mmapContent(
    process: Process,
    file: OpenFile,
    bytes: number,
    perm: number,
    options: MapOptions = {},
  ): Coroutine<bigint> {
    return this.systemCall(process, () => {
      if (file.content === null) throw new IommuError('ENODEV', `${file.name} is no regular file`);
      return this.core.mms.mmap(this.mmOf(process), bytes, perm, file, options);
    });
  }

  /** Maps a file, as its driver sees fit. @throws IommuError ENODEV when the file cannot be mapped */
  mmapFile(process: Process, file: OpenFile, bytes: number): Coroutine<bigint> {
    return this.systemCall(process, () => {
      if (file.ops.mmap === undefined) throw new IommuError('ENODEV', `${file.name} cannot be mapped`);
      return file.ops.mmap(file, process, bytes);
    });
  }

  /** Unmaps memory; see {@link MmService.munmap}. */
  munmap(process: Process, address: bigint, bytes: number): Coroutine<void> {
    return this.systemCall(process, () => this.core.mms.munmap(this.mmOf(process), address, bytes));
  }

  /** Changes rights; see {@link MmService.mprotect}. */
  mprotect(process: Process, address: bigint, bytes: number, perm: number): Coroutine<void> {
    return this.systemCall(process, () => this.core.mms.mprotect(this.mmOf(process), address, bytes, perm));
  }

  /** Changes a mapping's size, and its place if need be; see {@link MmService.mremap}. */
  mremap(
    process: Process,
    address: bigint,
    oldBytes: number,
    newBytes: number,
    options?: RemapOptions,
  ): Coroutine<bigint> {
    return this.systemCall(process, () =>
      this.core.mms.mremap(this.mmOf(process), address, oldBytes, newBytes, options),
    );
  }

  /** madvise(DONTNEED); see {@link MmService.madviseDontneed}. */
  madvise(process: Process, address: bigint, bytes: number): Coroutine<void> {
    return this.systemCall(process, () => this.core.mms.madviseDontneed(this.mmOf(process), address, bytes));
  }

  // ── files ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Closes a descriptor. */
  close(process: Process, file: OpenFile): Coroutine<void> {
    return this.systemCall(process, () => this.closeFile(process, file));
  }

  /** A regular file's new size; see {@link Truncation.truncate}. @throws IommuError EINVAL for a file that has none */
  truncate(process: Process, file: OpenFile, bytes: number): Coroutine<void> {
    return this.systemCall(process, () => {
      if (file.content === null) throw new IommuError('EINVAL', `${file.name} is no regular file`);
      return this.core.truncation.truncate(file.content, bytes);
    });
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

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

  *runTaskWork(process: Process): Coroutine<void> {
    for (;;) {
      const file = process.taskWork.shift();
      if (file === undefined) return;
      yield* this.core.files.release(file);
    }
  }
}
