import type { PlatformDescription } from '@iommukit/firmware';
import { describe, expect, it } from 'vitest';
import { PCI, platformOf, SMMU } from '../test/platform.js';
import { iommusOf, pciHostsOf, withUnit } from './index.js';

const OTHER = '/other@9070000';

/** `first-last unit stream` of every piece of the root complex's map. */
const mapOf = (platform: PlatformDescription): readonly string[] =>
  pciHostsOf(platform)[0]!.iommuMap.map(
    ({ ridBase, length, iommu, streamBase }) =>
      `${ridBase.toString(16)}-${(ridBase + length - 1).toString(16)} ${iommu} ${streamBase.toString(16)}`,
  );

describe('withUnit', () => {
  it('puts an IOMMU like the first one behind it, with interrupts of its own', () => {
    const { platform, unit } = withUnit(platformOf(), { name: 'other', behind: [] });
    expect(unit).toEqual({
      ...SMMU,
      name: 'other@9070000',
      path: OTHER,
      base: 0x907_0000,
      interrupts: SMMU.interrupts.map((line, i) => ({ ...line, number: 78 + i })),
    });
    expect(iommusOf(platform).map(({ name }) => name)).toEqual(['smmuv3@9050000', 'other@9070000']);
    expect(mapOf(platform)).toEqual(['0-1ff /smmuv3@9050000 100']);
  });

  it('takes the functions behind it out of the map of the first, under the streams that they had', () => {
    const behind = ['0000:00:00.0', '0000:00:04.0', '0000:01:1f.7', '0001:00:05.0', '0000:05:00.0'];
    expect(mapOf(withUnit(platformOf(), { name: 'other', behind }).platform)).toEqual([
      `0-0 ${OTHER} 100`,
      '1-1f /smmuv3@9050000 101',
      `20-20 ${OTHER} 120`,
      '21-1fe /smmuv3@9050000 121',
      `1ff-1ff ${OTHER} 2ff`,
    ]);
  });

  it('finds registers where nothing is: beyond RAM, other units and windows', () => {
    const nodes = [
      SMMU,
      { ...PCI, ecam: { base: 0x909_0000, bytes: 2 ** 21 } },
      {
        kind: 'interrupt-controller',
        name: 'gic',
        path: '/gic',
        compatible: [],
        regions: [{ base: 0x929_8000, bytes: 8 }],
      },
    ] as const;
    const memory = [{ base: 0x907_0000, bytes: 0x1_0000 }];
    const once = withUnit(platformOf({ nodes, memory }), { name: 'other', behind: [] });
    // 0x9080000 has room for half of it, and so has the place before the interrupt controller.
    expect(once.unit.base).toBe(0x92a_0000);
    expect(withUnit(once.platform, { name: 'third', behind: [] }).unit.name).toBe('third@92c0000');
  });

  it('tells of a platform without an IOMMU, and of one without room', () => {
    expect(() => withUnit(platformOf({ nodes: [PCI] }), { name: 'other', behind: [] })).toThrow(
      /other: the platform has no IOMMU that it could be like.*ENODEV/,
    );
    const memory = [{ base: 0x905_0000, bytes: 2 ** 52 }];
    expect(() => withUnit(platformOf({ memory }), { name: 'other', behind: [] })).toThrow(
      /no room for 0x20000 bytes of registers above 0x9070000.*ENOSPC/,
    );
  });
});
