import type { QemuMachineSpec } from './kinds.js';
import { ARM_PARKING } from './parking.js';

/** Arm's virt machine with an SMMUv3. */
export const VIRT_SMMUV3: QemuMachineSpec = {
  arch: 'aarch64',
  about: 'SMMUv3 with stage 1',
  arguments: () => ['-machine', 'virt,iommu=smmuv3', '-cpu', 'max'],
  devices: [
    { model: 'edu', slot: 4 },
    { model: 'iommu-testdev', slot: 5 },
  ],
  ram: { base: 0x4000_0000, bytes: 128 * 2 ** 20 },
  holes: [],
  iommu: { base: 0x905_0000, bytes: 0x2_0000 },
  ecam: 0x40_1000_0000,
  ecamByPorts: false,
  window: { base: 0x1000_0000, bytes: 0x2eff_0000 },
  interception: {
    direction: 'out',
    path: '/machine/unattached/device[6]',
    list: 'sysbus-irq',
    lines: { 0: 'eventq', 1: 'priq', 2: 'cmdq-sync', 3: 'gerror' },
  },
  parking: ARM_PARKING,
};
