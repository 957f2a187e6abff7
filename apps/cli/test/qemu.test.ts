import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { iommukit } from './support.js';

/** A folder with programs that say a version; IOMMUKIT_QEMU names it. */
let folder: string;

function plant(arch: string, version: string): void {
  const path = join(folder, `qemu-system-${arch}`);
  writeFileSync(path, `#!/bin/sh\necho 'QEMU emulator version ${version}'\n`);
  chmodSync(path, 0o755);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'iommukit-test-'));
  vi.stubEnv('IOMMUKIT_QEMU', folder);
  plant('x86_64', '11.1.3');
  plant('aarch64', '11.1.3');
  plant('riscv64', '11.2.0');
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

describe('iommukit qemu', () => {
  it('names each program, its version and where it was found, and the machines', async () => {
    const { code, stdout } = await iommukit('qemu');
    expect(code).toBe(0);
    expect(stdout.split('\n').slice(0, 5)).toEqual([
      `x86_64   11.1.3   ${folder}/qemu-system-x86_64 (IOMMUKIT_QEMU)`,
      `aarch64  11.1.3   ${folder}/qemu-system-aarch64 (IOMMUKIT_QEMU)`,
      `riscv64  11.2.0   ${folder}/qemu-system-riscv64 (IOMMUKIT_QEMU)`,
      '',
      'Machines:',
    ]);
    expect(stdout).toContain('\n  smmuv3           aarch64  SMMUv3 with stage 1\n');
  });

  it('ends with 1 and names the command that gets what is missing or too old', async () => {
    plant('x86_64', '7.2.0');
    rmSync(join(folder, 'qemu-system-riscv64'));
    const { code, stdout } = await iommukit('qemu');
    expect(code).toBe(1);
    expect(stdout).toContain('is QEMU 7.2.0, older than 10.0: run `npx iommukit qemu --get`');
    expect(stdout).toMatch(/riscv64 .*there is no program .* run `npx iommukit qemu --get`/);
  });

  it('says the same as one JSON object', async () => {
    rmSync(join(folder, 'qemu-system-riscv64'));
    const { code, stdout } = await iommukit('qemu', '--json');
    expect(code).toBe(1);
    const { programs, machines } = JSON.parse(stdout);
    expect(programs[0]).toEqual({
      arch: 'x86_64',
      path: `${folder}/qemu-system-x86_64`,
      version: '11.1.3',
      source: 'IOMMUKIT_QEMU',
      problem: null,
    });
    expect(programs[2]).toMatchObject({ arch: 'riscv64', path: null, version: null, source: null });
    expect(machines.map(({ name }: { name: string }) => name)).toContain('vtd-legacy');
  });

  it('gets nothing when all is there', async () => {
    const { code, stderr } = await iommukit('qemu', '--get');
    expect([code, stderr]).toEqual([0, '']);
  });

  it('looks at what --qemu names instead, which it cannot get', async () => {
    expect(await iommukit('qemu', '--qemu', '/nowhere')).toMatchObject({ code: 1 });
    const { code, stderr } = await iommukit('qemu', '--qemu', '/nowhere', '--get');
    expect([code, stderr]).toEqual([
      2,
      'iommukit: --get fills the cache and --qemu looks elsewhere: give one of them\n',
    ]);
  });
});
