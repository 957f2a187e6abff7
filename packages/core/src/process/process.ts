import type { Coroutine, IommuError, Task } from '@iommukit/kernel';
import type { OpenFile } from '../file/open-file.js';
import type { Mm } from '../mm/mm.js';
import type { FileTable } from './file-table.js';

/** One thread: a process, or one of several that share an address space and descriptors (MM-13). */
export interface Process {
  readonly name: string;
  /** Its task; orders refer to `name.step`. */
  task: Task | null;
  /** The CPU that its task runs on. */
  cpu: number;
  /** Its address space: null before it runs, and from exit_mm on. */
  mm: Mm | null;
  /** Its descriptors, which other threads may share. */
  table: FileTable;
  /** Open descriptors: those of {@link table}. */
  readonly files: OpenFile[];
  /** PF_EXITING (MM-5 step 1). */
  exiting: boolean;
  /** Its exit task work has run: later file puts go to the delayed worker (MM-15). */
  workClosed: boolean;
  /** Files whose last reference went away in this task, to be released at the next return from a system call. */
  readonly taskWork: OpenFile[];
  /** What the program threw and did not handle, as a signal kills a process; null otherwise. */
  failure: IommuError | null;
}

/** What a process runs. */
export type Program = (process: Process) => Coroutine<void>;
