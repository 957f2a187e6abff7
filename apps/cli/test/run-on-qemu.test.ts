import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Coroutine } from '@iommukit/kernel';
import { findQemu, isQemuError, platformOfQemu, QEMU_MACHINES, QemuHardware, startQemu } from '@iommukit/qemu';
import { type PartOverrides, parseScenario, type Report, ScenarioRunner } from '@iommukit/scenario';
import { DmaDomains } from '@iommukit/smmuv3-driver';
import { DmaDomains as VtdDmaDomains } from '@iommukit/vtd-driver';
import { describe, expect, it, vi } from 'vitest';
import { planOf } from '../src/plan.js';
import { qemuMachineOf } from '../src/qemu-machine-of.js';
import { iommukit } from './support.js';

/** Why QEMU cannot be had for both architectures, or null. */
function absence(): string | null {
  try {
    for (const arch of ['x86_64', 'aarch64'] as const) findQemu(arch);
    return null;
  } catch (error) {
    if (isQemuError(error)) return error.message;
    throw error;
  }
}

const why = absence();
const onQemu = why === null || process.env['CI'] === 'true' ? describe : describe.skip;

const KINDS = [
  ['classic-domain', 'vtd', ['vtd.mode=legacy']],
  ['classic-domain', 'vtd', []],
  ['classic-domain', 'smmuv3', []],
  ['without-pasid', 'vtd', []],
  ['without-pasid', 'smmuv3', []],
  ['without-pasid-exit', 'vtd', []],
  ['without-pasid-exit', 'smmuv3', []],
] as const;

const argumentsOf = (name: string, backend: string, settings: readonly string[]): string[] => [
  'run',
  name,
  '--backend',
  backend,
  ...settings.flatMap((setting) => ['--set', setting]),
];

describe('run --hardware qemu, before QEMU is started', () => {
  it.each([
    ['--seed', '1'],
    ['--schedules', '3'],
    ['--schedule', 'ik1.x.0'],
  ])('refuses %s: such runs do not replay', async (flag, value) => {
    const { code, stderr } = await iommukit('run', 'without-pasid', '--hardware', 'qemu', flag, value);
    expect([code, stderr]).toEqual([2, expect.stringContaining('runs on QEMU do not replay')]);
  });

  it.each([
    ['buffer-job', 'requests with PASID (none of its devices sends any)'],
    ['stall-job', 'devices on the platform bus (its devices are PCI functions)'],
    ['private-and-shared-asid', 'a device that fills memory (its edu copies)'],
  ])('refuses %s, with what it needs', async (name, reason) => {
    const { code, stderr } = await iommukit('run', name, '--hardware', 'qemu');
    expect([code, stderr]).toEqual([2, expect.stringContaining(reason)]);
  });

  it('refuses --platform, and --qemu without it', async () => {
    const platform = await iommukit('run', 'without-pasid', '--hardware', 'qemu', '--platform', 'x.dtb');
    expect([platform.code, platform.stderr]).toEqual([2, expect.stringContaining('QEMU has its own')]);
    const alone = await iommukit('run', 'without-pasid', '--qemu', '/usr/bin');
    expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining('--hardware qemu')]);
  });

  it('says how to get a QEMU that is not there', async () => {
    const { code, stderr } = await iommukit('run', 'without-pasid', '--hardware', 'qemu', '--qemu', '/nowhere');
    expect(code).toBe(2);
    expect(stderr).toContain('/nowhere');
    expect(stderr).toContain('iommukit qemu --get');
  });
});

onQemu('run --hardware qemu', () => {
  it('finds QEMU', () => expect(why).toBe(null));

  it.each(KINDS)('plays %s on %s %o without a finding, and tells no replay', async (name, backend, settings) => {
    const { code, stdout } = await iommukit(...argumentsOf(name, backend, settings), '--hardware', 'qemu');
    expect(stdout).toMatch(/verdict +fine/);
    expect(stdout).toMatch(/leaks +none/);
    expect(stdout).toMatch(/pages moved +not told by the device/);
    expect(stdout).toMatch(/machine +QEMU \d/);
    expect(stdout).toContain(`--hardware qemu`);
    expect(stdout).not.toContain('--schedule');
    expect(code).toBe(0);
  });

  it.each(KINDS.filter(([name]) => name !== 'without-pasid-exit'))(
    'shows the fault of %s on %s %o with its address and its kind',
    async (name, backend, settings) => {
      const event = backend === 'vtd' ? 'vtd_fault' : 'smmu_event';
      const faults = async (): Promise<string[]> => {
        const base = argumentsOf(name, backend, settings);
        const { stdout } = await iommukit(...base, '--trace', 'ftrace', '--events', event, '--hardware', 'qemu');
        return stdout.split('\n').filter((line) => line.startsWith(`${event}:`));
      };
      const [there] = await faults();
      const wanted = name === 'classic-domain' ? /10000000/ : /(fault addr |iova: )0x(7fffffffc000|ffffb9d13000)/;
      expect(there).toMatch(wanted);
      const kind = backend === 'vtd' ? /reason 0x(06|71)/ : /event: F_TRANSLATION/;
      expect(there).toMatch(kind);
    },
  );

  it('is quiet after release on the SMMUv3: descriptor 0 ends what the device still sends (SVA-9, SVA-10)', async () => {
    const { stdout } = await iommukit('run', 'without-pasid-exit', '--hardware', 'qemu', '--events', 'all');
    expect(stdout).toContain('smmu_mm_release');
    expect(stdout).not.toContain('smmu_event');
  });

  it('records what a blocked entry ends on VT-d, for QEMU looks at PGTT before FPD (QE-19)', async () => {
    const base = argumentsOf('without-pasid-exit', 'vtd', []);
    const { stdout } = await iommukit(...base, '--hardware', 'qemu', '--events', 'all');
    expect(stdout.indexOf('reason 0x5b')).toBeGreaterThan(stdout.indexOf('vtd_mm_release'));
  });

  it.each([
    ['smmuv3', [], { DmaDomains: without(DmaDomains) }],
    ['vtd', [], { DmaDomains: without(VtdDmaDomains) }],
    ['vtd', ['vtd.mode=legacy'], { DmaDomains: without(VtdDmaDomains) }],
  ] as const)('shows the stale entry of %s %o until the unmap invalidates it', async (backend, settings, driver) => {
    expect((await unmapped(backend, settings, {})).findings).toEqual([]);
    expect(await unmapped(backend, settings, { driver })).toMatchObject({
      findings: [{ story: expect.stringMatching(/byte 0 of dst \(.*\) is 0x5a, not 0x77/) }],
    });
  });

  it.each([0, 0.02, 0.05, 0.1, 0.2, 0.4])(
    'tells that QEMU was killed %d s after its start, with exit code 1 within 5 s, and leaves nothing',
    async (seconds) => {
      const folder = mkdtempSync(join(tmpdir(), 'iommukit-mortal-'));
      const temporary = join(folder, 'temporary');
      mkdirSync(temporary);
      vi.stubEnv('TMPDIR', temporary);
      try {
        const { path } = findQemu('aarch64');
        const mortal = join(folder, 'qemu-system-aarch64');
        const asked = `case "$*" in *--version*) exec ${path} "$@";; esac`;
        writeFileSync(mortal, `#!/bin/sh\n${asked}\n(sleep ${seconds}; kill -9 $$) &\nexec ${path} "$@"\n`);
        chmodSync(mortal, 0o755);
        const scenario = join(folder, 'long.yaml');
        writeFileSync(scenario, LONG);
        const begun = performance.now();
        const { code, stderr } = await iommukit('run', scenario, '--hardware', 'qemu', '--qemu', mortal);
        expect(performance.now() - begun).toBeLessThan(5000 + 1000 * seconds);
        expect(stderr).toMatch(/^iommukit: QEMU was ended by signal 9 (during '|before it answered)/);
        expect(code).toBe(1);
        expect(readdirSync(temporary)).toEqual([]);
      } finally {
        vi.unstubAllEnvs();
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  it('tells what QEMU says of arguments that it refuses, with exit code 2', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'iommukit-refusing-'));
    try {
      const { path } = findQemu('aarch64');
      const refusing = join(folder, 'qemu-system-aarch64');
      writeFileSync(
        refusing,
        `#!/bin/sh\ncase "$*" in *--version*) exec ${path} "$@";; esac\nexec ${path} "$@" -device no-such\n`,
      );
      chmodSync(refusing, 0o755);
      const { code, stderr } = await iommukit('run', 'without-pasid', '--hardware', 'qemu', '--qemu', refusing);
      expect(stderr).toMatch(/^iommukit: QEMU ended with exit code 1 before it answered\nQEMU says: .*no-such/);
      expect(code).toBe(2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** A driver that forgets to invalidate what it unmapped. */
function without<T extends new (...args: never[]) => { flushIotlb(...args: never[]): Coroutine<void> }>(Part: T): T {
  abstract class Forgets extends (Part as unknown as abstract new () => object) {
    *flushIotlb(): Coroutine<void> {}
  }
  return Forgets as unknown as T;
}

/** A device writes to a page, and again when it is unmapped: what it wrote then is what is found. */
const UNMAPPED = `
name: unmapped
about: The device writes where nothing is mapped any more.
platform:
  endpoints: [{ at: '0000:00:03.0', model: dma-engine }]
actors:
  driver:
    - open: 0000:00:03.0
    - dma-attach
    - dma-map: { buffer: src, pages: 1 }
    - dma-map: { buffer: dst, pages: 1 }
    - fill: { buffer: src, byte: 0x5a }
    - submit: { op: copy, from: src, to: dst }
    - wait
    - expect: { buffer: dst, equals: src }
    - dma-unmap: dst
    - fill: { buffer: dst, byte: 0x77 }
    - submit: { op: copy, from: src, to: dst }
    - wait: any
    - expect: { buffer: dst, byte: 0x77 }
    - dma-detach
    - close
`;

const LONG = `
name: long
about: Copies until somebody stops it.
platform:
  endpoints: [{ at: '0000:00:03.0', model: dma-engine }]
actors:
  driver:
    - open: 0000:00:03.0
    - dma-attach
    - dma-map: { buffer: src, pages: 64 }
    - dma-map: { buffer: dst, pages: 64 }
    - submit: { op: copy, from: src, to: dst, endless: true }
    - wait
`;

async function unmapped(backend: string, set: readonly string[], parts: PartOverrides): Promise<Report> {
  const base = await planOf('classic-domain', { backend, set });
  const plan = { ...base, scenario: parseScenario(UNMAPPED, 'unmapped.yaml'), parts };
  const kind = qemuMachineOf(plan);
  const place = ['-device', 'edu,addr=03.0,dma_mask=0xffffffffffffffff'];
  const qemu = startQemu(findQemu(QEMU_MACHINES[kind].arch), kind, { arguments: place });
  try {
    const platform = platformOfQemu(plan.platform, qemu);
    const runner = new ScenarioRunner({ ...plan, platform, hardware: new QemuHardware(qemu, platform) });
    return runner.run(runner.defaultChooser());
  } finally {
    qemu.stop();
  }
}
