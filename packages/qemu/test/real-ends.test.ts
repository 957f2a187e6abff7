import { readdirSync } from 'node:fs';
import { env } from 'node:process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { edu, findQemu, isQemuError, QEMU_MACHINES, type Qemu, type QemuError, startQemu } from '../src/index.js';
import { descriptorsTo, eventually, processesWith, withFolder } from './leftovers.js';
import { describeOn } from './with-qemu.js';

const KIND = 'vtd-legacy';
/** Where time is given, as many as anybody asked for. */
const CYCLES = env['CI'] === 'true' ? 200 : 20;

const start = (temporary: string, options: object = {}) =>
  startQemu(findQemu(QEMU_MACHINES[KIND].arch), KIND, { temporary, ...options });

async function expectNothing(folder: string): Promise<void> {
  expect(readdirSync(folder)).toEqual([]);
  expect(descriptorsTo(folder)).toEqual([]);
  expect(await eventually(() => processesWith(folder).length === 0)).toBe(true);
}

/** Where in the course of a run a signal comes. */
interface Moment {
  /** Before or after this many commands. */
  readonly command: number;
  readonly after: boolean;
}

/** Runs DMA until an error comes; QEMU's process gets `signal` at the moment that is given. */
function errorAt(qemu: Qemu, signal: NodeJS.Signals, { command, after }: Moment): QemuError {
  const { transport } = qemu.client;
  const send = transport.send.bind(transport);
  let sent = 0;
  transport.send = (lines) => {
    const now = sent++ === command;
    if (now && !after) process.kill(qemu.pid, signal);
    send(lines);
    if (now && after) process.kill(qemu.pid, signal);
  };
  const engine = edu(qemu);
  try {
    while (sent < command + 1000) engine.copy(0x40_0000n, 0x50_0000n, 64);
  } catch (error) {
    if (isQemuError(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const moments = fc.record({ command: fc.nat({ max: 400 }), after: fc.boolean() });

describeOn(KIND, () => {
  it('is reported as ended, within 5 s, when it is killed at any moment of a run, and leaves nothing', () =>
    fc.assert(
      fc.asyncProperty(moments, (moment) =>
        withFolder(async (folder) => {
          const qemu = start(folder);
          const begun = performance.now();
          const error = errorAt(qemu, 'SIGKILL', moment);
          expect([error.code, error.message]).toEqual([
            'DIED',
            expect.stringMatching(/^QEMU was ended by signal 9 during '/),
          ]);
          qemu.stop();
          expect(performance.now() - begun).toBeLessThan(5000);
          await expectNothing(folder);
        }),
      ),
      { seed: 1, numRuns: 20, examples: [[{ command: 0, after: false }], [{ command: 0, after: true }]] },
    ));

  it('is killed when it stands still, and leaves nothing', () =>
    withFolder(async (folder) => {
      const qemu = start(folder);
      const error = errorAt(qemu, 'SIGSTOP', { command: 9, after: false });
      expect([error.code, error.message]).toEqual(['HUNG', expect.stringMatching(/ for 4 s and was killed$/)]);
      qemu.stop();
      await expectNothing(folder);
    }));

  it('has 2 GiB of RAM at most, in blocks of 2 MiB', () =>
    withFolder((folder) => {
      for (const memoryBytes of [0, 3 * 2 ** 20, 2 ** 32]) {
        expect(() => start(folder, { memoryBytes })).toThrow('give a multiple of 2 MiB, 2 GiB at most');
      }
    }));

  it('says why it refuses an argument, and leaves nothing', () =>
    withFolder(async (folder) => {
      expect(() => start(folder, { arguments: ['-device', 'no-such-device'] })).toThrow(
        /^QEMU ended with exit code 1 before it answered\nQEMU says: .*no-such-device/,
      );
      await expectNothing(folder);
    }));

  it(`leaves no process, file or descriptor after ${CYCLES} starts and stops`, { timeout: 300_000 }, () =>
    withFolder(async (folder) => {
      const before = readdirSync('/proc/self/fd').length;
      for (let i = 0; i < CYCLES; i++) start(folder).stop();
      await expectNothing(folder);
      // Threads and pipes to guardians go a little later.
      expect(await eventually(() => readdirSync('/proc/self/fd').length <= before + 2)).toBe(true);
    }),
  );
});
