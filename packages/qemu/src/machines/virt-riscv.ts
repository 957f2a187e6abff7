import type { QemuMachineSpec } from './kinds.js';
import { RISCV_PARKING } from './parking.js';

/** RISC-V's virt machine with its IOMMU as a PCI device. */
export const VIRT_RISCV: QemuMachineSpec = {
  arch: 'riscv64',
  about: 'RISC-V IOMMU as a PCI device',
  arguments: () => ['-machine', 'virt', '-bios', 'none'],
  devices: [
    { model: 'riscv-iommu-pci', slot: 3 },
    { model: 'edu', slot: 4 },
    { model: 'iommu-testdev', slot: 5 },
  ],
  ram: { base: 0x8000_0000, bytes: 128 * 2 ** 20 },
  holes: [],
  iommu: null,
  ecam: 0x3000_0000,
  ecamByPorts: false,
  window: { base: 0x4000_0000, bytes: 0x4000_0000 },
  // Its interrupts are messages to the CPUs, which nothing shows: look at its status registers instead.
  interception: null,
  parking: RISCV_PARKING,
};
