import { MAIR0, MAIR1 } from '@iommukit/paging';

/** What the CPUs' kernel runs with, as far as a device that shares its page tables must agree (SMMU-17). */
export interface CpuFeatures {
  /** Physical address bits (PARange). */
  readonly physicalBits: number;
  /** Virtual address bits of a process. */
  readonly virtualBits: number;
  /** log2 of the page size in bytes. */
  readonly pageShift: number;
  readonly asidBits: number;
  /** MAIR_EL1 as [lo, hi]: what the attribute indexes of page tables mean. */
  readonly mair: readonly [number, number];
}

/** The CPUs of QEMU's `virt` machine: 44-bit physical, 48-bit virtual addresses, 4 KiB pages, 16-bit ASIDs. */
export const DEFAULT_CPU: CpuFeatures = {
  physicalBits: 44,
  virtualBits: 48,
  pageShift: 12,
  asidBits: 16,
  mair: [MAIR0, MAIR1],
};
