import { describe, expect, it } from 'vitest';
import { variant } from './files.js';
import { iommukit } from './support.js';

const ENDPOINT = 'model: dma-engine';

describe('bind is refused, and the verdict says why', () => {
  it.each([
    [
      'without ats-supported on the root complex',
      'ats-supported: true',
      'ats-supported: false',
      /root complex supports ATS/,
    ],
    ['when nothing says ats-supported', '  ats-supported: true\n', '', /root complex supports ATS/],
    ['with an SMMU without ATS', 'endpoints:', 'iommu: { ats: false }\n  endpoints:', /smmuv3@9050000 has no ATS/],
    [
      'with an SMMU without PRI',
      'endpoints:',
      'iommu: { pri: false }\n  endpoints:',
      /smmuv3@9050000 has no page request queue/,
    ],
    [
      'with an SMMU without SSIDs',
      'endpoints:',
      'iommu: { ssidBits: 0 }\n  endpoints:',
      /smmuv3@9050000 takes no PASIDs \(IDR1\.SSIDSIZE is 0\)/,
    ],
    [
      'with an engine without ATS',
      ENDPOINT,
      `${ENDPOINT}\n      capabilities: { ats: false }`,
      /0000:00:03\.0 has no ATS capability/,
    ],
    [
      'with an engine without PASIDs',
      ENDPOINT,
      `${ENDPOINT}\n      capabilities: { pasidBits: 0 }`,
      /it has no PASIDs/,
    ],
  ])('%s (SMMU-13, SMMU-17)', async (_what, from, to, reason) => {
    const { code, stdout } = await iommukit('run', variant('buffer-job', from, to));
    const told = stdout.replace(/\n {10,}/g, ' ');
    expect(told).toMatch(/verdict +1 finding\n/);
    expect(told).toMatch(/scenario +process: bind: 0000:00:03\.0 cannot share address spaces: /);
    expect(told).toMatch(reason);
    expect(told).toMatch(/leaks +none\n/);
    expect(stdout).not.toContain('bind_alloc');
    expect(code).toBe(1);
  });

  it('is not refused to an engine without PRI, which reaches only what is there (SMMU-13)', async () => {
    const without = variant('buffer-job', ENDPOINT, `${ENDPOINT}\n      capabilities: { pri: false }`);
    const { code, stdout } = await iommukit('run', without);
    expect(stdout).toContain('bind_alloc');
    expect(stdout).toMatch(/scenario +process: wait: the job ended cancelled, not done/);
    expect(stdout).toMatch(/leaks +none\n/);
    expect(code).toBe(1);
  });

  it('also where an order waits for what then never happens', async () => {
    const { code, stdout } = await iommukit(
      'run',
      variant('killed-job', 'ats-supported: true', 'ats-supported: false'),
    );
    expect(stdout).toMatch(/scenario +process: bind: .*cannot share/);
    expect(code).toBe(1);
  });
});

describe('a machine that cannot be made', () => {
  it.each([
    ['an unknown capability of the SMMU', 'endpoints:', 'iommu: { atz: true }\n  endpoints:', /variant\.yaml: .*atz/],
    [
      'a capability of the wrong kind',
      ENDPOINT,
      `${ENDPOINT}\n      capabilities: { ats: 3 }`,
      /variant\.yaml: .*ats=3.*true or false/,
    ],
    ['an unknown model', ENDPOINT, 'model: nic', /variant\.yaml: .*'nic'.*dma-engine/],
  ])('is told with the file: %s', async (_what, from, to, message) => {
    const { code, stderr } = await iommukit('run', variant('buffer-job', from, to));
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});
