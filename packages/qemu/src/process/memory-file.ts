import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { env } from 'node:process';
import { isQemuError, QemuError } from '../errors.js';

/** A range of the CPU's address space that is RAM, and where in the file it lies. */
export interface RamRange {
  readonly base: number;
  readonly bytes: number;
  readonly fileOffset: number;
}

/**
 * Guest RAM as the file that QEMU maps. Both sides see each other's writes at once: every access goes to the file, and
 * nothing is kept here.
 */
export class MemoryFile {
  readonly fd: number;
  readonly ranges: readonly RamRange[];
  readonly word = Buffer.alloc(8);
  readonly words = new Uint32Array(this.word.buffer, this.word.byteOffset, 2);

  constructor(fd: number, ranges: readonly RamRange[]) {
    this.fd = fd;
    this.ranges = ranges;
  }

  /** Where `bytes` bytes at `pa` lie in the file, or -1 if they are not all in one range of RAM. */
  offsetOf(pa: number, bytes: number): number {
    for (let i = 0; i < this.ranges.length; i++) {
      const { base, bytes: size, fileOffset } = this.ranges[i]!;
      if (pa >= base && pa + bytes <= base + size) return fileOffset + (pa - base);
    }
    return -1;
  }

  /** The 32-bit word at `pa`, which is aligned and in RAM. */
  load32(pa: number): number {
    readSync(this.fd, this.word, 0, 4, this.place(pa, 4));
    return this.words[0]!;
  }

  /** The 64-bit word at `pa`: `out` gets [lo, hi]. */
  load64(pa: number, out: Uint32Array): void {
    readSync(this.fd, this.word, 0, 8, this.place(pa, 8));
    out[0] = this.words[0]!;
    out[1] = this.words[1]!;
  }

  /** Stores a 32-bit word. */
  store32(pa: number, value: number): void {
    this.words[0] = value;
    writeSync(this.fd, this.word, 0, 4, this.place(pa, 4));
  }

  /** Stores a 64-bit word. */
  store64(pa: number, lo: number, hi: number): void {
    this.words[0] = lo;
    this.words[1] = hi;
    writeSync(this.fd, this.word, 0, 8, this.place(pa, 8));
  }

  /** Copies bytes out of RAM. */
  read(pa: number, into: Uint8Array): void {
    if (into.length > 0) readSync(this.fd, into, 0, into.length, this.place(pa, into.length));
  }

  /** Copies bytes into RAM. */
  write(pa: number, from: Uint8Array): void {
    if (from.length > 0) writeSync(this.fd, from, 0, from.length, this.place(pa, from.length));
  }

  /** @throws QemuError ABSENT outside RAM */
  place(pa: number, bytes: number): number {
    const offset = this.offsetOf(pa, bytes);
    if (offset >= 0) return offset;
    throw new QemuError('ABSENT', `no RAM lies at 0x${pa.toString(16)} (${bytes} bytes)`, {
      remedy: 'ask the machine for its ranges of RAM',
    });
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Bytes of one write when the file is filled by hand. */
const CHUNK = 1024 * 1024;
/** Where the file system has no call that allocates. */
const UNSUPPORTED = /not supported|unsupported|not implemented/i;

/**
 * Makes the file with all its blocks, for a sparse one would end QEMU with SIGBUS once the disk is full.
 * @returns a descriptor for reading and writing
 * @throws QemuError NO_SPACE; nothing is left then
 */
export function allocateMemory(path: string, bytes: number): number {
  const folder = dirname(path);
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < bytes) throw noSpace(folder, bytes);
  const fd = openSync(path, 'w+', 0o600);
  try {
    const { error, status, stderr } = spawnSync('fallocate', ['-l', String(bytes), path], {
      encoding: 'utf8',
      env: { ...env, LC_ALL: 'C' },
    });
    if (error === undefined && status !== 0 && !UNSUPPORTED.test(stderr)) throw noSpace(folder, bytes, stderr);
    if (fstatSync(fd).size < bytes) fill(fd, bytes);
    return fd;
  } catch (error) {
    closeSync(fd);
    unlinkSync(path);
    throw isQemuError(error) ? error : noSpace(folder, bytes, (error as Error).message);
  }
}

function fill(fd: number, bytes: number): void {
  const zeros = Buffer.alloc(CHUNK);
  for (let at = 0; at < bytes; ) at += writeSync(fd, zeros, 0, Math.min(CHUNK, bytes - at), at);
}

function noSpace(folder: string, bytes: number, why = ''): QemuError {
  const { bavail, bsize } = statfsSync(folder);
  const mib = (size: number) => `${Math.ceil(size / 2 ** 20)} MiB`;
  const said = why.trim() === '' ? '' : `: ${why.trim()}`;
  const free = mib(bavail * bsize);
  return new QemuError(
    'NO_SPACE',
    `no room for ${mib(bytes)} of guest memory in ${dirname(folder)} (${free} free${said})`,
    {
      remedy: 'free some, or set TMPDIR to a folder that has more',
    },
  );
}
