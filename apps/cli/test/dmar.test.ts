import { describe, expect, it } from 'vitest';
import { acpi, tempFile, virtDtb } from './files.js';
import { iommukit } from './support.js';

const run = (...flags: string[]) => iommukit('run', 'buffer-job', '--backend', 'vtd', '--trace', 'ftrace', ...flags);

describe('--backend vtd', () => {
  it('runs on a q35 machine with one unit unless told otherwise', async () => {
    const { code, stdout, stderr } = await run();
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/vtd_bind_alloc: dev=0000:00:03\.0 pasid=1/);
    expect(stderr).toContain('BOCHS BXPC: DMAR and MCFG, the rest as q35 (acpi), backend vtd');
  });

  it('runs on an ACPI DMAR, alone and with the MCFG beside it, as on its own machine', async () => {
    const [alone, beside] = [tempFile('alone-DMAR', acpi('dmar')), tempFile('DMAR.aml', acpi('dmar'))];
    tempFile('MCFG.aml', acpi('mcfg-q35'));
    const [own, one, both] = [await run(), await run('--platform', alone), await run('--platform', beside)];
    expect([one.stdout, both.stdout]).toEqual([own.stdout, own.stdout]);
    expect(one.stderr).toContain('BOCHS BXPC: DMAR, the rest as q35 (acpi)');
    expect(both.stderr).toContain('BOCHS BXPC: DMAR and MCFG, the rest as q35 (acpi)');
    expect(both.stderr).toContain(`--backend vtd --platform ${beside} --schedule`);
  });

  it('refuses machines of other IOMMUs', async () => {
    const { code, stdout, stderr } = await run('--platform', tempFile('virt.dtb', virtDtb()));
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/smmuv3@9050000/);
  });
});

describe('a damaged DMAR', () => {
  it('never ends the command with anything but a verdict or a clear message', async () => {
    // Small, seeded, and only good enough to spread mutations (xorshift32).
    let state = 20_251_121;
    const random = (below: number): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
    const codes = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const bytes = acpi('dmar');
      for (let n = random(3); n >= 0; n--) bytes[36 + random(bytes.length - 36)] = random(256);
      // Most get a right checksum, so that more than the checksum is tried.
      const rest = bytes.reduce((sum, byte, at) => (at === 9 ? sum : sum + byte), 0);
      if (random(8) !== 0) bytes[9] = -rest & 0xff;
      const { code, stderr } = await run(
        '--platform',
        tempFile('f.aml', bytes.slice(0, i % 20 === 0 ? random(160) : 160)),
      );
      expect(stderr, `mutation ${i}`).not.toMatch(/defect of iommukit|\n {4}at /);
      expect([0, 1, 2]).toContain(code);
      codes.add(code);
    }
    expect(codes).toContain(0);
    expect(codes).toContain(2);
  });
});
