import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { isQemuError } from '../src/index.js';
import { QemuProcess } from '../src/process/qemu-process.js';
import { fakeCommand, startFake } from './fake/start-fake.js';
import { descriptorsTo, eventually, processesWith, withFolder } from './leftovers.js';

/** A program in `folder` that starts a fake there, says so, and then does as `rest` says. */
async function program(folder: string, rest: string): Promise<string> {
  const entry = `
    import { startFake } from ${JSON.stringify(fileURLToPath(new URL('fake/start-fake.ts', import.meta.url)))};
    const running = startFake('serve', ${JSON.stringify(join(folder, 'temporary'))});
    console.log('started');
    ${rest}`;
  const outfile = join(folder, 'program.mjs');
  mkdirSync(join(folder, 'temporary'));
  await build({
    stdin: { contents: entry, resolveDir: folder, loader: 'ts' },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['@iommukit/source'],
    logLevel: 'silent',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    define: { 'import.meta.url': JSON.stringify(new URL('fake/start-fake.ts', import.meta.url).href) },
  });
  return outfile;
}

/** Runs the program, does `act` to its process once the fake runs, and expects that nothing of it is left. */
async function expectNothingAfter(rest: string, act: (pid: number) => void): Promise<void> {
  await withFolder(async (folder) => {
    const child = spawn(process.execPath, [await program(folder, rest)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
    await new Promise<void>((resolve) => child.stdout.on('data', () => resolve()));
    act(child.pid!);
    await ended;
    const temporary = join(folder, 'temporary');
    expect(await eventually(() => readdirSync(temporary).length === 0)).toBe(true);
    expect(await eventually(() => processesWith(temporary).length === 0)).toBe(true);
  });
}

const WAIT = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);';

describe('when the process that started it ends, nothing of QEMU is left', () => {
  it.each(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const)('by %s', (signal) =>
    expectNothingAfter(WAIT, (pid) => process.kill(pid, signal)),
  );

  it('by an error that nobody catches', () => expectNothingAfter("throw new Error('oops');", () => {}));

  it('by its end, without a stop', () => expectNothingAfter('void running;', () => {}));

  it('by process.exit', () => expectNothingAfter('process.exit(0);', () => {}));
});

describe('when it cannot be started', () => {
  it('says so at once where there is no room for its memory, and leaves nothing', () =>
    withFolder((folder) => {
      const start = () =>
        new QemuProcess({ command: fakeCommand('serve'), memoryBytes: 2 ** 50, parking: null, temporary: folder });
      expect(start).toThrow(/^no room for 1073741824 MiB of guest memory in .* free\): free some, or set TMPDIR/);
      expect(readdirSync(folder)).toEqual([]);
      expect(descriptorsTo(folder)).toEqual([]);
    }));

  it('says which folder cannot be made', () =>
    withFolder((folder) => {
      expect(() => startFake('serve', join(folder, 'absent'))).toThrow(
        /absent.* cannot be made \(ENOENT\): set TMPDIR/,
      );
    }));

  it('says so when there is no such program', () =>
    withFolder((folder) => {
      let error: unknown;
      try {
        new QemuProcess({ command: () => ['/nowhere/qemu'], memoryBytes: 2 ** 21, parking: null, temporary: folder });
      } catch (thrown) {
        error = thrown;
      }
      expect(isQemuError(error, 'REFUSED') && error.stderr).toContain('/nowhere/qemu');
      expect(readdirSync(folder)).toEqual([]);
    }));
});

describe('a script that starts the program', () => {
  it('is ended together with it', () =>
    withFolder(async (folder) => {
      const script = join(folder, 'wrapper');
      writeFileSync(script, '#!/bin/sh\n"$@"\nexit $?\n', { mode: 0o755 });
      const temporary = join(folder, 'temporary');
      mkdirSync(temporary);
      const running = new QemuProcess({
        command: (its) => [script, ...fakeCommand('serve')(its)],
        memoryBytes: 2 ** 21,
        parking: null,
        temporary,
      });
      expect(processesWith(temporary).length).toBeGreaterThan(1);
      running.stop();
      expect(readdirSync(temporary)).toEqual([]);
      expect(await eventually(() => processesWith(temporary).length === 0)).toBe(true);
    }));
});

describe('when somebody ends the guardian', () => {
  it('is ended by stop() all the same', () =>
    withFolder(async (folder) => {
      const running = startFake('serve', folder);
      process.kill(running.guardian.pid, 'SIGKILL');
      running.stop();
      expect(readdirSync(folder)).toEqual([]);
      expect(await eventually(() => processesWith(folder).length === 0)).toBe(true);
    }));
});

it('leaves no process, file or descriptor after 20 starts and stops', () =>
  withFolder(async (folder) => {
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 20; i++) startFake('serve', folder).stop();
    expect(readdirSync(folder)).toEqual([]);
    expect(descriptorsTo(folder)).toEqual([]);
    expect(await eventually(() => processesWith(folder).length === 0)).toBe(true);
    // Threads and pipes to guardians go a little later.
    expect(await eventually(() => readdirSync('/proc/self/fd').length <= before + 2)).toBe(true);
  }));
