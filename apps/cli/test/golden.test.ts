import { describe, expect, it } from 'vitest';
import { golden, iommukit, lines, normalise } from './support.js';

describe('golden runs', () => {
  it('prints the ten lines of golden A for buffer-job, and nothing else (G-A)', async () => {
    const { code, stdout, stderr } = await iommukit('run', 'buffer-job', '--backend', 'smmuv3', '--trace', 'ftrace');
    expect(normalise(lines(stdout))).toEqual(normalise(golden('smmuv3-buffer-job')));
    expect(stderr).toMatch(/verdict +fine/);
    expect(code).toBe(0);
  });

  it('prints golden A without lines 7 and 9 when the duplicate notification is off (G-A2, MN-12)', async () => {
    const { code, stdout } = await iommukit('run', 'buffer-job', '--trace', 'ftrace', '--set', 'mn.duplicate=off');
    const expected = golden('smmuv3-buffer-job').filter((_line, i) => i !== 6 && i !== 8);
    expect(normalise(lines(stdout))).toEqual(normalise(expected));
    expect(code).toBe(0);
  });

  it('prints the seven lines of golden B for killed-job (G-B, MM-8)', async () => {
    const { code, stdout } = await iommukit('run', 'killed-job', '--trace', 'ftrace');
    expect(normalise(lines(stdout))).toEqual(normalise(golden('smmuv3-killed-job')));
    expect(code).toBe(0);
  });

  it('normalises nothing but addresses and groups', () => {
    expect(normalise(golden('smmuv3-killed-job')).slice(1, 3)).toEqual([
      'dev_fault: IOMMU:0000:00:03.0 type=2 reason=0 addr=A+0x0 pasid=1 group=G1 flags=3 prot=2',
      'smmu_mm_release: pasid=1',
    ]);
  });
});

describe('golden runs on VT-d (G-V)', () => {
  /** The golden lines, as the other driver names its events. */
  const onVtd = (name: string): string[] => golden(name).map((line) => line.replace(/^smmu_/, 'vtd_'));

  it('prints the events of golden A for buffer-job', async () => {
    const { code, stdout } = await iommukit('run', 'buffer-job', '--backend', 'vtd', '--trace', 'ftrace');
    expect(normalise(lines(stdout))).toEqual(normalise(onVtd('smmuv3-buffer-job')));
    expect(code).toBe(0);
  });

  it('prints golden A without lines 7 and 9 when the duplicate notification is off (MN-12)', async () => {
    const flags = ['--backend', 'vtd', '--trace', 'ftrace', '--set', 'mn.duplicate=off'];
    const { stdout } = await iommukit('run', 'buffer-job', ...flags);
    expect(normalise(lines(stdout))).toEqual(
      normalise(onVtd('smmuv3-buffer-job').filter((_line, i) => i !== 6 && i !== 8)),
    );
  });

  it('prints the events of golden B for killed-job', async () => {
    const { code, stdout } = await iommukit('run', 'killed-job', '--backend', 'vtd', '--trace', 'ftrace');
    expect(normalise(lines(stdout))).toEqual(normalise(onVtd('smmuv3-killed-job')));
    expect(code).toBe(0);
  });
});
