import { IommuError } from '@iommukit/kernel';
import type { CpuFeatures, HardwareUpdate } from './cpu-features.js';

/** The identification registers of one CPU that matter to who shares its page tables. */
export interface CpuRegisters {
  /** ID_AA64MMFR0_EL1: PARange [3:0], ASIDBits [7:4]. */
  readonly mmfr0: bigint;
  /** ID_AA64MMFR1_EL1: HAFDBS [3:0], VH [11:8]. */
  readonly mmfr1: bigint;
}

/** Physical address bits by PARange; the same encoding as an SMMU's OAS (smmuv3.md 1.4). */
const PHYSICAL_BITS = [32, 36, 40, 42, 44, 48, 52, 56] as const;
const HARDWARE_UPDATES: readonly HardwareUpdate[] = ['none', 'access', 'dirty'];

/**
 * What a kernel may count on, whichever CPU it runs on: of every field the least that any of them has (SMMU-17).
 * @throws IommuError EINVAL without a CPU, or for a PARange or ASIDBits that is reserved
 */
export function sanitisedFeatures(
  cpus: readonly CpuRegisters[],
): Pick<CpuFeatures, 'physicalBits' | 'asidBits' | 'httu' | 'el2' | 'cpus'> {
  if (cpus.length === 0) throw new IommuError('EINVAL', 'no CPU was given', { remedy: 'give at least one' });
  const least = (value: (cpu: CpuRegisters) => number): number => Math.min(...cpus.map(value));
  return {
    physicalBits: least(({ mmfr0 }) => physicalBits(field(mmfr0, 0))),
    asidBits: least(({ mmfr0 }) => asidBits(field(mmfr0, 4))),
    // 3 and above are table descriptors' flags and more: who knows them knows the dirty state too.
    httu: HARDWARE_UPDATES[least(({ mmfr1 }) => Math.min(field(mmfr1, 0), 2))]!,
    el2: least(({ mmfr1 }) => field(mmfr1, 8)) > 0,
    cpus: cpus.length,
  };
}

function field(register: bigint, at: number): number {
  return Number((register >> BigInt(at)) & 0xfn);
}

function physicalBits(range: number): number {
  const bits = PHYSICAL_BITS[range];
  if (bits !== undefined) return bits;
  throw new IommuError('EINVAL', `PARange ${range} is reserved`, { rule: 'SMMU-17', remedy: 'give 0-7' });
}

/** ASID-1. */
function asidBits(bits: number): number {
  if (bits === 0) return 8;
  if (bits === 2) return 16;
  throw new IommuError('EINVAL', `ASIDBits ${bits} is reserved`, { rule: 'ASID-1', remedy: 'give 0 or 2' });
}
