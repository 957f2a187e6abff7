import { EDU_BUFFER, EDU_COMMAND, EDU_COUNT, EDU_DESTINATION, EDU_SOURCE, EDU_TRANSFER_NS } from '@iommukit/dma-engine';
import {
  TESTDEV_DOORBELL,
  TESTDEV_IOVA_HI,
  TESTDEV_IOVA_LO,
  TESTDEV_LENGTH,
  TESTDEV_PA_HI,
  TESTDEV_PA_LO,
  TESTDEV_RESULT,
  TESTDEV_STATUS,
  TESTDEV_TRIGGER,
} from '../devices/testdev-registers.js';
import { QemuError } from '../errors.js';
import { GET_QEMU } from '../process/find.js';
import type { Qemu } from '../qemu-machine.js';
import type { QtestBatch } from '../qtest/batch.js';
import type { Answers, CaseStep, CompareCase, Observation, Performer } from './case-format.js';
import { changedWords, type Hands, performSteps, putImage, storedWords } from './lower.js';
import { type CompareMachine, compareMachine } from './machine.js';

/** Results of an access that was made: what testdev compares afterwards with other memory is of no interest. */
const MADE: readonly number[] = [TESTDEV_RESULT.DONE, TESTDEV_RESULT.MISMATCH];
const BUFFER = BigInt(EDU_BUFFER.base);

/**
 * Performs cases on one QEMU, one after the other: registers are put back, and memory is cleared, before each. What a case did that
 * cannot be undone ends that QEMU, and another one goes on.
 */
export class QemuPerformer implements Performer {
  readonly start: () => Qemu;
  qemu: Qemu;
  readonly machine: CompareMachine;
  bars: Readonly<Record<'edu' | 'testdev', number>>;
  /** The arena. */
  readonly bytes: Uint8Array;
  /** The last case left traces. */
  traces = false;
  /** How often a QEMU had to be started anew. */
  restarts = 0;

  /** @throws QemuError as `start` does, and UNUSABLE where a device of cases is missing: QEMU 10.0 has no testdev */
  constructor(start: () => Qemu) {
    this.start = start;
    this.qemu = start();
    const machine = compareMachine(this.qemu.kind);
    if (machine === null) throw new Error(`no cases are for ${this.qemu.kind}`);
    this.machine = machine;
    this.bytes = new Uint8Array(machine.arena.bytes);
    this.bars = this.prepare();
  }

  get name(): string {
    return `QEMU ${this.qemu.version.text}`;
  }

  /** Ends QEMU. */
  stop(): void {
    this.qemu.stop();
  }

  prepare(): Readonly<Record<'edu' | 'testdev', number>> {
    const { qemu, machine } = this;
    const bar = (rid: number): number => {
      const at = qemu.functions.find((found) => found.rid === rid)?.bars[0]?.base;
      if (at !== undefined) return at;
      qemu.stop();
      const remedy = `QEMU 11.0 has it: ${GET_QEMU}`;
      throw new QemuError('UNUSABLE', `QEMU ${qemu.version.text} lacks a device of cases`, { remedy });
    };
    const bars = { edu: bar(machine.devices.edu), testdev: bar(machine.devices.testdev) };
    // testdev reads here what it has not written, outside the memory of cases.
    const check = machine.arena.base + machine.arena.bytes;
    qemu.client
      .batch()
      .write(bars.testdev + TESTDEV_PA_LO.offset, 4, check)
      .write(bars.testdev + TESTDEV_PA_HI.offset, 4, 0)
      .run();
    return bars;
  }

  /** The registers that say what this QEMU's IOMMU can do. */
  identification(): Record<string, bigint> {
    return this.read(this.machine.identification);
  }

  read(names: readonly string[], batch: QtestBatch = this.qemu.client.batch()): Record<string, bigint> {
    for (const name of names) {
      const { offset, bytes } = this.machine.registers[name]!;
      batch.read(this.machine.base + offset, bytes);
    }
    const words = batch.run();
    return Object.fromEntries(names.map((name, i) => [name, wide(words, i)]));
  }

  /** True: everything is as after a start. */
  reset(): boolean {
    const { machine } = this;
    for (let tries = 0; tries < 2; tries++) {
      const found = this.write(machine.resetMemory, machine.reset);
      if (Object.entries(machine.pristine).every(([name, value]) => found[name] === value)) return true;
      const recovery = machine.recovery(found);
      if (recovery === null) return false;
      this.write(recovery.memory, recovery.writes);
    }
    return false;
  }

  /** Writes registers while `memory` is where the queue will be. @returns what {@link CompareMachine.pristine} is about */
  write(memory: readonly bigint[], writes: CompareMachine['reset']): Record<string, bigint> {
    const { machine, qemu } = this;
    const batch = qemu.client.batch();
    qemu.memory.write(machine.resetAt, new Uint8Array(BigUint64Array.from(memory).buffer));
    for (const { register, value } of writes) {
      const { offset, bytes } = machine.registers[register]!;
      batch.write(machine.base + offset, bytes, Number(value & 0xffff_ffffn), Number(value >> 32n));
    }
    return this.read(Object.keys(machine.pristine), batch);
  }

  /** A page of zeros, beyond the memory of cases. */
  zeros(): number {
    const { base, bytes } = this.machine.arena;
    this.qemu.memory.write(base + bytes + 4096, new Uint8Array(4096));
    return base + bytes + 4096;
  }

  perform(what: CompareCase): Answers {
    const { machine } = this;
    const spoiled = this.traces && !machine.leavesTraces(what);
    this.traces = machine.leavesTraces(what);
    if (spoiled || !this.reset()) {
      this.qemu.stop();
      this.qemu = this.start();
      this.bars = this.prepare();
      this.restarts++;
      if (!this.reset()) throw new Error(`${this.name} is not as it should be after its start`);
    }
    const { qemu } = this;
    putImage(this.bytes, what, machine.arena);
    qemu.memory.write(machine.arena.base, this.bytes);
    const batch = qemu.client.batch();
    const hands = new BatchHands(batch, this.bars);
    // What edu read last in another case: zeros instead, while the IOMMU is off.
    if (what.steps.some((step) => step.do === 'dma' && step.device === 'edu')) hands.clearBuffer(this.zeros());
    performSteps(what, machine, hands);
    const steps = hands.observations(batch.run()).map((step) => machine.meaningful(step));
    const end = steps.pop() ?? {};
    qemu.memory.read(machine.arena.base, this.bytes);
    return machine.finished(what, {
      steps,
      end,
      memory: changedWords(this.bytes, storedWords(what, machine), machine.arena.base),
    });
  }
}

const wide = (words: Uint32Array, i: number): bigint => (BigInt(words[i * 2 + 1]!) << 32n) | BigInt(words[i * 2]!);

/** Puts a whole case into one batch. */
class BatchHands implements Hands {
  readonly batch: QtestBatch;
  readonly bars: Readonly<Record<'edu' | 'testdev', number>>;
  /** What each read is: a name, null for nothing of interest; undefined ends an observation. */
  readonly names: (string | null | undefined)[] = [];

  constructor(batch: QtestBatch, bars: Readonly<Record<'edu' | 'testdev', number>>) {
    this.batch = batch;
    this.bars = bars;
  }

  write(address: number, bytes: 4 | 8, value: bigint): void {
    this.batch.write(address, bytes, Number(value & 0xffff_ffffn), Number(value >> 32n));
  }

  store(address: number, words: readonly bigint[]): void {
    words.forEach((word, i) => {
      this.write(address + i * 8, 8, word);
    });
  }

  dma({ device, access, iova, bytes }: Extract<CaseStep, { do: 'dma' }>): void {
    if (device === 'edu') {
      const [from, to] = access === 'read' ? [iova, BUFFER] : [BUFFER, iova];
      this.transfer(from, to, bytes, access === 'write');
      return;
    }
    const bar = this.bars.testdev;
    this.write(bar + TESTDEV_IOVA_LO.offset, 4, iova & 0xffff_ffffn);
    this.write(bar + TESTDEV_IOVA_HI.offset, 4, iova >> 32n);
    this.write(bar + TESTDEV_LENGTH.offset, 4, BigInt(bytes));
    this.write(bar + TESTDEV_DOORBELL.offset, 4, BigInt(TESTDEV_DOORBELL.pack({ arm: 1 })));
    this.batch.read(bar + TESTDEV_TRIGGER.offset, 4);
    this.names.push(null);
    this.look('ok', bar + TESTDEV_STATUS.offset, 4);
  }

  transfer(from: bigint, to: bigint, bytes: number, toBus: boolean): void {
    const bar = this.bars.edu;
    this.write(bar + EDU_SOURCE.offset, 8, from);
    this.write(bar + EDU_DESTINATION.offset, 8, to);
    this.write(bar + EDU_COUNT.offset, 8, BigInt(bytes));
    this.write(bar + EDU_COMMAND.offset, 8, BigInt(EDU_COMMAND.pack({ start: 1, toBus: toBus ? 1 : 0 })));
    this.batch.commands.push(`clock_step ${EDU_TRANSFER_NS}`);
  }

  /** The buffer is zeros, as if a read had failed: from RAM at `zeros`, while translation is off. */
  clearBuffer(zeros: number): void {
    this.transfer(BigInt(zeros), BUFFER, EDU_BUFFER.bytes, false);
  }

  look(name: string, address: number, bytes: 4 | 8): void {
    this.batch.read(address, bytes);
    this.names.push(name);
  }

  mark(): void {
    this.names.push(undefined);
  }

  observations(words: Uint32Array): Observation[] {
    const done: Observation[] = [];
    let current: Record<string, bigint | boolean> = {};
    let read = 0;
    for (const name of this.names) {
      if (name === undefined) {
        done.push(current);
        current = {};
        continue;
      }
      const value = wide(words, read++);
      if (name === 'ok') current[name] = MADE.includes(Number(value));
      else if (name !== null) current[name] = value;
    }
    return done;
  }
}
