import { IommuError } from '@iommukit/kernel';
import {
  HTTU,
  IDR0,
  IDR1,
  IDR3,
  IDR5,
  OAS_BITS,
  STALL_MODEL,
  STRTAB_FMT,
  TTENDIAN,
  TTF,
  VAX_BITS,
} from '@iommukit/smmuv3-spec';
import { capabilitiesOf, type SmmuCapabilities } from './capabilities.js';

const STALLS: Readonly<Record<number, SmmuCapabilities['stall']>> = {
  [STALL_MODEL.STALL_AND_TERMINATE]: 'optional',
  [STALL_MODEL.TERMINATE_ONLY]: 'none',
  [STALL_MODEL.STALL_FORCED]: 'forced',
};
/** Access flags of table descriptors are newer: what they change is nothing that a translation depends on. */
const HTTUS: Readonly<Record<number, SmmuCapabilities['httu']>> = {
  [HTTU.NONE]: 'none',
  [HTTU.ACCESS]: 'access',
  [HTTU.ACCESS_DIRTY]: 'dirty',
  [HTTU.TABLE_ACCESS]: 'dirty',
};

/**
 * The capabilities of an SMMU by its own IDR0, IDR1, IDR3 and IDR5: the inverse of how this model reports them. `read` gives the 32-bit
 * word at an offset. What the registers do not say has its default. What this model never has, and what no table that does without it
 * can tell, is left out: VMID wildcards, address translation operations, MPAM, forced write-back, permission indirection and so on.
 * @throws IommuError EINVAL for a combination that this model cannot have
 */
export function capabilitiesFrom(read: (offset: number, name: string) => number): SmmuCapabilities {
  const [idr0, idr1, idr3, idr5] = [IDR0, IDR1, IDR3, IDR5].map((register) => read(register.offset, register.name)) as [
    number,
    number,
    number,
    number,
  ];
  const { stallModel, stLevel, httu } = IDR0.f;
  const stall = STALLS[stallModel.of(idr0)];
  if (stall === undefined) throw refusal('IDR0.STALL_MODEL 3 is reserved', 'give the registers of an SMMUv3');
  refuseFormats(idr0);
  refusePresets(idr1);
  return capabilitiesOf({
    stage1: IDR0.f.s1p.of(idr0) === 1,
    stage2: IDR0.f.s2p.of(idr0) === 1,
    vmid16: IDR0.f.vmid16.of(idr0) === 1,
    ats: IDR0.f.ats.of(idr0) === 1,
    pri: IDR0.f.pri.of(idr0) === 1,
    pps: IDR3.f.pps.of(idr3) === 1,
    atsRecordsErrors: IDR0.f.atsrecerr.of(idr0) === 1,
    ssidBits: IDR1.f.ssidsize.of(idr1),
    sidBits: IDR1.f.sidsize.of(idr1),
    oas: OAS_BITS[IDR5.f.oas.of(idr5)] as number,
    granule4K: IDR5.f.gran4k.of(idr5) === 1,
    granule16K: IDR5.f.gran16k.of(idr5) === 1,
    granule64K: IDR5.f.gran64k.of(idr5) === 1,
    vax: VAX_BITS[IDR5.f.vax.of(idr5)] ?? 64,
    ds: IDR5.f.ds.of(idr5) === 1,
    httu: HTTUS[httu.of(idr0)] as SmmuCapabilities['httu'],
    btm: IDR0.f.btm.of(idr0) === 1,
    hyp: IDR0.f.hyp.of(idr0) === 1,
    permsOverride: IDR1.f.attrPermsOvr.of(idr1) === 1,
    asid16: IDR0.f.asid16.of(idr0) === 1,
    cd2l: IDR0.f.cd2l.of(idr0) === 1,
    stream2l: stLevel.of(idr0) === STRTAB_FMT.TWO_LEVEL,
    stall,
    ...(stall !== 'none' && { stallMax: IDR5.f.stallMax.of(idr5) }),
    terminateAborts: IDR0.f.termModel.of(idr0) === 1,
    coherent: IDR0.f.cohacc.of(idr0) === 1,
    msi: IDR0.f.msi.of(idr0) === 1,
    sev: IDR0.f.sev.of(idr0) === 1,
    rangeInvalidation: IDR3.f.ril.of(idr3) === 1,
    cmdqBits: IDR1.f.cmdqs.of(idr1),
    eventqBits: IDR1.f.eventqs.of(idr1),
    ...(IDR0.f.pri.of(idr0) === 1 && { priqBits: IDR1.f.priqs.of(idr1) }),
  });
}

/** Tables that this model cannot walk. */
function refuseFormats(idr0: number): void {
  if (IDR0.f.ttf.of(idr0) !== TTF.AARCH64 && IDR0.f.ttf.of(idr0) !== TTF.BOTH) {
    throw refusal(`IDR0.TTF is ${IDR0.f.ttf.of(idr0)}: no 64-bit tables`, 'only 64-bit tables are walked here');
  }
  if (IDR0.f.ttendian.of(idr0) === TTENDIAN.BIG) {
    throw refusal('IDR0.TTENDIAN is 3: big-endian tables only', 'only little-endian tables are walked here');
  }
}

/** Tables and queues that are not where the registers say. */
function refusePresets(idr1: number): void {
  for (const field of [IDR1.f.rel, IDR1.f.queuesPreset, IDR1.f.tablesPreset]) {
    if (field.of(idr1) === 0) continue;
    throw refusal(`IDR1.${field.specName} is set`, 'only tables and queues at addresses of software are read here');
  }
}

const refusal = (what: string, remedy: string): IommuError =>
  new IommuError('EINVAL', `the SMMU cannot be modelled: ${what}`, { remedy });
