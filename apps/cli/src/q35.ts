import type { DmarBridge, PlatformDescription } from '@iommukit/firmware';

/** Physical memory and PCI windows from `first` to `last`, both included. */
const range = (first: number, last: number) => ({ base: first, bytes: last - first + 1 });
const window = (first: number, last: number, space: 'mem32' | 'mem64') =>
  ({ cpu: first, pci: first, bytes: last - first + 1, space, prefetchable: space === 'mem64' }) as const;

/**
 * What the ACPI tables of QEMU's `q35` machine do not say: RAM and PCI windows as `/proc/iomem` and the boot log of a
 * Linux 6.1 kernel on that machine (QEMU 10.0, 256 MiB, one CPU) list them. No units: a DMAR has those.
 */
export const Q35: PlatformDescription = {
  source: 'acpi',
  model: 'q35',
  cpus: 1,
  memory: [range(0x0000_0000, 0x0009_ffff), range(0x0010_0000, 0x0fff_ffff)],
  reserved: [range(0x0000_0000, 0x0000_0fff), range(0x0009_fc00, 0x0009_ffff), range(0x0ffc_b000, 0x0fff_ffff)],
  nodes: [
    {
      kind: 'pci-host',
      name: 'pcie@b0000000',
      path: '/pcie@b0000000',
      compatible: ['PNP0A08'],
      segment: 0,
      busRange: [0, 255],
      ecam: range(0xb000_0000, 0xbfff_ffff),
      windows: [
        window(0x1000_0000, 0xafff_ffff, 'mem32'),
        window(0xc000_0000, 0xfebf_ffff, 'mem32'),
        window(0x1_0000_0000, 0x8_ffff_ffff, 'mem64'),
      ],
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
      regions: [range(0xfec0_0000, 0xfec0_0fff)],
    },
  ],
};

/** Its two root ports and the buses below them, by the same log. */
export const Q35_BRIDGES: readonly DmarBridge[] = [
  { segment: 0, bus: 0, device: 7, function: 0, buses: [1, 1] },
  { segment: 0, bus: 0, device: 8, function: 0, buses: [2, 2] },
];
