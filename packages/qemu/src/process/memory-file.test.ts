import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { withFolder } from '../../test/leftovers.js';
import { isQemuError } from '../errors.js';
import { allocateMemory, MemoryFile } from './memory-file.js';

const BYTES = 3 * 2 ** 20;

/** Runs `body` where `fallocate` does as the script says, or is not there. */
function withFallocate(script: string | null, body: (path: string, run: string) => void) {
  return withFolder((folder) => {
    const [tools, run] = [join(folder, 'tools'), join(folder, 'run')];
    for (const made of [tools, run]) mkdirSync(made);
    if (script !== null) writeFileSync(join(tools, 'fallocate'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    vi.stubEnv('PATH', tools);
    body(join(run, 'memory'), run);
  });
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("guest memory's file", () => {
  it('is refused, and removed, when the disk becomes full while it is made', () =>
    withFallocate('echo "fallocate: fallocate failed: No space left on device" >&2; exit 1', (path, run) => {
      let error: unknown;
      try {
        allocateMemory(path, BYTES);
      } catch (thrown) {
        error = thrown;
      }
      expect(isQemuError(error, 'NO_SPACE') && error.message).toMatch(
        /^no room for 3 MiB of guest memory in .* free: .*No space left on device\): free some, or set TMPDIR/,
      );
      expect(readdirSync(run)).toEqual([]);
    }));

  it.each([
    ['there is no tool that allocates', null],
    ['the file system cannot allocate', 'echo "fallocate: fallocate failed: Operation not supported" >&2; exit 1'],
  ])('has all its blocks where %s', (_why, script) =>
    withFallocate(script, (path) => {
      const memory = new MemoryFile(allocateMemory(path, BYTES), [{ base: 0, bytes: BYTES, fileOffset: 0 }]);
      memory.close();
      const { size, blocks } = statSync(path);
      expect(size).toBe(BYTES);
      expect(blocks * 512).toBeGreaterThanOrEqual(BYTES);
    }),
  );

  it('is a place for RAM alone (ABSENT)', () =>
    withFolder((folder) => {
      const memory = new MemoryFile(allocateMemory(join(folder, 'memory'), BYTES), [
        { base: 0x1000, bytes: 0x1000, fileOffset: 0 },
      ]);
      expect(() => memory.load32(0x2000)).toThrow(
        'no RAM lies at 0x2000 (4 bytes): ask the machine for its ranges of RAM',
      );
      memory.close();
    }));
});
