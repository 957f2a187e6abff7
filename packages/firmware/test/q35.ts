import type { PlatformDescription } from '../src/index.js';

/** What the DMAR of QEMU's q35 machine leaves out, as its kernel's memory map says it. */
export const Q35: PlatformDescription = {
  source: 'acpi',
  model: 'q35',
  cpus: 1,
  memory: [
    { base: 0, bytes: 0xa0000 },
    { base: 0x10_0000, bytes: 0xff0_0000 },
  ],
  reserved: [{ base: 0xffc_b000, bytes: 0x3_5000 }],
  nodes: [
    {
      kind: 'pci-host',
      name: 'pcie@b0000000',
      path: '/pcie@b0000000',
      compatible: ['pci-host-ecam-generic'],
      segment: 0,
      busRange: [0, 255],
      ecam: { base: 0xb000_0000, bytes: 0x1000_0000 },
      windows: [{ cpu: 0xc000_0000, pci: 0xc000_0000, bytes: 0x3ec0_0000, space: 'mem32', prefetchable: false }],
      iommuMap: [],
      iommuMapMask: 0xffffffff,
      atsSupported: false,
      coherent: true,
    },
    {
      kind: 'interrupt-controller',
      name: 'ioapic@fec00000',
      path: '/ioapic@fec00000',
      compatible: ['PNP0003'],
      regions: [{ base: 0xfec0_0000, bytes: 0x1000 }],
    },
  ],
};
