import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually, processesWith, withFolder } from '../../test/leftovers.js';
import { isQemuError, type QemuError } from '../errors.js';
import { findQemu, type SearchPlaces } from './find.js';

/** A program that says a version. */
function plant(path: string, version: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\necho 'QEMU emulator version ${version} (Debian 1:${version})'\n`);
  chmodSync(path, 0o755);
  return path;
}

const places = (home: string, environment: Record<string, string> = {}): SearchPlaces => ({
  home,
  environment: { PATH: join(home, 'path'), ...environment },
});

function errorOf(action: () => unknown): QemuError {
  try {
    action();
  } catch (error) {
    if (isQemuError(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('findQemu', () => {
  it('takes the newest of the cache before what is on PATH', () =>
    withFolder((home) => {
      for (const version of ['11.1.3', '11.10.0', '9.9.9']) {
        plant(join(home, `.cache/iommukit/qemu-${version}/bin/qemu-system-x86_64`), version);
      }
      plant(join(home, 'path/qemu-system-x86_64'), '12.0.0');
      plant(join(home, 'path/qemu-system-aarch64'), '12.0.0');
      expect(findQemu('x86_64', undefined, places(home))).toMatchObject({
        version: { major: 11, minor: 10, micro: 0, text: '11.10.0' },
        source: 'the cache',
      });
      expect(findQemu('aarch64', undefined, places(home))).toMatchObject({ source: 'PATH' });
    }));

  it('takes what it is told, and what IOMMUKIT_QEMU says, before anything else', () =>
    withFolder((home) => {
      plant(join(home, 'path/qemu-system-x86_64'), '12.0.0');
      const told = plant(join(home, 'mine/bin/qemu-system-x86_64'), '10.0.2');
      plant(join(home, 'mine/bin/qemu-system-aarch64'), '10.0.2');
      const chosen = places(home, { IOMMUKIT_QEMU: join(home, 'mine') });
      expect(findQemu('x86_64', undefined, chosen)).toMatchObject({ path: told, source: 'IOMMUKIT_QEMU' });
      expect(findQemu('x86_64', join(home, 'mine/bin'), places(home))).toMatchObject({ path: told, source: 'as told' });
      expect(findQemu('aarch64', told, places(home)).path).toBe(join(home, 'mine/bin/qemu-system-aarch64'));
    }));

  it('passes by what is too old, and says so when nothing else is there', () =>
    withFolder((home) => {
      const old = plant(join(home, 'path/qemu-system-x86_64'), '7.2.1');
      const error = errorOf(() => findQemu('x86_64', undefined, places(home)));
      expect([error.code, error.message]).toEqual([
        'UNUSABLE',
        `${old} is QEMU 7.2.1, older than 10.0: run \`npx iommukit qemu --get\`, or name a newer one`,
      ]);
      plant(join(home, 'later/qemu-system-x86_64'), '10.0.0');
      const both = places(home, { PATH: `${home}/path:${home}/later` });
      expect(findQemu('x86_64', undefined, both).version.text).toBe('10.0.0');
    }));

  it('names the command that gets it when there is none', () =>
    withFolder((home) => {
      const error = errorOf(() => findQemu('riscv64', undefined, places(home)));
      expect([error.code, error.message]).toEqual([
        'MISSING',
        'no qemu-system-riscv64 is in the cache or on PATH: run `npx iommukit qemu --get` (Debian 12, no root needed), ' +
          'or install QEMU 10.0 or newer',
      ]);
    }));

  it('refuses what is named and is no program, or no QEMU', () =>
    withFolder((home) => {
      const text = join(home, 'text');
      writeFileSync(text, 'nothing');
      expect(errorOf(() => findQemu('x86_64', text, places(home))).code).toBe('MISSING');
      const other = join(home, 'other');
      writeFileSync(other, '#!/bin/sh\necho hello; echo wrong >&2\n', { mode: 0o755 });
      const error = errorOf(() => findQemu('x86_64', other, places(home)));
      expect([error.code, error.stderr]).toEqual(['UNUSABLE', 'wrong']);
    }));

  it('refuses what does not say its version, and ends all that it started', () =>
    withFolder(async (home) => {
      const endless = join(home, 'qemu-system-x86_64');
      writeFileSync(endless, '#!/bin/sh\ntail -f "$0"\n', { mode: 0o755 });
      const error = errorOf(() => findQemu('x86_64', endless, places(home)));
      expect([error.code, error.message]).toEqual(['UNUSABLE', `${endless} does not say its version within 4 s`]);
      expect(await eventually(() => processesWith(home).length === 0)).toBe(true);
    }));
});
