import { type PlatformDescription, type PlatformIommu, parseDmar, platformFromDmar } from '@iommukit/firmware';
import { atsr, dmar, drhd, scope } from '../../firmware/test/dmar-writer.js';
import { NOT_SUPPORTED, type TwoUnits } from '../src/index.js';

/** The second unit behind a platform's first one. */
const SECOND = 'smmuv3@9090000';

/** Two SMMUs by hand: 00:04.0 is behind the second one what 00:03.0 is behind the first, and so are 00:06.0 and 00:05.0. */
export function twoSmmus(platform: PlatformDescription): PlatformDescription {
  const first = platform.nodes.find((node): node is PlatformIommu => node.kind === 'iommu')!;
  const second: PlatformIommu = {
    ...first,
    name: SECOND,
    path: `/${SECOND}`,
    base: 0x909_0000,
    interrupts: first.interrupts.map((line, i) => ({ ...line, number: 84 + i })),
  };
  const map = (ridBase: number, { path: iommu }: PlatformIommu, streamBase: number, length: number) => ({
    ridBase,
    iommu,
    streamBase,
    length,
  });
  const iommuMap = [
    map(0, first, 0, 0x20),
    map(0x20, second, 0x18, 1),
    map(0x21, first, 0x21, 0xf),
    map(0x30, second, 0x28, 1),
    map(0x31, first, 0x31, 0xcf),
  ];
  const nodes = platform.nodes.map((node) => (node.kind === 'pci-host' ? { ...node, iommuMap } : node));
  return { ...platform, nodes: [...nodes, second] };
}

export const TWO_SMMUS: Omit<TwoUnits, 'platform'> = {
  second: SECOND,
  lacks: {
    width: { ssidBits: 1 },
    pageRequests: { pri: false },
    pasids: { ssidBits: 0 },
    tables: { granule4K: false },
    coherence: { coherent: false },
  },
};

/** Two VT-d units as a DMAR describes them: one for two functions, one for all others. */
export function twoDrhds(platform: PlatformDescription): PlatformDescription {
  const functions = [4, 6].map((device) => scope(1, 0, 0, [device, 0]));
  const table = dmar([drhd(0xfed9_1000, functions), drhd(0xfed9_0000, [], { flags: 1 }), atsr(0, 1)]);
  const base = { ...platform, nodes: platform.nodes.filter(({ kind }) => kind !== 'iommu') };
  return platformFromDmar(parseDmar(table), { base });
}

export const TWO_DRHDS: Omit<TwoUnits, 'platform'> = {
  second: 'dmar@fed91000',
  lacks: {
    width: { pss: 0 },
    pageRequests: { prs: false },
    pasids: { pasid: false },
    tables: { flts: false },
    coherence: { smpwcs: false },
  },
};

/** The same in the extended-context mode, which knows neither FLTS nor SMPWCS. */
export const TWO_ECS_UNITS: Omit<TwoUnits, 'platform'> = {
  ...TWO_DRHDS,
  lacks: {
    ...TWO_DRHDS.lacks,
    tables: { fl1gp: false },
    coherence: NOT_SUPPORTED('a unit whose walks are not coherent (ECAP.C) is not driven at all'),
  },
};
