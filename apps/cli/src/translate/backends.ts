import { type ReadRegister, type RegisterSequence, smmuv3Sequence, vtdSequence } from '@iommukit/inspect';
import type { Setting } from '@iommukit/kernel';
import { smmuV3Hardware, capabilitiesFrom as smmuv3Capabilities } from '@iommukit/smmuv3-hardware';
import { capabilitiesFrom as vtdCapabilities, vtdHardware } from '@iommukit/vtd-hardware';

/** What is known of the machine beside the unit's registers. */
export interface Surroundings {
  /** Bits of a physical address as firmware says, or null. */
  readonly addressBits: number | null;
  /** The address after the last byte of RAM. */
  readonly end: number;
}

type Capabilities = Readonly<Record<string, Setting>>;

/** What reads the state of one kind of IOMMU. */
export interface Inspection {
  readonly hardware: typeof vtdHardware | typeof smmuV3Hardware;
  readonly sequence: RegisterSequence;
  capabilities(read: ReadRegister, around: Surroundings): Capabilities;
}

/** By backend. */
export const inspections: Readonly<Record<'vtd' | 'smmuv3', Inspection>> = {
  vtd: { hardware: vtdHardware, sequence: vtdSequence, capabilities: vtdOf },
  smmuv3: {
    hardware: smmuV3Hardware,
    sequence: smmuv3Sequence,
    capabilities: (read) => ({ ...smmuv3Capabilities(read) }),
  },
};

const HAW = { min: 32, max: 52 } as const;

/** The host's address width is in the DMAR. Without one it is as wide as guest addresses are, or as RAM needs. */
function vtdOf(read: ReadRegister, { addressBits, end }: Surroundings): Capabilities {
  const known = vtdCapabilities(read);
  const guessed = Math.max(known.mgaw + 1, Math.ceil(Math.log2(end)));
  const haw = Math.min(Math.max(addressBits ?? guessed, HAW.min), HAW.max);
  return { ...known, haw };
}
