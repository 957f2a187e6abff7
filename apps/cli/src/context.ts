import type { CommandContext } from '@stricli/core';

/** One of the two output streams. */
export interface Output {
  write(text: string): void;
  /** True when a person watches: colour is used only then. */
  readonly isTTY: boolean;
}

/** What commands get: streams and the exit code. Tests pass their own. */
export interface Context extends CommandContext {
  readonly process: { readonly stdout: Output; readonly stderr: Output; exitCode: number | null };
}
