import { type Coroutine, type Slab, WorkQueue } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { Process } from '../process/process.js';
import { fileRelease } from '../tracepoints.js';
import type { FileContent } from './file-content.js';
import type { FileOps, OpenFile } from './open-file.js';

const NO_OPS: FileOps = {
  *release() {},
};

/** Open files, and the deferred last put (MM-15). */
export class Files {
  readonly core: Core;
  readonly slab: Slab<OpenFile>;
  /** Where kernel threads' last puts run. */
  readonly delayed: WorkQueue;
  /** What regular files do. */
  readonly regular: FileOps;

  constructor(core: Core) {
    this.core = core;
    this.slab = core.kernel.slab<OpenFile>('file', {
      name: '',
      ops: NO_OPS,
      refs: 0,
      data: null,
      content: null,
    });
    this.regular = { release: (file) => this.releaseContent(file) };
    this.delayed = new WorkQueue(core.kernel, 'delayed-fput', { ordered: true });
  }

  /** Opens a file in `process`: a descriptor that holds the first reference. @throws IommuError ENOMEM */
  open(process: Process, name: string, ops: FileOps, data: unknown = null): OpenFile {
    const file = this.slab.alloc({ name, ops, refs: 1, data });
    process.table.files.push(file);
    return file;
  }

  /** Opens a regular file in `process`; its pages can be mapped. @throws IommuError ENOMEM */
  openContent(process: Process, content: FileContent): OpenFile {
    const file = this.newContent(content);
    process.table.files.push(file);
    return file;
  }

  /** A regular file that no descriptor refers to, whose first reference the caller holds. @throws IommuError ENOMEM */
  newContent(content: FileContent): OpenFile {
    const file = this.slab.alloc({ name: content.name, ops: this.regular, refs: 1, content });
    content.openers++;
    return file;
  }

  /** Closes a descriptor of `process`. The release comes at the next return from a system call. */
  close(process: Process, file: OpenFile): void {
    const { files, closeOnExec } = process.table;
    const i = files.indexOf(file);
    if (i < 0) return;
    files.splice(i, 1);
    closeOnExec.delete(file);
    this.put(file);
  }

  /** Marks a descriptor of `process`: exec closes it (MM-11). */
  setCloseOnExec(process: Process, file: OpenFile): void {
    if (process.table.files.includes(file)) process.table.closeOnExec.add(file);
  }

  /** One more reference, for a caller that holds one. */
  get(file: OpenFile): void {
    file.refs++;
  }

  /** Drops a reference. The last one never releases the file here: release may sleep, flush and unbind (MM-15). */
  put(file: OpenFile): void {
    if (--file.refs === 0) this.defer(file);
  }

  /**
   * A process releases at its next return from a system call or in its exit work; a kernel thread leaves it to a
   * worker.
   */
  defer(file: OpenFile): void {
    const process = this.core.processes.current();
    if (process !== null && !process.workClosed) process.taskWork.push(file);
    else this.delayed.queue({ run: () => this.release(file) });
  }

  /** The driver's release, then the end of the file. */
  *release(file: OpenFile): Coroutine<void> {
    const { trace } = this.core.kernel;
    if (trace.wants(fileRelease)) trace.emit(fileRelease, { file: file.name });
    yield* file.ops.release(file);
    this.slab.free(file);
  }

  *releaseContent({ content }: OpenFile): Coroutine<void> {
    if (--content!.openers === 0) yield* this.core.pageCache.close(content!);
  }
}
