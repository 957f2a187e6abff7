import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { hrtime } from 'node:process';

/** Sleeps without a timer: nothing else runs in this thread meanwhile. */
export function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Calls `done` every millisecond until it is true, or for `limitMs`. @returns whether it was */
export function poll(limitMs: number, done: () => boolean): boolean {
  const end = hrtime.bigint() + BigInt(limitMs) * 1_000_000n;
  while (hrtime.bigint() < end) {
    if (done()) return true;
    pause(1);
  }
  return done();
}

const BOTH = constants.O_RDWR | constants.O_NONBLOCK;

/**
 * Waits for QEMU's first answer without ever blocking, so that one that ended is noticed; then opens the pipes one-way and
 * blocking, so that an end is noticed later.
 * @param over says that there is no use in waiting on
 * @returns the descriptors, or null if `over`, or if no answer came within `limitMs`
 */
export function shakeHands(
  pipes: string,
  limitMs: number,
  over: () => boolean,
): { toQemu: number; fromQemu: number } | null {
  const held: number[] = [];
  const opened = (path: string) => {
    const fd = tryTo(() => openSync(path, BOTH));
    if (fd !== null) held.push(fd);
    return fd;
  };
  try {
    let input: number | null = null;
    let output: number | null = null;
    const answer = Buffer.alloc(256);
    let got = '';
    poll(limitMs, () => {
      output ??= opened(`${pipes}.out`);
      if (output !== null && input === null) {
        input = opened(`${pipes}.in`);
        if (input !== null) writeSync(input, 'endianness\n');
      }
      const bytes = output === null ? null : tryTo(() => readSync(output!, answer, 0, answer.length, null));
      if (bytes !== null) got += answer.toString('latin1', 0, bytes);
      return got.includes('\n') || over();
    });
    if (!got.startsWith('OK ')) return null;
    return { toQemu: openSync(`${pipes}.in`, 'w'), fromQemu: openSync(`${pipes}.out`, 'r') };
  } finally {
    for (const fd of held) closeSync(fd);
  }
}

/** Null where a file is not there yet, or has nothing to read yet. */
function tryTo<T>(attempt: () => T): T | null {
  try {
    return attempt();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'EAGAIN') return null;
    throw error;
  }
}
