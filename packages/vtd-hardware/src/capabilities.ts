import { type Capabilities, type CapabilityRules, cannotHave, completeCapabilities } from '@iommukit/kernel';

/**
 * What one VT-d unit can do, as data: CAP and ECAP are computed from it. What is named as a field of CAP or ECAP is that field: a
 * boolean where it has one bit, else its raw value (`pss` 19: PASIDs of 20 bits).
 */
export interface VtdCapabilities {
  // ── CAP ────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Domain ids have 4 + 2 * ND bits, 0 … 6. */
  readonly nd: number;
  /** Write buffers have to be flushed (GCMD.WBF). Memory of this model needs none: the bit is for drivers. */
  readonly rwbf: boolean;
  /** Caching mode: entries that are not present may be cached (VTD-12, VTD-15, VTD-16). */
  readonly cm: boolean;
  /** Second-stage widths, a mask: 2 is 39 bits and 3 levels, 4 is 48 and 4, 8 is 57 and 5. */
  readonly sagaw: number;
  /** Bits of an input address of the second stage, minus 1. */
  readonly mgaw: number;
  /** Zero-length reads. */
  readonly zlr: boolean;
  /** Offset of the fault records, in 16 bytes. */
  readonly fro: number;
  /** Large second-stage pages, a mask: 1 is 2 MiB, 2 is 1 GiB. */
  readonly sllps: number;
  /** IOTLB invalidation by page (descriptor type 2). */
  readonly psi: boolean;
  /** Fault records, minus 1. */
  readonly nfr: number;
  /** Largest address mask of a type 2 page-selective invalidation. */
  readonly mamv: number;
  /** Draining of writes and reads. */
  readonly dwd: boolean;
  readonly drd: boolean;
  /** First-stage pages of 1 GiB. */
  readonly fl1gp: boolean;
  /** First-stage tables of 5 levels. */
  readonly fl5lp: boolean;
  /** SRTP drops every cached translation by itself. */
  readonly esrtps: boolean;

  // ── ECAP ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Walks of legacy structures are coherent. Memory of this model always is: the bit is for drivers (VTD-4). */
  readonly c: boolean;
  /** Queued invalidation. */
  readonly qi: boolean;
  /** Device-TLBs (ATS). */
  readonly dt: boolean;
  /** Pass-through. */
  readonly pt: boolean;
  /** Snoop control: SNP in second-stage entries, PGSNP in PASID entries. */
  readonly sc: boolean;
  /** Offset of IVA and IOTLB, in 16 bytes. */
  readonly iro: number;
  /** The extended-context mode of 2015 to 2018, and with it RTADDR's type 2. */
  readonly ecs: boolean;
  /** Memory types. */
  readonly mts: boolean;
  /** Deferred invalidation: a PASID-state table (extended-context mode). */
  readonly dis: boolean;
  /** Page requests. */
  readonly prs: boolean;
  /** Execute requests (PASID entry's ERE). */
  readonly ers: boolean;
  /** Supervisor requests (PASID entry's SRE). */
  readonly srs: boolean;
  /** The no-write flag of translation requests. */
  readonly nwfs: boolean;
  /** The extended accessed flag. */
  readonly eafs: boolean;
  /** Bits of a PASID, minus 1. */
  readonly pss: number;
  /** Requests with PASID. */
  readonly pasid: boolean;
  /** Device-TLB invalidation throttle: descriptors have a PFSID. */
  readonly dit: boolean;
  /** A wait descriptor may drain page requests. */
  readonly pds: boolean;
  /** Scalable mode. */
  readonly smts: boolean;
  /** Second-stage Accessed and Dirty flags. */
  readonly slads: boolean;
  /** Second-stage translation in scalable mode. */
  readonly slts: boolean;
  /** First-stage translation in scalable mode. */
  readonly flts: boolean;
  /** Walks in scalable mode are coherent, where PWSNP asks for it. */
  readonly smpwcs: boolean;
  /** The context entry names the PASID of requests without one (RID_PASID). */
  readonly rps: boolean;
  /** Abort-DMA mode. */
  readonly adms: boolean;
  /** The context entry says whether requests without PASID are privileged (RID_PRIV). */
  readonly rprivs: boolean;
  /** Stop markers. */
  readonly sms: boolean;

  // ── not in the registers ───────────────────────────────────────────────────────────────────────────────────────
  /** Host address width, as the DMAR table says it: bits of a physical address. Pointers with higher bits are reserved. */
  readonly haw: number;
  /** VER: the architecture's major version; register-based invalidation of contexts is gone from 6 on. */
  readonly version: number;
  /** Entries of the IOTLB: a power of two, at least 4. */
  readonly iotlbEntries: number;
  /** Entries of the walk cache: a power of two, at least 4. */
  readonly walkEntries: number;
  /** A fault of a requester that has a record pending is dropped: an implementation may merge them (vtd.md 5.4). */
  readonly mergeFaults: boolean;
  /**
   * A line of the IOTLB that lacks a right answers with a fault until it is invalidated, whatever page requests come; false: its
   * page is walked for once more.
   */
  readonly cacheReadOnly: boolean;
  /**
   * How devices' accesses are translated: `atomic` in one step; `stepwise` with a preemption point before every 64-bit piece
   * of every table entry, so that entries change while they are fetched.
   */
  readonly gait: 'atomic' | 'stepwise';
  /**
   * Page requests carry private data, as devices inside a root complex send it (specification 3.0 to 3.x, D-3): PDP, which
   * responses may have too; in the extended-context mode SRR and private data.
   */
  readonly privateData: boolean;
  /** After this many virtual nanoseconds a device-TLB invalidation counts as lost (FSTS.ITE). */
  readonly devTlbTimeoutNs: number;
}

/**
 * What a machine gets that says nothing else: scalable mode with everything that Shared Virtual Addressing needs, legacy mode, and
 * 8 fault records. Offered when asked for: the extended-context mode (`ecs`, `dis`), caching mode, 5-level tables (`fl5lp`, `sagaw`),
 * second-stage flags (`slads`), and so on. Never offered: nested translation, interrupt remapping, posted interrupts, advanced
 * fault logs, protected memory ranges, virtual commands, performance counters.
 */
export const DEFAULT_CAPABILITIES: VtdCapabilities = {
  nd: 6,
  rwbf: false,
  cm: false,
  sagaw: 6,
  mgaw: 47,
  zlr: true,
  fro: 0x40,
  sllps: 3,
  psi: true,
  nfr: 7,
  mamv: 18,
  dwd: true,
  drd: true,
  fl1gp: true,
  fl5lp: false,
  esrtps: false,
  c: true,
  qi: true,
  dt: true,
  pt: true,
  sc: true,
  iro: 0x0f,
  ecs: false,
  mts: false,
  dis: false,
  prs: true,
  ers: false,
  srs: true,
  nwfs: true,
  eafs: true,
  pss: 19,
  pasid: true,
  dit: false,
  pds: true,
  smts: true,
  slads: false,
  slts: true,
  flts: true,
  smpwcs: true,
  rps: true,
  adms: true,
  rprivs: true,
  sms: true,
  haw: 48,
  version: 1,
  iotlbEntries: 4096,
  walkEntries: 2048,
  mergeFaults: false,
  cacheReadOnly: false,
  gait: 'atomic',
  privateData: false,
  devTlbTimeoutNs: 60e9,
};

/** Fault records lie from here on, IVA and IOTLB in one of these places: both within the window, and on no other register. */
const WINDOW = 0x1000;
const FREE = [
  { from: 0x0f0, to: 0x100 },
  { from: 0x220, to: 0x300 },
  { from: 0x400, to: 0xe00 },
  { from: 0xe80, to: WINDOW },
] as const;

const OWNER = 'a VT-d unit';
const RULES: CapabilityRules = {
  owner: OWNER,
  ranges: {
    nd: [0, 6],
    mgaw: [20, 56],
    fro: [0, 0x3ff],
    sllps: [0, 3],
    nfr: [0, 255],
    mamv: [0, 63],
    iro: [0, 0x3ff],
    pss: [0, 19],
    haw: [32, 52],
    version: [1, 6],
    devTlbTimeoutNs: [1, 1e15],
  },
  choices: { gait: ['atomic', 'stepwise'] },
  powers: ['iotlbEntries', 'walkEntries'],
};

/**
 * The capabilities that a platform describes, completed by {@link DEFAULT_CAPABILITIES}.
 * @throws IommuError EINVAL for a name that this model does not know, or a value that does not fit
 */
export function capabilitiesOf(settings: Capabilities): VtdCapabilities {
  const all = completeCapabilities(settings, DEFAULT_CAPABILITIES, RULES);
  if (!Number.isInteger(all.sagaw) || all.sagaw < 0 || (all.sagaw & ~14) !== 0) {
    throw cannotHave(OWNER, `sagaw: ${all.sagaw}`, 'a sum of 2 (39 bits), 4 (48 bits) and 8 (57 bits)');
  }
  checkPlaces(all);
  return all;
}

/** The two groups of registers that CAP and ECAP place are where no other register is. */
function checkPlaces({ fro, nfr, iro }: VtdCapabilities): void {
  const records = { from: fro * 16, to: fro * 16 + (nfr + 1) * 16 };
  const iotlb = { from: iro * 16, to: iro * 16 + 16 };
  for (const [name, { from, to }] of Object.entries({ fro: records, iro: iotlb })) {
    if (!FREE.some((place) => from >= place.from && to <= place.to)) {
      throw cannotHave(
        OWNER,
        `${name}: 0x${(from / 16).toString(16)}`,
        'a place where no other register is, within 4 KiB',
      );
    }
  }
  if (records.from < iotlb.to && iotlb.from < records.to)
    throw cannotHave(OWNER, 'fro and iro in one place', 'two places');
}
