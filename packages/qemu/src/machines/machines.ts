import type { QemuMachineSpec } from './kinds.js';
import { Q35_MACHINES } from './q35-vtd.js';
import { VIRT_RISCV } from './virt-riscv.js';
import { VIRT_SMMUV3 } from './virt-smmuv3.js';

/** The machines that QEMU can be. */
export const QEMU_MACHINES = { ...Q35_MACHINES, smmuv3: VIRT_SMMUV3, riscv: VIRT_RISCV } as const satisfies Readonly<
  Record<string, QemuMachineSpec>
>;

/** A kind of machine by name. */
export type QemuMachineKind = keyof typeof QEMU_MACHINES;

/** True for the name of a machine. */
export function isQemuMachineKind(name: string): name is QemuMachineKind {
  return Object.hasOwn(QEMU_MACHINES, name);
}
