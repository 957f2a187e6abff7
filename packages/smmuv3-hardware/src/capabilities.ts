import { type Capabilities, type CapabilityRules, cannotHave, completeCapabilities } from '@iommukit/kernel';
import { MAX_QUEUE_LOG2SIZE, OAS_BITS } from '@iommukit/smmuv3-spec';

/** What one SMMUv3 can do, as data: the ID registers are computed from it. */
export interface SmmuCapabilities {
  /** IDR0.S1P: stage 1, by context descriptors. */
  readonly stage1: boolean;
  /** IDR0.S2P: stage 2, by stream table entries alone. Both stages one after the other are not implemented. */
  readonly stage2: boolean;
  /** IDR0.ATS: PCIe address translation services. */
  readonly ats: boolean;
  /** IDR0.PRI: a queue for page requests. */
  readonly pri: boolean;
  /** IDR3.PPS: automatic page-request responses carry the request's PASID whatever STE.PPAR says. */
  readonly pps: boolean;
  /** IDR0.ATSRECERR: configuration errors of ATS traffic can be recorded (CR2.REC_CFG_ATS). */
  readonly atsRecordsErrors: boolean;
  /** IDR1.SSIDSIZE: bits of a SubstreamID (PASID), 0 … 20. */
  readonly ssidBits: number;
  /** IDR1.SIDSIZE: bits of a StreamID, 0 … 32. */
  readonly sidBits: number;
  /** IDR5.OAS: bits of a physical address: 32, 36, 40, 42, 44, 48 or 52. */
  readonly oas: number;
  /** IDR5.GRAN4K: tables of 4 KiB pages. */
  readonly granule4K: boolean;
  /** IDR5.GRAN16K: tables of 16 KiB pages. */
  readonly granule16K: boolean;
  /** IDR5.GRAN64K: tables of 64 KiB pages. */
  readonly granule64K: boolean;
  /** IDR5.VAX: bits of a virtual address, 48 or 52; 52 with the 64K granule. */
  readonly vax: number;
  /** IDR5.DS: 52-bit addresses with the 4K and 16K granules, where CD.DS asks for them (LPA2). */
  readonly ds: boolean;
  /** IDR0.HTTU: which flags the SMMU updates in tables by itself: `none`, `access`, or `dirty` (Access flag and dirty state). */
  readonly httu: 'none' | 'access' | 'dirty';
  /** IDR0.BTM: follows the CPUs' broadcast TLB maintenance, unless CR2.PTM. */
  readonly btm: boolean;
  /** IDR0.HYP: stage-1 contexts of EL2 (STE.STRW). */
  readonly hyp: boolean;
  /** IDR1.ATTR_PERMS_OVR: STE.PRIVCFG and INSTCFG override what requests say. */
  readonly permsOverride: boolean;
  /** IDR0.ASID16: ASIDs have 16 bits, else 8. */
  readonly asid16: boolean;
  /** IDR0.VMID16: VMIDs have 16 bits, else 8. */
  readonly vmid16: boolean;
  /** IDR0.CD2L: context descriptor tables of two levels. */
  readonly cd2l: boolean;
  /** IDR0.ST_LEVEL: stream tables of two levels. */
  readonly stream2l: boolean;
  /** IDR0.STALL_MODEL: `optional` 0, `none` 1 (terminate only), `forced` 2. PCIe functions never stall, whatever it is. */
  readonly stall: 'optional' | 'none' | 'forced';
  /** IDR5.STALL_MAX: stalled transactions at a time. */
  readonly stallMax: number;
  /** IDR0.TERM_MODEL: a terminated transaction always aborts, so CD.A must be 1. */
  readonly terminateAborts: boolean;
  /** IDR0.COHACC: table walks are coherent. Memory of this model always is: the bit is for drivers. */
  readonly coherent: boolean;
  /** IDR0.MSI: interrupts may be writes of a message. */
  readonly msi: boolean;
  /** IDR0.SEV: CMD_SYNC may wake a waiting CPU. */
  readonly sev: boolean;
  /** IDR3.RIL: invalidation by range. */
  readonly rangeInvalidation: boolean;
  /** IDR1.CMDQS: log2 of the largest command queue, 0 … 19. */
  readonly cmdqBits: number;
  /** IDR1.EVENTQS: log2 of the largest event queue, 0 … 19. */
  readonly eventqBits: number;
  /** IDR1.PRIQS: log2 of the largest page-request queue, 0 … 19. */
  readonly priqBits: number;
  /** Entries of the TLB: a power of two, at least 4. Not visible to software. */
  readonly iotlbEntries: number;
  /** Entries of the walk cache: a power of two, at least 4. Not visible to software. */
  readonly walkEntries: number;
  /** A line of the TLB that lacks a right answers with a fault (SMMU-20); false: it is walked for once more. */
  readonly cacheReadOnly: boolean;
  /**
   * How devices' accesses are translated: `atomic` in one step; `stepwise` with a preemption point before every 64-bit piece
   * of every table entry, so that entries change while they are fetched.
   */
  readonly gait: 'atomic' | 'stepwise';
  /** After this many virtual nanoseconds an ATC invalidation counts as lost (CERROR_ATC_INV_SYNC). */
  readonly atcTimeoutNs: number;
}

/**
 * What a machine gets that says nothing else: stage 1 with every granule and 48-bit addresses. Offered when asked for: stage 2
 * (`stage2`), 52-bit addresses (`vax`, `ds`, `oas`), EL2 contexts (`hyp`), hardware flag updates (`httu`), broadcast TLB maintenance
 * (`btm`), overrides of privilege (`permsOverride`), range invalidation. Not implemented, and never offered: nested translation (both
 * stages, one after the other), small tables (STT), VMW, ATOS, MPAM, split-stage ATS, big-endian tables, AArch32.
 */
export const DEFAULT_CAPABILITIES: SmmuCapabilities = {
  stage1: true,
  stage2: false,
  ats: true,
  pri: true,
  pps: false,
  atsRecordsErrors: false,
  ssidBits: 20,
  sidBits: 16,
  oas: 48,
  granule4K: true,
  granule16K: true,
  granule64K: true,
  vax: 48,
  ds: false,
  httu: 'none',
  btm: false,
  hyp: false,
  permsOverride: false,
  asid16: true,
  vmid16: true,
  cd2l: true,
  stream2l: true,
  stall: 'optional',
  stallMax: 32,
  terminateAborts: false,
  coherent: true,
  msi: false,
  sev: true,
  rangeInvalidation: false,
  cmdqBits: 19,
  eventqBits: 19,
  priqBits: 19,
  iotlbEntries: 4096,
  walkEntries: 2048,
  cacheReadOnly: true,
  gait: 'atomic',
  atcTimeoutNs: 60e9,
};

const OWNER = 'the SMMU';
const RULES: CapabilityRules = {
  owner: OWNER,
  ranges: {
    ssidBits: [0, 20],
    sidBits: [0, 32],
    stallMax: [0, 0xffff],
    cmdqBits: [0, MAX_QUEUE_LOG2SIZE],
    eventqBits: [0, MAX_QUEUE_LOG2SIZE],
    priqBits: [0, MAX_QUEUE_LOG2SIZE],
  },
  choices: {
    stall: ['optional', 'none', 'forced'],
    httu: ['none', 'access', 'dirty'],
    gait: ['atomic', 'stepwise'],
    vax: [48, 52],
    oas: OAS_BITS.filter((bits) => bits <= 52),
  },
  powers: ['iotlbEntries', 'walkEntries'],
};

/**
 * The capabilities that a platform describes, completed by {@link DEFAULT_CAPABILITIES}.
 * @throws IommuError EINVAL for a name that this model does not know, or a value that does not fit
 */
export function capabilitiesOf(settings: Capabilities): SmmuCapabilities {
  const all = completeCapabilities(settings, DEFAULT_CAPABILITIES, RULES);
  if (!all.stage1 && !all.stage2) throw cannotHave(OWNER, 'no stage', 'stage1 or stage2');
  if (!all.granule4K && !all.granule16K && !all.granule64K) throw cannotHave(OWNER, 'no granule', '4K, 16K or 64K');
  return all;
}

/** log2 of the 4 KiB pages in the smallest granule: no mapping is smaller, and neither is a translation (STU, pcie-ats.md 2.4). */
export const smallestOrder = (has: SmmuCapabilities): number => (has.granule4K ? 0 : has.granule16K ? 2 : 4);
