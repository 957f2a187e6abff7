import type { Coroutine } from '@iommukit/kernel';
import type { Process } from '../process/process.js';
import type { FileContent } from './file-content.js';

/** What a driver does with its files. */
export interface FileOps {
  /** Maps the device into the calling process. @returns the address */
  mmap?(file: OpenFile, process: Process, bytes: number): Coroutine<bigint>;
  /** The last reference is gone. Runs in the process's task work, or on the `delayed-fput` worker (MM-15). */
  release(file: OpenFile): Coroutine<void>;
}

/** An open file: descriptors and mappings hold references. */
export interface OpenFile {
  readonly name: string;
  readonly ops: FileOps;
  /** Descriptors and mappings that refer to it. */
  refs: number;
  /** The driver's own. */
  data: unknown;
  /** What a regular file holds; null for a device's. */
  readonly content: FileContent | null;
}
