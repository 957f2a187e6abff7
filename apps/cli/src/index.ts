import { run } from '@stricli/core';
import { version } from '../package.json';
import { application } from './application.js';
import type { Context, Output } from './context.js';
import { EXIT } from './errors.js';

/** Where the command writes; `process` unless a test gives its own. */
export interface Streams {
  readonly stdout: Output;
  readonly stderr: Output;
}

export { backends } from './backends.js';
export { defaultPlatform } from './platform.js';

/** Runs the command line. @returns the exit code: 0 fine, 1 a finding or a failed run, 2 wrong usage */
export async function main(argv: readonly string[], streams: Streams = process): Promise<number> {
  const { stdout, stderr } = streams;
  // The parser gives its own code only where a command has given none.
  const context: Context = { process: { stdout, stderr, exitCode: null } };
  await run(application(version), argv, context);
  const exitCode = context.process.exitCode ?? EXIT.FINE;
  // The parser's own codes are negative: unknown commands, flags it cannot parse.
  return exitCode < 0 ? EXIT.USAGE : exitCode;
}
