/** Commands that go to the queue together (SMMU-25). */
export const BATCH_COMMANDS = 64;

/** Words of one command. */
export const COMMAND_WORDS = 4;

/** Up to {@link BATCH_COMMANDS} commands, and room for the SYNC behind them. */
export class CommandBatch {
  readonly words = new Uint32Array((BATCH_COMMANDS + 1) * COMMAND_WORDS);
  /** Commands that it takes. */
  readonly limit: number;
  count = 0;

  /** Of at most `limit` commands. */
  constructor(limit: number = BATCH_COMMANDS) {
    this.limit = limit;
  }

  /** True when the next command must wait for a batch of its own. */
  get full(): boolean {
    return this.count >= this.limit;
  }

  /** Appends a copy of a command. Returns the index of its first word, for the caller to fill in the rest. */
  add(command: Uint32Array): number {
    const at = this.count * COMMAND_WORDS;
    for (let i = 0; i < COMMAND_WORDS; i++) this.words[at + i] = command[i]!;
    this.count++;
    return at;
  }

  clear(): void {
    this.count = 0;
  }
}
