import { type Core, type OpenFile, PERM, type Process } from '@iommukit/core';
import type { DmaEngineDriver, Job } from '@iommukit/dma-engine';
import { type Coroutine, type Footprint, IommuError, isIommuError } from '@iommukit/kernel';
import type { Machine } from '@iommukit/machine';
import type { Step } from './schema.js';

/** Bytes of a page. */
const PAGE = 4096;

/** A mapped buffer of an actor. */
interface Buffer {
  readonly address: bigint;
  readonly bytes: number;
}

/** The steps that an `order:` names: a point before each lets the chooser hold the actor back. */
export interface Marks {
  readonly steps: ReadonlySet<string>;
  readonly footprint: Footprint;
}

/** One process of a scenario: takes its steps in order; a step that fails is told, and the process exits. */
export class Actor {
  readonly machine: Machine;
  readonly core: Core;
  readonly name: string;
  readonly steps: readonly Step[];
  readonly marks: Marks;
  readonly complain: (story: string) => void;
  readonly buffers = new Map<string, Buffer>();
  /** The open device, or null. */
  device: { readonly file: OpenFile; readonly driver: DmaEngineDriver } | null = null;

  /** `complain` is told in words of every step that did not go as the scenario says. */
  constructor(machine: Machine, name: string, steps: readonly Step[], marks: Marks, complain: (story: string) => void) {
    this.machine = machine;
    this.core = machine.core;
    this.name = name;
    this.steps = steps;
    this.marks = marks;
    this.complain = complain;
  }

  /** The process's program. Returning from it is exit. */
  *program(process: Process): Coroutine<void> {
    for (const step of this.steps) {
      if (this.marks.steps.has(step.do)) yield* this.machine.kernel.named(step.do, this.marks.footprint, false);
      if (step.do === 'exit') return;
      try {
        yield* this.take(process, step);
      } catch (error) {
        if (!isIommuError(error)) throw error;
        this.complain(`${this.name}: ${step.do}: ${error.message}`);
        return;
      }
    }
  }

  take(process: Process, step: Exclude<Step, { do: 'exit' }>): Coroutine<void> {
    switch (step.do) {
      case 'open':
        return this.open(process, step.device);
      case 'map-device':
        return this.mapDevice(process);
      case 'bind':
        return this.bind(process);
      case 'mmap':
        return this.mmap(process, step);
      case 'fill':
        return this.fill(process, step);
      case 'submit':
        return this.submit(step);
      case 'wait':
        return this.wait(step.outcome);
      case 'expect':
        return this.expect(process, step);
      case 'munmap':
        return this.munmap(process, step);
      case 'unbind':
        return this.unbind();
      case 'close':
        return this.close(process);
    }
  }

  *open(process: Process, device: string): Coroutine<void> {
    const driver = this.machine.endpointDriver(device) as DmaEngineDriver;
    this.device = { driver, file: yield* driver.open(process) };
  }

  *mapDevice(process: Process): Coroutine<void> {
    yield* this.core.processes.mmapFile(process, this.opened().file, PAGE);
  }

  *bind(process: Process): Coroutine<void> {
    const { driver, file } = this.opened();
    yield* driver.bind(file, this.core.processes.mmOf(process));
  }

  *mmap(process: Process, step: Extract<Step, { do: 'mmap' }>): Coroutine<void> {
    const bytes = step.pages * PAGE;
    const address = yield* this.core.processes.mmap(process, bytes, step.write ? PERM.READ | PERM.WRITE : PERM.READ);
    this.buffers.set(step.buffer, { address, bytes });
  }

  fill(process: Process, step: Extract<Step, { do: 'fill' }>): Coroutine<void> {
    const { address, bytes } = this.buffer(step.buffer);
    return this.core.cpu.store(this.core.processes.mmOf(process), address, new Uint8Array(bytes).fill(step.byte));
  }

  submit(step: Extract<Step, { do: 'submit' }>): Coroutine<void> {
    const { driver, file } = this.opened();
    return driver.submit(file, this.job(step));
  }

  job(step: Extract<Step, { do: 'submit' }>): Job {
    const from = step.from === undefined ? null : this.buffer(step.from);
    const to = step.to === undefined ? null : this.buffer(step.to);
    const bytes = Math.min(...[from, to].flatMap((buffer) => buffer?.bytes ?? []));
    return {
      op: step.op,
      source: from?.address ?? 0n,
      destination: to?.address ?? 0n,
      bytes,
      pattern: step.byte * 0x01010101,
      prefetch: step.prefetch,
    };
  }

  *wait(outcome: string): Coroutine<void> {
    const { driver, file } = this.opened();
    const { status } = yield* driver.wait(file);
    if (outcome !== 'any' && status !== outcome)
      this.complain(`${this.name}: wait: the job ended ${status}, not ${outcome}`);
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
    const { address, bytes } = this.buffer(buffer);
    const into = new Uint8Array(bytes);
    yield* this.core.cpu.load(this.core.processes.mmOf(process), address, into);
    return into;
  }

  munmap(process: Process, step: Extract<Step, { do: 'munmap' }>): Coroutine<void> {
    const { address, bytes } = this.buffer(step.buffer);
    const skip = step.first * PAGE;
    const length = step.pages === undefined ? bytes - skip : step.pages * PAGE;
    return this.core.processes.munmap(process, address + BigInt(skip), length);
  }

  unbind(): Coroutine<void> {
    const { driver, file } = this.opened();
    return driver.unbind(file);
  }

  close(process: Process): Coroutine<void> {
    const { file } = this.opened();
    this.device = null;
    return this.core.processes.close(process, file);
  }

  opened(): { readonly file: OpenFile; readonly driver: DmaEngineDriver } {
    if (this.device !== null) return this.device;
    throw new IommuError('EINVAL', 'no device is open', { remedy: 'put `- open: 0000:00:03.0` before this step' });
  }

  buffer(name: string): Buffer {
    return this.buffers.get(name)!;
  }
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
