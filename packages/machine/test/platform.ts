import type { PlatformDescription, PlatformIommu, PlatformPciHost } from '@iommukit/firmware';

/** 2 MiB: RAM comes in blocks of it. */
export const BLOCK = 2 ** 21;

/** An SMMUv3 with the four interrupts of its binding. */
export const SMMU: PlatformIommu = {
  kind: 'iommu',
  name: 'smmuv3@9050000',
  path: '/smmuv3@9050000',
  compatible: ['arm,smmu-v3'],
  base: 0x905_0000,
  bytes: 0x20000,
  interrupts: ['eventq', 'priq', 'cmdq-sync', 'gerror'].map((name, i) => ({
    name,
    type: 'spi',
    number: 74 + i,
    trigger: 'edge',
  })),
  coherent: true,
  properties: {},
};

/** A root complex with two buses behind that SMMU, and a memory window of 256 KiB below 4 GiB. */
export const PCI: PlatformPciHost = {
  kind: 'pci-host',
  name: 'pcie@10000000',
  path: '/pcie@10000000',
  compatible: ['pci-host-ecam-generic'],
  segment: 0,
  busRange: [0, 1],
  ecam: { base: 0x40_1000_0000, bytes: 2 * 2 ** 20 },
  windows: [
    { cpu: 0x3eff_0000, pci: 0, bytes: 0x10000, space: 'io', prefetchable: false },
    { cpu: 0x1000_0000, pci: 0x1000_0000, bytes: 0x40000, space: 'mem32', prefetchable: false },
    { cpu: 0x80_0000_0000, pci: 0x80_0000_0000, bytes: 2 ** 39, space: 'mem64', prefetchable: false },
  ],
  iommuMap: [{ ridBase: 0, iommu: SMMU.path, streamBase: 0x100, length: 0x200 }],
  iommuMapMask: 0xffff,
  atsSupported: true,
  coherent: true,
};

/** A machine with one SMMU, one root complex and 16 MiB of RAM, but for what is given. */
export function platformOf(given: Partial<PlatformDescription> = {}): PlatformDescription {
  return {
    source: 'devicetree',
    model: 'test',
    cpus: 1,
    memory: [{ base: 0x4000_0000, bytes: 8 * BLOCK }],
    reserved: [],
    nodes: [SMMU, PCI],
    ...given,
  };
}
