import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from '@iommukit/inspect';
import { fileProblem, UsageError } from '../errors.js';

/** An open file, read here and there. */
export interface FileSource extends ByteSource {
  close(): void;
}

/** Opens a file for reading. @throws UsageError when it cannot be read, also later, while it is read */
export function fileSource(name: string): FileSource {
  const descriptor = told(name, () => openSync(name, 'r'));
  const size = told(name, () => {
    const stat = fstatSync(descriptor);
    if (stat.isFile()) return stat.size;
    closeSync(descriptor);
    throw Object.assign(new Error('no file'), { code: stat.isDirectory() ? 'EISDIR' : 'it is no regular file' });
  });
  return {
    name,
    size,
    read(offset, into) {
      for (let from = 0; from < into.length; ) {
        const bytes = told(name, () => readSync(descriptor, into, from, into.length - from, offset + from));
        if (bytes === 0) throw new UsageError(`${name} became shorter while it was read`);
        from += bytes;
      }
    },
    close: () => closeSync(descriptor),
  };
}

/** What `read` does with a file. @throws UsageError that names the file when the system refuses */
function told<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${name} cannot be read: ${fileProblem(error)}`);
  }
}
