import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { SparseBytes } from '@iommukit/inspect';
import { fileProblem, UsageError } from '../errors.js';
import { XzReadableStream } from '../xz.js';

/** No image unpacks to more (bytes): 1 TiB of zeros is a small file. */
const MOST_BYTES = 64 * 2 ** 30;
/** Nor to more bytes that are not zeros, all of which are kept. */
const MOST_KEPT = 2 ** 30;

/**
 * An image packed with xz, of which only the pages are kept that are not all zeros. The `xz` program unpacks it where there is one: it is
 * several times as fast.
 * @throws UsageError for what is no whole xz file, or too large
 */
export async function unpackImage(file: string): Promise<SparseBytes> {
  return (await byProgram(file)) ?? byLibrary(file);
}

/** Null where there is no such program. */
function byProgram(file: string): Promise<SparseBytes | null> {
  return new Promise((resolve, reject) => {
    const child = spawn('xz', ['--decompress', '--stdout', '--memlimit-decompress=200MiB', '--', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const bytes = new SparseBytes(file);
    let complaint = '';
    const give = (error: UsageError): void => {
      child.kill('SIGKILL');
      reject(error);
    };
    child.on('error', () => resolve(null));
    child.stderr.on('data', (text: Uint8Array) => {
      if (complaint.length < 1000) complaint += text.toString();
    });
    child.stdout.on('data', (chunk: Uint8Array) => {
      const problem = take(bytes, chunk);
      if (problem !== null) give(problem);
    });
    child.on('close', (code) => (code === 0 ? resolve(bytes) : reject(unreadable(file, complaint))));
  });
}

function unreadable(file: string, complaint: string): UsageError {
  return new UsageError(
    `${file} cannot be unpacked: ${complaint.replace(/^xz: /, '').trim() || 'it is no whole xz file'}`,
  );
}

async function byLibrary(file: string): Promise<SparseBytes> {
  const bytes = new SparseBytes(file);
  const input = createReadStream(file);
  const packed = Readable.toWeb(input) as ReadableStream<Uint8Array>;
  try {
    const reader = (new XzReadableStream(packed) as ReadableStream<Uint8Array>).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return bytes;
      const problem = take(bytes, value);
      if (problem !== null) throw problem;
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const system = (error as NodeJS.ErrnoException).code !== undefined;
    throw unreadable(file, system ? fileProblem(error) : error instanceof Error ? error.message : String(error));
  } finally {
    input.destroy();
  }
}

/** What most of a filtered image is. */
const ZEROS = Buffer.alloc(64 * 1024);

function isZeros(chunk: Uint8Array): boolean {
  const { length } = chunk;
  return length <= ZEROS.length && ZEROS.compare(chunk, 0, length, 0, length) === 0;
}

/** Keeps what was unpacked. An error when it becomes too much. */
function take(bytes: SparseBytes, chunk: Uint8Array): UsageError | null {
  if (isZeros(chunk)) bytes.appendZeros(chunk.length);
  else bytes.append(chunk);
  if (bytes.size > MOST_BYTES) return new UsageError(`${bytes.name} unpacks to more than ${MOST_BYTES} bytes`);
  if (bytes.kept <= MOST_KEPT) return null;
  return new UsageError(`${bytes.name} unpacks to more than ${MOST_KEPT} bytes that are not zero: unpack it to a file`);
}
