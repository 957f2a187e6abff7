import { type Mm, type OpenFile, PERM, type Process } from '@iommukit/core';
import type { Job, JobResult } from '@iommukit/dma-engine';
import type { Coroutine } from '@iommukit/kernel';
import type { Bench } from './bench.js';
import { holds, same } from './checks.js';

/** Bytes of a page. */
export const PAGE = 4096;

/** What a job is unless told otherwise. */
const JOB: Job = { op: 'fill', source: 0n, destination: 0n, bytes: PAGE, pattern: 0, prefetch: 0 };

/** What a process of a test can do. */
export class User {
  readonly bench: Bench;
  readonly process: Process;

  constructor(bench: Bench, process: Process) {
    this.bench = bench;
    this.process = process;
  }

  get mm(): Mm {
    return this.bench.core.processes.mmOf(this.process);
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Maps pages of zeros. */
  map(pages: number, perm: number = PERM.READ | PERM.WRITE, at?: bigint): Coroutine<bigint> {
    const { processes } = this.bench.core;
    return processes.mmap(this.process, pages * PAGE, perm, at === undefined ? {} : { at });
  }

  unmap(address: bigint, pages = 1): Coroutine<void> {
    return this.bench.core.processes.munmap(this.process, address, pages * PAGE);
  }

  protect(address: bigint, pages: number, perm: number): Coroutine<void> {
    return this.bench.core.processes.mprotect(this.process, address, pages * PAGE, perm);
  }

  /** Stores a byte all over some pages. */
  fill(address: bigint, pages: number, byte: number): Coroutine<void> {
    return this.bench.core.cpu.fill(this.mm, address, pages * PAGE, () => byte);
  }

  /** Pages that hold one byte all over. */
  *filled(pages: number, byte: number): Coroutine<bigint> {
    const address = yield* this.map(pages);
    yield* this.fill(address, pages, byte);
    return address;
  }

  /** Fails unless the CPU finds this byte all over some pages. */
  *expect(address: bigint, pages: number, byte: number, what: string): Coroutine<void> {
    const found = new Uint8Array(pages * PAGE);
    yield* this.bench.core.cpu.load(this.mm, address, found);
    const at = found.findIndex((value) => value !== byte);
    if (at >= 0) same(found[at], byte, `${what}: byte ${at}`);
  }

  /** Makes pages present by loading one byte of each. */
  *touch(address: bigint, pages: number): Coroutine<void> {
    const byte = new Uint8Array(1);
    for (let i = 0; i < pages; i++) yield* this.bench.core.cpu.load(this.mm, address + BigInt(i * PAGE), byte);
  }

  // ── the accelerator ────────────────────────────────────────────────────────────────────────────────────────────

  /** Opens an accelerator. */
  open(engine = 0): Coroutine<OpenFile> {
    return this.bench.engine(engine).open(this.process);
  }

  /** Opens an accelerator and binds it to the process. */
  *bound(engine = 0): Coroutine<OpenFile> {
    const file = yield* this.open(engine);
    yield* this.bench.engine(engine).bind(file, this.mm);
    return file;
  }

  close(file: OpenFile): Coroutine<void> {
    return this.bench.core.processes.close(this.process, file);
  }

  submit(file: OpenFile, job: Partial<Job>, engine = 0): Coroutine<void> {
    return this.bench.engine(engine).submit(file, { ...JOB, ...job });
  }

  /** Submits a job and waits for its end. */
  *job(file: OpenFile, job: Partial<Job>, engine = 0): Coroutine<JobResult> {
    yield* this.submit(file, job, engine);
    return yield* this.bench.engine(engine).wait(file);
  }

  /** A job with a PASID that need not be the file's: what a hostile program tells the device. */
  *jobAs(pasid: number, file: OpenFile, job: Partial<Job>, engine = 0): Coroutine<JobResult> {
    yield* this.bench.engine(engine).submitWith(file, { ...JOB, ...job }, pasid);
    return yield* this.bench.engine(engine).wait(file);
  }

  /** The device fills pages with a byte. @returns how the job ended */
  *deviceFill(file: OpenFile, address: bigint, pages: number, byte: number, engine = 0): Coroutine<string> {
    const job = { op: 'fill', destination: address, bytes: pages * PAGE, pattern: byte * 0x01010101 } as const;
    return (yield* this.job(file, job, engine)).status;
  }

  /** Fails unless the device can fill pages with a byte. */
  *deviceWrites(file: OpenFile, address: bigint, pages: number, byte: number, engine = 0): Coroutine<void> {
    same(yield* this.deviceFill(file, address, pages, byte, engine), 'done', `the device fills ${pages} pages`);
  }

  /** Fails unless the device cannot fill pages. */
  *deviceCannotWrite(file: OpenFile, address: bigint, pages: number, why: string, engine = 0): Coroutine<void> {
    const status = yield* this.deviceFill(file, address, pages, 0xee, engine);
    holds(status !== 'done' && status !== 'invalid', `the device writes ${why}: the job ended ${status}`);
  }

  /** Fails unless the device finds this byte all over some pages. */
  *deviceReads(file: OpenFile, address: bigint, pages: number, byte: number, what: string, engine = 0) {
    const result = yield* this.job(file, { op: 'checksum', source: address, bytes: pages * PAGE }, engine);
    same(result.status, 'done', `${what}: the device reads`);
    same(result.sum, sumOf(byte, pages), `${what}: the sum of what the device reads`);
  }

  /** Fails unless the device cannot read a page. */
  *deviceCannotRead(file: OpenFile, address: bigint, why: string, engine = 0): Coroutine<void> {
    const { status } = yield* this.job(file, { op: 'checksum', source: address }, engine);
    holds(status !== 'done' && status !== 'invalid', `the device reads ${why}: the job ended ${status}`);
  }
}

/** The sum of the 32-bit words of pages that hold one byte all over, modulo 2^32. */
export function sumOf(byte: number, pages: number): number {
  return Number((BigInt(byte * 0x01010101) * BigInt((pages * PAGE) / 4)) & 0xffffffffn);
}

/** The page number of an address. */
export function pageOf(address: bigint): number {
  return Number(address >> 12n);
}
