import { QemuError } from '../errors.js';
import { QtestBatch } from './batch.js';
import { high, low, type QtestWidth, readCommand, writeCommand } from './commands.js';
import type { Transport } from './transport.js';
import { nameWord, numberWord, wideWord } from './words.js';

/** An interrupt line that changed. */
export interface LineChange {
  /** Its number in the intercepted device's list. */
  readonly line: number;
  readonly raised: boolean;
}

/**
 * QEMU's qtest protocol: a command a line, one answer each in order, `OK[ value]`, `FAIL why` or `ERR why`; changes of the
 * intercepted interrupt lines come in between and are kept until they are taken.
 * Every method throws QemuError: PROTOCOL for an answer that is no OK, DIED and HUNG when there is none.
 */
export class QtestClient {
  readonly transport: Transport;
  readonly changes: LineChange[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Sends a command. @returns what followed OK */
  ask(command: string): string {
    this.transport.send(`${command}\n`);
    return this.answer(command);
  }

  /** The answer to a command that was sent; changes of lines before it are kept. */
  answer(command: string): string {
    for (;;) {
      const line = this.transport.line(command);
      if (line.startsWith('OK')) return line.slice(3);
      if (!this.keepChange(line)) {
        throw new QemuError('PROTOCOL', `QEMU answers '${line.slice(0, 200)}' to '${command.slice(0, 80)}'`);
      }
    }
  }

  keepChange(line: string): boolean {
    const match = /^IRQ (raise|lower) (\d+)$/.exec(line);
    if (match === null) return false;
    this.changes.push({ line: Number(match[2]), raised: match[1] === 'raise' });
    return true;
  }

  /** The changes of lines since the last time, oldest first. */
  takeChanges(): readonly LineChange[] {
    return this.changes.length === 0 ? [] : this.changes.splice(0);
  }

  /** Reads 1, 2 or 4 bytes of the CPU's address space. */
  read(address: number, bytes: 1 | 2 | 4): number {
    const command = readCommand(address, bytes);
    return low(this.ask(command), command);
  }

  /** Reads 8 bytes: `out` gets [lo, hi]. */
  read64(address: number, out: Uint32Array): void {
    const command = readCommand(address, 8);
    const value = this.ask(command);
    out[0] = low(value, command);
    out[1] = high(value);
  }

  /** Writes `bytes` bytes of the CPU's address space; `hi` counts with 8 only. */
  write(address: number, bytes: QtestWidth, lo: number, hi = 0): void {
    this.ask(writeCommand(address, bytes, lo, hi));
  }

  /** Reads 4 bytes of the x86 port space. */
  portRead(port: number): number {
    const command = `inl ${numberWord(port)}`;
    return low(this.ask(command), command);
  }

  /** Writes 4 bytes of the x86 port space. */
  portWrite(port: number, value: number): void {
    this.ask(`outl ${numberWord(port)} ${wideWord(value, 0)}`);
  }

  /** Reads bytes of the CPU's address space. Memory is faster through its file. */
  readBytes(address: number, into: Uint8Array): void {
    const text = this.ask(`b64read ${numberWord(address)} ${numberWord(into.length)}`);
    into.set(Buffer.from(text, 'base64').subarray(0, into.length));
  }

  /** Writes bytes of the CPU's address space. Memory is faster through its file. */
  writeBytes(address: number, from: Uint8Array): void {
    const text = Buffer.from(from).toString('base64');
    this.ask(`b64write ${numberWord(address)} ${numberWord(from.length)} ${text}`);
  }

  /** Advances the virtual clock, to its next timer or by `ns`. @returns the time, in ns */
  clockStep(ns?: number): number {
    const command = ns === undefined ? 'clock_step' : `clock_step ${numberWord(ns)}`;
    const time = this.ask(command);
    if (/^\d+$/.test(time)) return Number(time);
    throw new QemuError('PROTOCOL', `QEMU answers 'OK ${time.slice(0, 80)}' to '${command}': that is no time`);
  }

  /** From now on changes of the inputs of the object at `path` are told. QEMU intercepts one object only. */
  interceptInputs(path: string): void {
    this.ask(`irq_intercept_in ${nameWord(path)}`);
  }

  /** From now on changes of the outputs of the object at `path` are told; `list` names its list. */
  interceptOutputs(path: string, list: string): void {
    this.ask(`irq_intercept_out ${nameWord(path)} ${nameWord(list)}`);
  }

  /** Several accesses in one exchange. */
  batch(): QtestBatch {
    return new QtestBatch(this);
  }
}
