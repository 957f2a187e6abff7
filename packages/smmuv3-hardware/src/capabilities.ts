import { IommuError, type Setting } from '@iommukit/kernel';
import { MAX_QUEUE_LOG2SIZE, OAS_BITS } from '@iommukit/smmuv3-spec';

/** What one SMMUv3 can do, as data: the ID registers are computed from it. */
export interface SmmuCapabilities {
  /** IDR0.ATS: PCIe address translation services. */
  readonly ats: boolean;
  /** IDR0.PRI: a queue for page requests. */
  readonly pri: boolean;
  /** IDR3.PPS: automatic page-request responses carry the request's PASID whatever STE.PPAR says. */
  readonly pps: boolean;
  /** IDR1.SSIDSIZE: bits of a SubstreamID (PASID), 0 … 20. */
  readonly ssidBits: number;
  /** IDR1.SIDSIZE: bits of a StreamID, 0 … 32. */
  readonly sidBits: number;
  /** IDR5.OAS: bits of a physical address: 32, 36, 40, 42, 44, 48 or 52. */
  readonly oas: number;
  /** IDR0.ASID16: ASIDs have 16 bits, else 8. */
  readonly asid16: boolean;
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
  /** After this many virtual nanoseconds an ATC invalidation counts as lost (CERROR_ATC_INV_SYNC). */
  readonly atcTimeoutNs: number;
}

/**
 * What a machine gets that says nothing else. Not implemented, and therefore not offered: stage 2, HYP, HTTU, BTM, VMW,
 * ATOS, MPAM, split-stage ATS, granules other than 4 KiB, 52-bit addresses.
 */
export const DEFAULT_CAPABILITIES: SmmuCapabilities = {
  ats: true,
  pri: true,
  pps: false,
  ssidBits: 20,
  sidBits: 16,
  oas: 48,
  asid16: true,
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
  atcTimeoutNs: 60e9,
};

const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  ssidBits: [0, 20],
  sidBits: [0, 32],
  stallMax: [0, 0xffff],
  cmdqBits: [0, MAX_QUEUE_LOG2SIZE],
  eventqBits: [0, MAX_QUEUE_LOG2SIZE],
  priqBits: [0, MAX_QUEUE_LOG2SIZE],
};

/**
 * The capabilities that a platform describes, completed by {@link DEFAULT_CAPABILITIES}.
 * @throws IommuError EINVAL for a name that this model does not know, or a value that does not fit
 */
export function capabilitiesOf(settings: Readonly<Record<string, Setting>>): SmmuCapabilities {
  for (const [name, value] of Object.entries(settings)) {
    const standard = (DEFAULT_CAPABILITIES as unknown as Record<string, Setting>)[name];
    if (standard === undefined) {
      throw refusal(`a capability '${name}'`, Object.keys(DEFAULT_CAPABILITIES).join(', '));
    }
    if (typeof value !== typeof standard) throw refusal(`${name}: ${value}`, `a ${typeof standard}`);
    const range = RANGES[name];
    const number = Number(value);
    if (range && !(Number.isInteger(number) && number >= range[0] && number <= range[1])) {
      throw refusal(`${name}: ${value}`, `${range[0]} … ${range[1]}`);
    }
  }
  const all: SmmuCapabilities = { ...DEFAULT_CAPABILITIES, ...settings };
  if (!['optional', 'none', 'forced'].includes(all.stall))
    throw refusal(`stall: ${all.stall}`, 'optional, none or forced');
  const sizes = OAS_BITS.filter((bits) => bits <= 52);
  if (!sizes.includes(all.oas)) throw refusal(`oas: ${all.oas}`, sizes.join(', '));
  if (all.iotlbEntries < 4 || !Number.isInteger(Math.log2(all.iotlbEntries))) {
    throw refusal(`iotlbEntries: ${all.iotlbEntries}`, 'a power of two, at least 4');
  }
  return all;
}

function refusal(what: string, allowed: string): IommuError {
  return new IommuError('EINVAL', `the SMMU cannot have ${what}`, { remedy: `allowed: ${allowed}` });
}
