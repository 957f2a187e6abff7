import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isQemuError, type QemuError, QtestClient } from '../src/index.js';
import type { QemuProcess } from '../src/process/qemu-process.js';
import { type FakeMode, startFake } from './fake/start-fake.js';
import { descriptorsTo, eventually, processesWith, withFolder } from './leftovers.js';

/** The error that `action` throws. */
function errorOf(action: () => unknown): QemuError {
  try {
    action();
  } catch (error) {
    if (isQemuError(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Runs `body` with a fake; afterwards nothing of it is left. */
async function onFake(mode: FakeMode, body: (process: QemuProcess, client: QtestClient) => void): Promise<void> {
  await withFolder(async (folder) => {
    const process = startFake(mode, folder);
    try {
      body(process, new QtestClient(process.pipes));
    } finally {
      process.stop();
    }
    await expectNothing(folder);
  });
}

async function expectNothing(folder: string): Promise<void> {
  expect(readdirSync(folder)).toEqual([]);
  expect(descriptorsTo(folder)).toEqual([]);
  expect(await eventually(() => processesWith(folder).length === 0)).toBe(true);
}

describe('a program that speaks qtest', () => {
  it('is read and written, 8 bytes as two words', () =>
    onFake('serve', (_, client) => {
      client.write(0x1000, 8, 0x89abcdef, 0x1234567);
      client.write(0x1008, 4, -1);
      const out = new Uint32Array(2);
      client.read64(0x1000, out);
      expect([...out, client.read(0x1008, 4), client.read(0x2000, 4)]).toEqual([0x89abcdef, 0x1234567, 0xffffffff, 0]);
      expect(client.clockStep(100)).toBe(100);
      expect(client.clockStep()).toBe(105);
    }));

  it('performs a batch of 20,000 accesses in order: neither side waits for the other for ever', () =>
    onFake('serve', (_, client) => {
      const batch = client.batch();
      for (let i = 0; i < 10_000; i++) batch.write(8 * i, 8, i, i + 1).read(8 * i, 8);
      const values = batch.run();
      expect(values.length).toBe(20_000);
      for (let i = 0; i < 10_000; i++) expect([values[2 * i], values[2 * i + 1]]).toEqual([i, i + 1]);
      expect(batch.run()).toEqual(new Uint32Array());
    }));

  it('tells of interrupt lines between answers, in order', () =>
    onFake('interrupts', (_, client) => {
      client.read(0, 4);
      client.write(0, 4, 1);
      expect(client.takeChanges()).toEqual([
        { line: 0, raised: true },
        { line: 200, raised: false },
        { line: 1, raised: true },
        { line: 200, raised: false },
      ]);
      expect(client.takeChanges()).toEqual([]);
    }));

  it('shares its memory as a file', () =>
    onFake('serve', (process) => {
      expect(existsSync(process.path('memory'))).toBe(true);
    }));
});

describe('a program that misbehaves', () => {
  it.each([
    ['fail', "QEMU answers 'FAIL Unknown device' to 'readl 0x10'"],
    ['garbage', "QEMU answers 'What?' to 'readl 0x10'"],
    ['short', "QEMU answers 'OK 12q' to 'readl 0x10': that is no value"],
  ] as const)('names the command when it answers wrongly (%s)', (mode, message) =>
    onFake(mode, (_, client) => {
      const error = errorOf(() => client.read(0x10, 4));
      expect([error.code, error.message]).toEqual(['PROTOCOL', message]);
    }),
  );

  it('is reported with its exit code and its last words when it ends by itself', () =>
    onFake('die', (_, client) => {
      const error = errorOf(() => client.read(0x10, 4));
      expect(error.code).toBe('DIED');
      expect(error.message).toBe("QEMU ended with exit code 7 during 'readl 0x10'\nQEMU says: fake-qemu: going down");
      expect(errorOf(() => client.write(0, 4, 0))).toBe(error);
    }));

  it('is reported with its signal when it is killed in the middle of an answer', () =>
    onFake('half', (_, client) => {
      expect(errorOf(() => client.read(0x10, 4)).message).toBe("QEMU was ended by signal 9 during 'readl 0x10'");
    }));

  it('is killed when it gives no answer in time', () =>
    onFake('hang', (_, client) => {
      const error = errorOf(() => client.read(0x10, 4));
      expect([error.code, error.message]).toEqual([
        'HUNG',
        "QEMU gave no answer to 'readl 0x10' for 1 s and was killed",
      ]);
    }));

  it('is killed when it takes no commands, with a batch half sent', () =>
    onFake('hang', (process) => {
      const error = errorOf(() => {
        for (let i = 0; i < 4; i++) process.pipes.send(`${'x'.repeat(60_000)}\n`);
        process.pipes.line('x');
      });
      expect(error.code).toBe('HUNG');
    }));

  it('is reported with what it says when it refuses its arguments, and leaves nothing', () =>
    withFolder(async (folder) => {
      const error = errorOf(() => startFake('refuse', folder));
      expect(error.code).toBe('REFUSED');
      expect(error.message).toBe(
        'QEMU ended with exit code 1 before it answered\n' +
          'QEMU says: fake-qemu: -device intel-iommu,wrong=on: Property not found',
      );
      await expectNothing(folder);
    }));

  it('is reported with the end of what it says when that is much', () =>
    withFolder((folder) => {
      const { stderr } = errorOf(() => startFake('chatty', folder));
      expect(stderr.length).toBeLessThanOrEqual(16 * 1024);
      expect(stderr.endsWith('fake-qemu: my last words')).toBe(true);
    }));

  it('has died, and refused nothing, when a signal ends it before it answers', () =>
    withFolder(async (folder) => {
      const error = errorOf(() => startFake('crash', folder));
      expect([error.code, error.message]).toEqual([
        'DIED',
        expect.stringMatching(/^QEMU was ended by signal 11 before it answered/),
      ]);
      await expectNothing(folder);
    }));

  it('is ended when it never answers at all, and leaves nothing', () =>
    withFolder(async (folder) => {
      const error = errorOf(() => startFake('mute', folder));
      expect(error.code).toBe('HUNG');
      expect(error.message).toContain('gives no answer for 1 s after its start');
      await expectNothing(folder);
    }));

  it('is no longer spoken to after it was stopped', () =>
    withFolder((folder) => {
      const process = startFake('serve', folder);
      process.stop();
      process.stop();
      const error = errorOf(() => new QtestClient(process.pipes).read(0, 4));
      expect([error.code, error.message]).toEqual(['STOPPED', "QEMU was stopped; 'readl 0x0' comes too late"]);
    }));
});

describe('numbers that QEMU would abort at', () => {
  it.each([-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('are never sent (%d)', (address) =>
    onFake('serve', (_, client) => {
      expect(errorOf(() => client.read(address, 4)).code).toBe('PROTOCOL');
      expect(client.read(0, 4)).toBe(0);
    }),
  );
});
