import { isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { cpuFeatures, VMSA_4K_48, X86Format } from '../index.js';

const codeOf = (attempt: () => unknown): string => {
  try {
    attempt();
    return 'none';
  } catch (error) {
    return isIommuError(error) ? error.code : 'no IommuError';
  }
};

describe('cpuFeatures', () => {
  it('marks entries by hardware on x86 whatever is set, and elsewhere where it is asked for (PF-10)', () => {
    const httu = [new X86Format(4), new X86Format(5), VMSA_4K_48].map((format) =>
      ['off', 'on'].map((set) => cpuFeatures(format, { 'hw-af-dirty': set }, { httu: 'none' }).httu),
    );
    expect(httu).toEqual([
      ['dirty', 'dirty'],
      ['dirty', 'dirty'],
      ['none', 'dirty'],
    ]);
  });

  it("takes addresses and pages from the tables' format, the rest from a default", () => {
    expect(cpuFeatures({ ...VMSA_4K_48, addressBits: 52, pageShift: 16 }, {})).toMatchObject({
      physicalBits: 44,
      virtualBits: 52,
      pageShift: 16,
      asidBits: 16,
      mair: [0xf404_ff44, 0],
      httu: 'none',
      el2: false,
      broadcast: false,
      kpti: false,
      cpus: 2,
    });
  });

  it('prefers what the platform gives, and a switch that is not at its default to that', () => {
    const given = { cpus: 4, el2: true, httu: 'access', asidBits: 8 } as const;
    const defaults = { btm: 'off', 'cpu-el2': 'off', 'hw-af-dirty': 'off', cpus: 2 };
    expect(cpuFeatures(VMSA_4K_48, defaults, given)).toMatchObject({ ...given, broadcast: false });
    const set = { btm: 'on', 'cpu-el2': 'on', 'hw-af-dirty': 'on', cpus: 8 };
    const all = { cpus: 8, el2: true, httu: 'dirty', broadcast: true };
    expect(cpuFeatures(VMSA_4K_48, set, { ...given, el2: false })).toMatchObject(all);
  });

  it('refuses CPUs that cannot be (EINVAL)', () => {
    expect(codeOf(() => cpuFeatures(VMSA_4K_48, { cpus: 0 }))).toBe('EINVAL');
    expect(codeOf(() => cpuFeatures(VMSA_4K_48, { cpus: 1.5 }))).toBe('EINVAL');
    expect(codeOf(() => cpuFeatures(VMSA_4K_48, {}, { asidBits: 12 }))).toBe('EINVAL');
  });
});
