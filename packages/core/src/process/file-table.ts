import type { OpenFile } from '../file/open-file.js';

/** Open descriptors, shared by the threads of a process. */
export interface FileTable {
  readonly files: OpenFile[];
  /** Those of {@link files} that exec closes. */
  readonly closeOnExec: Set<OpenFile>;
  /** Threads that use it. */
  users: number;
}

/** A table without descriptors, with one user. */
export function newFileTable(): FileTable {
  return { files: [], closeOnExec: new Set(), users: 1 };
}
