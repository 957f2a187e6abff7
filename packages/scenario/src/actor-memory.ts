import { type Core, PERM, type Process } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Step } from './schema.js';

/** A mapped buffer of an actor. */
export interface Buffer {
  readonly address: bigint;
  readonly bytes: number;
  /** Where it lies, if it is no process's but the kernel's: physical address. */
  readonly pa?: number;
}

/** The steps by which an actor uses its memory. */
type MemoryStep = Exclude<
  Extract<Step, { readonly buffer: string }>,
  { do: 'dma-map' | 'dma-unmap' | 'supervisor-map' | 'supervisor-unmap' }
>;

/** Some pages of a buffer, as steps name them. */
interface Part {
  readonly buffer: string;
  readonly first: number;
  readonly pages?: number | undefined;
}

/** The buffers of one actor, and what it does with them. */
export class ActorMemory {
  readonly core: Core;
  readonly name: string;
  readonly complain: (story: string) => void;
  readonly buffers: Map<string, Buffer>;
  /** Bytes of a page: the CPUs'. */
  readonly page: number;

  /** `inherited`: what a child or a thread begins with. */
  constructor(core: Core, name: string, inherited: ReadonlyMap<string, Buffer>, complain: (story: string) => void) {
    this.core = core;
    this.name = name;
    this.buffers = new Map(inherited);
    this.complain = complain;
    this.page = pageBytes(core);
  }

  /** A buffer that the scenario was checked to have. */
  buffer(name: string): Buffer {
    return this.buffers.get(name)!;
  }

  take(process: Process, step: MemoryStep): Coroutine<void> {
    const { processes } = this.core;
    switch (step.do) {
      case 'mmap':
        return this.mmap(process, step);
      case 'fill':
        return this.fill(process, step);
      case 'expect':
        return this.expect(process, step);
      case 'read':
        return this.read(process, step);
      case 'munmap':
        return this.on(step, (address, bytes) => processes.munmap(process, address, bytes));
      case 'mprotect':
        return this.on(step, (address, bytes) => processes.mprotect(process, address, bytes, rights(step.write)));
      case 'madvise':
        return this.on(step, (address, bytes) => processes.madvise(process, address, bytes));
      case 'mremap':
        return this.mremap(process, step);
      case 'migrate':
        return this.eachPage(process, step, 'migrate');
      case 'reclaim':
        return this.eachPage(process, step, 'reclaim');
    }
  }

  *mmap(process: Process, step: Extract<Step, { do: 'mmap' }>): Coroutine<void> {
    const bytes = step.pages * this.page;
    const address = yield* this.core.processes.mmap(process, bytes, rights(step.write));
    this.buffers.set(step.buffer, { address, bytes });
  }

  *mremap(process: Process, step: Extract<Step, { do: 'mremap' }>): Coroutine<void> {
    const { address, bytes } = this.buffer(step.buffer);
    const size = step.pages * this.page;
    this.buffers.set(step.buffer, {
      address: yield* this.core.processes.mremap(process, address, bytes, size),
      bytes: size,
    });
  }

  *fill(process: Process, step: Extract<Step, { do: 'fill' }>): Coroutine<void> {
    const { address, bytes, pa } = this.buffer(step.buffer);
    const data = new Uint8Array(bytes).fill(step.byte);
    if (pa === undefined) yield* this.core.cpu.store(this.core.processes.mmOf(process), address, data);
    else this.core.bus.write(pa, data);
  }

  /** Loads a byte of each page, and looks at none. */
  *read(process: Process, step: Part): Coroutine<void> {
    const { address, bytes } = this.part(step);
    const byte = new Uint8Array(1);
    for (let at = 0; at < bytes; at += this.page)
      yield* this.core.cpu.load(this.core.processes.mmOf(process), address + BigInt(at), byte);
  }

  *expect(process: Process, step: Extract<Step, { do: 'expect' }>): Coroutine<void> {
    const found = yield* this.contents(process, step.buffer);
    const wanted =
      step.equals === undefined
        ? new Uint8Array(found.length).fill(step.byte ?? 0)
        : yield* this.contents(process, step.equals);
    const at = found.findIndex((byte, i) => byte !== wanted[i]);
    if (at < 0) return;
    const address = this.buffer(step.buffer).address + BigInt(at);
    this.complain(
      `${this.name}: expect: byte ${at} of ${step.buffer} (at ${hex(address)}) is ${hex(found[at]!)}, not ${hex(wanted[at]!)}`,
    );
  }

  *contents(process: Process, buffer: string): Coroutine<Uint8Array> {
    const { address, bytes, pa } = this.buffer(buffer);
    const into = new Uint8Array(bytes);
    if (pa === undefined) yield* this.core.cpu.load(this.core.processes.mmOf(process), address, into);
    else this.core.bus.read(pa, into);
    return into;
  }

  /** What the memory management does to pages from outside, as another task would ask it to. */
  *eachPage(process: Process, step: Part, what: 'migrate' | 'reclaim'): Coroutine<void> {
    const { address, bytes } = this.part(step);
    const mm = this.core.processes.mmOf(process);
    for (let at = 0; at < bytes; at += this.page) yield* this.core.mms[what](mm, Number((address + BigInt(at)) >> 12n));
  }

  *on(step: Part, act: (address: bigint, bytes: number) => Coroutine<void>): Coroutine<void> {
    const { address, bytes } = this.part(step);
    yield* act(address, bytes);
  }

  part({ buffer, first, pages }: Part): Buffer {
    const { address, bytes } = this.buffer(buffer);
    const skip = first * this.page;
    return { address: address + BigInt(skip), bytes: pages === undefined ? bytes - skip : pages * this.page };
  }
}

/** Bytes of a page of the CPUs. */
export function pageBytes({ format }: Core): number {
  return 2 ** format.pageShift;
}

function rights(write: boolean): number {
  return write ? PERM.READ | PERM.WRITE : PERM.READ;
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
