import { IommuError, type Settings } from '@iommukit/kernel';
import { MAIR0, MAIR1 } from '@iommukit/paging';
import type { AddressSpaceFormat } from '../mm/address-space-format.js';

/** What CPUs do to the Access flag and the dirty state of entries by themselves (ID_AA64MMFR1_EL1.HAFDBS). */
export type HardwareUpdate = 'none' | 'access' | 'dirty';

/** What the CPUs' kernel runs with, as far as a device that shares its page tables must agree (SMMU-17). */
export interface CpuFeatures {
  /** Physical address bits (PARange). */
  readonly physicalBits: number;
  /** Virtual address bits of a process. */
  readonly virtualBits: number;
  /** log2 of the page size in bytes. */
  readonly pageShift: number;
  /** Width of an ASID: 8 or 16. */
  readonly asidBits: number;
  /** MAIR_EL1 as [lo, hi]: what the attribute indexes of page tables mean. */
  readonly mair: readonly [number, number];
  readonly httu: HardwareUpdate;
  /** The kernel runs at EL2 (VHE): so do its TLB instructions (TLB-9). */
  readonly el2: boolean;
  /** TLB maintenance goes out as messages: to the other CPUs, and to every IOMMU that follows it (MN-15). */
  readonly broadcast: boolean;
  /** The kernel is unmapped while a process runs: each process has a pair of ASIDs (ASID-7). */
  readonly kpti: boolean;
  /** The kernel could do that: until its first roll-over it hands out even ASIDs only, needed or not (ASID-7). */
  readonly kptiBuilt: boolean;
  /** CPUs that may come online. */
  readonly cpus: number;
}

/** Two CPUs of QEMU's `virt` machine: 44-bit physical, 48-bit virtual addresses, 4 KiB pages, 16-bit ASIDs. */
export const DEFAULT_CPU: CpuFeatures = {
  physicalBits: 44,
  virtualBits: 48,
  pageShift: 12,
  asidBits: 16,
  mair: [MAIR0, MAIR1],
  httu: 'none',
  el2: false,
  broadcast: false,
  kpti: false,
  kptiBuilt: false,
  cpus: 2,
};

/**
 * The features that a core works with: its page-table format's, what the platform gives, and above it the switches that
 * are not at their default.
 * @throws IommuError EINVAL for a number of CPUs or a width of ASIDs that there is not
 */
export function cpuFeatures(
  format: AddressSpaceFormat,
  settings: Settings,
  given: Partial<CpuFeatures> = {},
): CpuFeatures {
  const features: CpuFeatures = {
    ...DEFAULT_CPU,
    virtualBits: format.addressBits,
    pageShift: format.pageShift,
    ...given,
    ...(settings['btm'] === 'on' && { broadcast: true }),
    ...(settings['cpu-el2'] === 'on' && { el2: true }),
    ...(settings['hw-af-dirty'] === 'on' && { httu: 'dirty' }),
    ...(format.markedByCpus === true && { httu: 'dirty' }),
    ...changedCpus(settings['cpus']),
  };
  if (features.asidBits !== 8 && features.asidBits !== 16) {
    throw new IommuError('EINVAL', `ASIDs have ${features.asidBits} bits`, { rule: 'ASID-1', remedy: 'give 8 or 16' });
  }
  if (!Number.isInteger(features.cpus) || features.cpus < 1) {
    throw new IommuError('EINVAL', `a machine with ${features.cpus} CPUs`, { remedy: 'give at least 1' });
  }
  return features;
}

function changedCpus(cpus: unknown): Partial<CpuFeatures> {
  return typeof cpus === 'number' && cpus !== DEFAULT_CPU.cpus ? { cpus } : {};
}
