import type { QtestClient } from './client.js';
import { high, low, type QtestWidth, readCommand, writeCommand } from './commands.js';
import { numberWord } from './words.js';

/**
 * Bytes of commands, and of answers, that are under way at most: less than a pipe holds (64 KiB), so that neither side
 * waits for the other to empty it.
 */
const ROUND_BYTES = 32 * 1024;
/** Bytes of the longest answer to a read. */
const ANSWER_BYTES = 22;

/** Reads and writes that are sent together: several times as fast as one by one. They are performed in order. */
export class QtestBatch {
  readonly client: QtestClient;
  readonly commands: string[] = [];

  constructor(client: QtestClient) {
    this.client = client;
  }

  /** Adds a read. */
  read(address: number, bytes: QtestWidth): this {
    this.commands.push(readCommand(address, bytes));
    return this;
  }

  /** Adds a write. */
  write(address: number, bytes: QtestWidth, lo: number, hi = 0): this {
    this.commands.push(writeCommand(address, bytes, lo, hi));
    return this;
  }

  /** Adds a step of the clock. */
  clockStep(ns: number): this {
    this.commands.push(`clock_step ${numberWord(ns)}`);
    return this;
  }

  /**
   * Performs what was added, and empties the batch.
   * @returns what was read, in order, two words [lo, hi] a read
   * @throws QemuError as the client does; commands after the one that failed may have been performed
   */
  run(): Uint32Array {
    const commands = this.commands.splice(0);
    const values = new Uint32Array(2 * commands.filter((command) => command[0] === 'r').length);
    let next = 0;
    for (let first = 0; first < commands.length; ) {
      const end = endOfRound(commands, first);
      this.client.transport.send(`${commands.slice(first, end).join('\n')}\n`);
      for (; first < end; first++) next = this.take(commands[first]!, values, next);
    }
    return values;
  }

  take(command: string, values: Uint32Array, next: number): number {
    const answer = this.client.answer(command);
    if (command[0] !== 'r') return next;
    values[next] = low(answer, command);
    values[next + 1] = high(answer);
    return next + 2;
  }
}

/** The first command after those that fit in one round with `first`. */
function endOfRound(commands: readonly string[], first: number): number {
  let [sent, answered, end] = [0, 0, first];
  while (end < commands.length) {
    sent += commands[end]!.length + 1;
    answered += ANSWER_BYTES;
    if (end > first && (sent > ROUND_BYTES || answered > ROUND_BYTES)) break;
    end++;
  }
  return end;
}
