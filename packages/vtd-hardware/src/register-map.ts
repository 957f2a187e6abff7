import type { AnyLayout, AnyRegister } from '@iommukit/bitfield';
import {
  CAP,
  CCMD,
  ECAP,
  FEUADDR,
  FRCD,
  FRCD_BYTES,
  FSTS,
  ICS,
  IEADDR,
  IECTL,
  IEDATA,
  IEUADDR,
  IOTLB_REGISTERS,
  IQA,
  IQERCD,
  IQH,
  IQT,
  PEADDR,
  PECTL,
  PEDATA,
  PEUADDR,
  PQA,
  PQH,
  PQT,
  PRS,
  REGISTERS,
  VER,
} from '@iommukit/vtd-spec';
import type { VtdCapabilities } from './capabilities.js';

/** Bytes of the register window. */
export const WINDOW_BYTES = 0x1000;

/** One 32-bit word of the register file: the register that it belongs to, and which of its words it is. */
export interface RegisterWord {
  readonly register: AnyLayout;
  readonly word: number;
}

/** Registers of what this model never has: they read zero and ignore writes. */
const NEVER = /^(AFLOG|PMEN|PLM|PHM|IRTA|MTRR|PERF|EC(MD|EO|RSP|CAP\d))/;
/** Without interrupt remapping there are no x2APIC destinations. */
const NO_X2APIC: readonly AnyRegister[] = [FEUADDR, IEUADDR, PEUADDR];
const QUEUE: readonly AnyRegister[] = [IQH, IQT, IQA, ICS, IECTL, IEDATA, IEADDR, IEUADDR, IQERCD];
const PAGE_REQUESTS: readonly AnyRegister[] = [PQH, PQT, PQA, PRS, PECTL, PEDATA, PEADDR, PEUADDR];

function absent(register: AnyRegister, has: VtdCapabilities): boolean {
  if (NEVER.test(register.name) || NO_X2APIC.includes(register)) return true;
  if (!has.qi && QUEUE.includes(register)) return true;
  if (!has.prs && PAGE_REQUESTS.includes(register)) return true;
  // From architecture version 6 on there is only the queue (1.6).
  return has.version >= 6 && register.offset === CCMD.offset;
}

/** The words of the register file by offset / 4; null where there is no register. */
export function registerWords(has: VtdCapabilities): readonly (RegisterWord | null)[] {
  const map = new Array<RegisterWord | null>(WINDOW_BYTES / 4).fill(null);
  const put = (register: AnyLayout, offset: number): void => {
    for (let word = 0; word < register.words; word++) map[offset / 4 + word] = { register, word };
  };
  for (const register of REGISTERS) if (!absent(register, has)) put(register, register.offset);
  for (const register of IOTLB_REGISTERS) put(register, has.iro * 16 + register.offset);
  for (let n = 0; n <= has.nfr; n++) put(FRCD, has.fro * 16 + n * FRCD_BYTES);
  return map;
}

/** Masks of FSTS's bits. */
export const FSTS_BIT = {
  PFO: FSTS.f.pfo.maskLo,
  PPF: FSTS.f.ppf.maskLo,
  IQE: FSTS.f.iqe.maskLo,
  ICE: FSTS.f.ice.maskLo,
  ITE: FSTS.f.ite.maskLo,
  PRO: FSTS.f.pro.maskLo,
} as const;

/** What VER, CAP and ECAP say about a unit with these capabilities (vtd.md 1.1 to 1.3): 32-bit words by offset. */
export function idRegisters(has: VtdCapabilities): readonly { readonly offset: number; readonly value: number }[] {
  const cap = CAP.make({
    nd: has.nd,
    rwbf: bit(has.rwbf),
    cm: bit(has.cm),
    sagaw: has.sagaw,
    mgaw: has.mgaw,
    zlr: bit(has.zlr),
    fro: has.fro,
    sllps: has.sllps,
    psi: bit(has.psi),
    nfr: has.nfr,
    mamv: has.mamv,
    dwd: bit(has.dwd),
    drd: bit(has.drd),
    fl1gp: bit(has.fl1gp),
    fl5lp: bit(has.fl5lp),
    esrtps: bit(has.esrtps),
  });
  const ecap = ECAP.make({
    c: bit(has.c),
    qi: bit(has.qi),
    dt: bit(has.dt),
    pt: bit(has.pt),
    sc: bit(has.sc),
    iro: has.iro,
    ecs: bit(has.ecs),
    mts: bit(has.mts),
    dis: bit(has.dis),
    prs: bit(has.prs),
    ers: bit(has.ers),
    srs: bit(has.srs),
    nwfs: bit(has.nwfs),
    eafs: bit(has.eafs),
    pss: has.pss,
    pasid: bit(has.pasid),
    dit: bit(has.dit),
    pds: bit(has.pds),
    smts: bit(has.smts),
    slads: bit(has.slads),
    slts: bit(has.slts),
    flts: bit(has.flts),
    smpwcs: bit(has.smpwcs),
    rps: bit(has.rps),
    adms: bit(has.adms),
    rprivs: bit(has.rprivs),
    sms: bit(has.sms),
  });
  return [
    { offset: VER.offset, value: VER.pack({ max: has.version }) },
    { offset: CAP.offset, value: cap[0] },
    { offset: CAP.offset + 4, value: cap[1] },
    { offset: ECAP.offset, value: ecap[0] },
    { offset: ECAP.offset + 4, value: ecap[1] },
  ];
}

const bit = (value: boolean): number => (value ? 1 : 0);
