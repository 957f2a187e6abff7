import { isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { sanitisedFeatures } from '../index.js';

describe('sanitisedFeatures', () => {
  it('reads PARange, ASIDBits, HAFDBS and VH (SMMU-17, ASID-1)', () => {
    expect(sanitisedFeatures([{ mmfr0: 0x0000_0111_0f10_0024n, mmfr1: 0x1012_2122n }])).toEqual({
      physicalBits: 44,
      asidBits: 16,
      httu: 'dirty',
      el2: true,
      cpus: 1,
    });
    expect(sanitisedFeatures([{ mmfr0: 0x6n, mmfr1: 0n }])).toMatchObject({
      physicalBits: 52,
      asidBits: 8,
      httu: 'none',
      el2: false,
    });
  });

  it('takes of every field the least that any CPU has (SMMU-17)', () => {
    const big = { mmfr0: 0x25n, mmfr1: 0x102n };
    const little = { mmfr0: 0x02n, mmfr1: 0x101n };
    expect(sanitisedFeatures([big, little])).toEqual({
      physicalBits: 40,
      asidBits: 8,
      httu: 'access',
      el2: true,
      cpus: 2,
    });
    expect(sanitisedFeatures([little, { ...big, mmfr1: 0n }])).toMatchObject({ httu: 'none', el2: false });
  });

  it('refuses no CPU, and values that are reserved (EINVAL)', () => {
    for (const cpus of [[], [{ mmfr0: 0x28n, mmfr1: 0n }], [{ mmfr0: 0x14n, mmfr1: 0n }]]) {
      let caught: unknown;
      try {
        sanitisedFeatures(cpus);
      } catch (error) {
        caught = error;
      }
      expect(isIommuError(caught, 'EINVAL')).toBe(true);
    }
  });
});
