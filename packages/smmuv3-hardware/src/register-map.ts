import type { AnyRegister } from '@iommukit/bitfield';
import {
  AIDR,
  GERROR,
  HTTU,
  IDR0,
  IDR1,
  IDR3,
  IDR5,
  OAS_BITS,
  PAGE1,
  REGISTERS,
  STALL_MODEL,
  STRTAB_FMT,
  TTENDIAN,
  TTF,
  VAX_BITS,
} from '@iommukit/smmuv3-spec';
import type { SmmuCapabilities } from './capabilities.js';

/** Registers of features that this model does not have: they read zero and ignore writes. */
const ABSENT: ReadonlySet<string> = new Set([
  'S2PII',
  'STATUSR',
  'AGBPA',
  'GATOS_CTRL',
  'GATOS_SID',
  'GATOS_ADDR',
  'GATOS_PAR',
  'MPAMIDR',
  'GMPAM',
  'GBPMPAM',
  'VATOS_SEL',
  'IDR6',
]);

/** One 32-bit word of the register file: the register that it belongs to, and which of its words it is. */
export interface RegisterWord {
  readonly register: AnyRegister;
  readonly word: number;
}

/** The words of the register file by (offset within the page) / 4; null where there is no register. */
export const REGISTER_WORDS: readonly (RegisterWord | null)[] = REGISTERS.reduce<(RegisterWord | null)[]>(
  (map, register) => {
    if (ABSENT.has(register.name)) return map;
    for (let word = 0; word < register.words; word++) map[(register.offset % PAGE1) / 4 + word] = { register, word };
    return map;
  },
  new Array<RegisterWord | null>(0x200 / 4).fill(null),
);

/** Masks of GERROR's bits. */
export const GERROR_BIT = {
  CMDQ_ERR: GERROR.f.cmdqErr.maskLo,
  EVENTQ_ABT_ERR: GERROR.f.eventqAbtErr.maskLo,
  PRIQ_ABT_ERR: GERROR.f.priqAbtErr.maskLo,
  MSI_CMDQ_ABT_ERR: GERROR.f.msiCmdqAbtErr.maskLo,
  MSI_EVENTQ_ABT_ERR: GERROR.f.msiEventqAbtErr.maskLo,
  MSI_PRIQ_ABT_ERR: GERROR.f.msiPriqAbtErr.maskLo,
  MSI_GERROR_ABT_ERR: GERROR.f.msiGerrorAbtErr.maskLo,
} as const;

const STALL_MODELS = {
  optional: STALL_MODEL.STALL_AND_TERMINATE,
  none: STALL_MODEL.TERMINATE_ONLY,
  forced: STALL_MODEL.STALL_FORCED,
} as const;

const HTTUS = { none: HTTU.NONE, access: HTTU.ACCESS, dirty: HTTU.ACCESS_DIRTY } as const;

/** What the ID registers say about an SMMU with these capabilities (smmuv3.md 1.2 to 1.4), by offset. */
export function idRegisters(has: SmmuCapabilities): readonly { readonly offset: number; readonly value: number }[] {
  const idr0 = IDR0.pack({
    s2p: bitOf(has.stage2),
    s1p: bitOf(has.stage1),
    ttf: TTF.AARCH64,
    cohacc: bitOf(has.coherent),
    btm: bitOf(has.btm),
    httu: HTTUS[has.httu],
    hyp: bitOf(has.hyp),
    ats: bitOf(has.ats),
    ns1ats: 1,
    asid16: bitOf(has.asid16),
    msi: bitOf(has.msi),
    sev: bitOf(has.sev),
    pri: bitOf(has.pri),
    vmid16: bitOf(has.vmid16),
    cd2l: bitOf(has.cd2l),
    ttendian: TTENDIAN.LITTLE,
    atsrecerr: bitOf(has.ats && has.atsRecordsErrors),
    stallModel: STALL_MODELS[has.stall],
    termModel: bitOf(has.terminateAborts),
    stLevel: has.stream2l ? STRTAB_FMT.TWO_LEVEL : STRTAB_FMT.LINEAR,
  });
  const idr1 = IDR1.pack({
    sidsize: has.sidBits,
    ssidsize: has.ssidBits,
    priqs: has.pri ? has.priqBits : 0,
    eventqs: has.eventqBits,
    cmdqs: has.cmdqBits,
    attrPermsOvr: bitOf(has.permsOverride),
  });
  const idr5 = {
    oas: OAS_BITS.indexOf(has.oas),
    gran4k: bitOf(has.granule4K),
    gran16k: bitOf(has.granule16K),
    gran64k: bitOf(has.granule64K),
    ds: bitOf(has.ds),
    vax: VAX_BITS.indexOf(has.vax),
  };
  const idr3 = { had: 1, xnx: bitOf(has.stage2), pps: bitOf(has.pps), ril: bitOf(has.rangeInvalidation) };
  const stallMax = has.stall === 'none' ? 0 : has.stallMax;
  return [
    { offset: IDR0.offset, value: idr0 },
    { offset: IDR1.offset, value: idr1 },
    { offset: IDR3.offset, value: IDR3.pack(idr3) },
    { offset: IDR5.offset, value: IDR5.pack({ ...idr5, stallMax }) },
    { offset: AIDR.offset, value: AIDR.pack({ archMinorRev: 2 }) },
  ];
}

const bitOf = (value: boolean): number => (value ? 1 : 0);
