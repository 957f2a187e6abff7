import { describe, expect, it } from 'vitest';
import {
  AIDR,
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  CR0,
  CR0ACK,
  CR1,
  CR2,
  EVENTQ_PROD,
  GBPA,
  GERROR,
  GERROR_KNOWN,
  GERRORN,
  IDR0,
  IDR1,
  IDR3,
  IDR5,
  IRQ_CTRL,
  OAS,
  OAS_BITS,
  PAGE1,
  PRIQ_CONS,
  PRIQ_IRQ_CFG0,
  PRIQ_IRQ_CFG2,
  REGISTERS,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from './index.js';

/** smmuv3.md 1.1: name, offset, bits, copied from the sheet. */
const offsets = `
IDR0 0x000 32, IDR1 0x004 32, IDR2 0x008 32, IDR3 0x00c 32, IDR4 0x010 32, IDR5 0x014 32, IIDR 0x018 32, AIDR 0x01c 32,
CR0 0x020 32, CR0ACK 0x024 32, CR1 0x028 32, CR2 0x02c 32, S2PII 0x030 64, STATUSR 0x040 32, GBPA 0x044 32, AGBPA 0x048 32,
IRQ_CTRL 0x050 32, IRQ_CTRLACK 0x054 32, GERROR 0x060 32, GERRORN 0x064 32, GERROR_IRQ_CFG0 0x068 64,
GERROR_IRQ_CFG1 0x070 32, GERROR_IRQ_CFG2 0x074 32, STRTAB_BASE 0x080 64, STRTAB_BASE_CFG 0x088 32, CMDQ_BASE 0x090 64,
CMDQ_PROD 0x098 32, CMDQ_CONS 0x09c 32, EVENTQ_BASE 0x0a0 64, EVENTQ_IRQ_CFG0 0x0b0 64, EVENTQ_IRQ_CFG1 0x0b8 32,
EVENTQ_IRQ_CFG2 0x0bc 32, PRIQ_BASE 0x0c0 64, PRIQ_IRQ_CFG0 0x0d0 64, PRIQ_IRQ_CFG1 0x0d8 32, PRIQ_IRQ_CFG2 0x0dc 32,
GATOS_CTRL 0x100 32, GATOS_SID 0x108 64, GATOS_ADDR 0x110 64, GATOS_PAR 0x118 64, MPAMIDR 0x130 32, GMPAM 0x138 32,
GBPMPAM 0x13c 32, VATOS_SEL 0x180 32, IDR6 0x190 32, EVENTQ_PROD 0x100a8 32, EVENTQ_CONS 0x100ac 32, PRIQ_PROD 0x100c8 32,
PRIQ_CONS 0x100cc 32`;

/** smmuv3.md 1.2 to 1.7: what a field is when it alone is all ones; a register's value. */
const masks = `
IDR0.s2p 0x1, IDR0.s1p 0x2, IDR0.ttf 0xc, IDR0.cohacc 0x10, IDR0.btm 0x20, IDR0.httu 0xc0, IDR0.dormhint 0x100, IDR0.hyp 0x200,
IDR0.ats 0x400, IDR0.ns1ats 0x800, IDR0.asid16 0x1000, IDR0.msi 0x2000, IDR0.sev 0x4000, IDR0.atos 0x8000, IDR0.pri 0x10000,
IDR0.vmw 0x20000, IDR0.vmid16 0x40000, IDR0.cd2l 0x80000, IDR0.vatos 0x100000, IDR0.ttendian 0x600000, IDR0.atsrecerr 0x800000,
IDR0.stallModel 0x3000000, IDR0.termModel 0x4000000, IDR0.stLevel 0x18000000, IDR0.rmeImpl 0x40000000,
IDR1.sidsize 0x3f, IDR1.ssidsize 0x7c0, IDR1.priqs 0xf800, IDR1.eventqs 0x1f0000, IDR1.cmdqs 0x3e00000,
IDR1.attrPermsOvr 0x4000000, IDR1.attrTypesOvr 0x8000000, IDR1.rel 0x10000000, IDR1.queuesPreset 0x20000000,
IDR1.tablesPreset 0x40000000, IDR1.ecmdq 0x80000000,
IDR3.had 0x4, IDR3.pbha 0x8, IDR3.xnx 0x10, IDR3.pps 0x20, IDR3.mpam 0x80, IDR3.fwb 0x100, IDR3.stt 0x200, IDR3.ril 0x400,
IDR3.bbml 0x1800, IDR3.e0pd 0x2000, IDR3.ptwnnc 0x4000, IDR3.dpt 0x8000, IDR3.pasidtt 0x10000, IDR3.epan 0x20000,
IDR3.s1pi 0x40000, IDR3.s2pi 0x80000, IDR3.s2po 0x100000, IDR3.the 0x200000, IDR3.mteperm 0x400000, IDR3.aie 0x800000,
IDR2.baVatos 0x3ff, IDR6.cmdqControlPageLog2nump 0xf0000, IDR6.cmdqControlPageLog2numq 0xf000000,
IDR5.oas 0x7, IDR5.gran4k 0x10, IDR5.gran16k 0x20, IDR5.gran64k 0x40, IDR5.ds 0x80, IDR5.d128 0x100, IDR5.vax 0xc00,
IDR5.stallMax 0xffff0000,
IIDR.productId 0xfff00000, IIDR.variant 0xf0000, IIDR.revision 0xf000, IIDR.implementer 0xfff,
AIDR.archMajorRev 0xf0, AIDR.archMinorRev 0xf,
CR0.smmuen 0x1, CR0.priqen 0x2, CR0.eventqen 0x4, CR0.cmdqen 0x8, CR0.atschk 0x10, CR0.vmw 0x1c0, CR0.dptWalkEn 0x400,
CR0ACK.smmuen 0x1, CR0ACK.priqen 0x2, CR0ACK.eventqen 0x4, CR0ACK.cmdqen 0x8, CR0ACK.atschk 0x10, CR0ACK.vmw 0x1c0,
CR0ACK.dptWalkEn 0x400, STATUSR.dormant 0x1,
CR1.queueIc 0x3, CR1.queueOc 0xc, CR1.queueSh 0x30, CR1.tableIc 0xc0, CR1.tableOc 0x300, CR1.tableSh 0xc00,
CR2.e2h 0x1, CR2.recinvsid 0x2, CR2.ptm 0x4, CR2.recCfgAts 0x8,
GBPA.memAttr 0xf, GBPA.mtcfg 0x10, GBPA.alloccfg 0xf00, GBPA.shcfg 0x3000, GBPA.privcfg 0x30000, GBPA.instcfg 0xc0000,
GBPA.abort 0x100000, GBPA.update 0x80000000,
IRQ_CTRL.gerrorIrqen 0x1, IRQ_CTRL.priqIrqen 0x2, IRQ_CTRL.eventqIrqen 0x4,
IRQ_CTRLACK.gerrorIrqen 0x1, IRQ_CTRLACK.priqIrqen 0x2, IRQ_CTRLACK.eventqIrqen 0x4,
GERROR.cmdqErr 0x1, GERROR.eventqAbtErr 0x4, GERROR.priqAbtErr 0x8, GERROR.msiCmdqAbtErr 0x10, GERROR.msiEventqAbtErr 0x20,
GERROR.msiPriqAbtErr 0x40, GERROR.msiGerrorAbtErr 0x80, GERROR.sfmErr 0x100, GERROR.cmdqpErr 0x200, GERROR.dptErr 0x400,
GERROR_IRQ_CFG0.addr 0xffffffffffffc, GERROR_IRQ_CFG1.data 0xffffffff, GERROR_IRQ_CFG2.memAttr 0xf, GERROR_IRQ_CFG2.sh 0x30,
EVENTQ_IRQ_CFG0.addr 0xffffffffffffc, EVENTQ_IRQ_CFG2.memAttr 0xf, EVENTQ_IRQ_CFG2.sh 0x30,
PRIQ_IRQ_CFG0.addr 0xffffffffffffc, PRIQ_IRQ_CFG2.lo 0x80000000,
STRTAB_BASE.addr 0xffffffffffffc0, STRTAB_BASE.ra 0x4000000000000000,
STRTAB_BASE_CFG.log2size 0x3f, STRTAB_BASE_CFG.split 0x7c0, STRTAB_BASE_CFG.fmt 0x30000,
CMDQ_BASE.log2size 0x1f, CMDQ_BASE.addr 0xffffffffffffe0, CMDQ_BASE.ra 0x4000000000000000,
EVENTQ_BASE.log2size 0x1f, EVENTQ_BASE.addr 0xffffffffffffe0, EVENTQ_BASE.wa 0x4000000000000000,
PRIQ_BASE.log2size 0x1f, PRIQ_BASE.addr 0xffffffffffffe0, PRIQ_BASE.wa 0x4000000000000000,
CMDQ_PROD.wr 0xfffff, CMDQ_CONS.rd 0xfffff, CMDQ_CONS.err 0x7f000000,
EVENTQ_PROD.wr 0xfffff, EVENTQ_PROD.ovflg 0x80000000, PRIQ_PROD.wr 0xfffff, PRIQ_PROD.ovflg 0x80000000,
EVENTQ_CONS.rd 0xfffff, EVENTQ_CONS.ovackflg 0x80000000, PRIQ_CONS.rd 0xfffff, PRIQ_CONS.ovackflg 0x80000000`;

const items = (text: string): string[][] =>
  text
    .trim()
    .split(/,\s+/)
    .map((item) => item.split(' '));

describe('registers', () => {
  it('stand where the specification has them', () => {
    const declared = REGISTERS.map((r) => [r.name, r.offset, r.bytes * 8]);
    expect(declared).toEqual(items(offsets).map(([name, at, size]) => [name, Number(at), Number(size)]));
  });

  it.each(items(masks))('%s has the bits %s', (path, mask) => {
    const [name, key] = path.split('.');
    const register = REGISTERS.find((candidate) => candidate.name === name);
    const bits = BigInt(mask);
    const ones = Uint32Array.of(Number(bits & 0xffff_ffffn), Number(bits >> 32n)).slice(0, (register?.bytes ?? 0) / 4);
    const value = register?.decode(ones)[key];
    expect([...(register?.make({ [key]: value }) ?? [])]).toEqual([...ones]);
    const field = register?.fields.find((candidate) => candidate.key === key);
    const full = field?.shape === 'address' ? Number(bits) : 2 ** (field?.width ?? 0) - 1;
    expect(value).toBe(full);
  });

  it('reset to zero, but for GBPA, which keeps the incoming shareability', () => {
    const set = REGISTERS.filter((r) => r.reset().some((word) => word !== 0)).map((r) => r.name);
    expect(set).toEqual(['GBPA']);
    expect(GBPA.unpack(GBPA.reset()[0])).toMatchObject({ shcfg: 1, abort: 0, update: 0 });
  });

  it('do not take writes to identification, acknowledgement and error registers', () => {
    const fixed = REGISTERS.filter((r) => r.writeWord(0, 0, 0xffff_ffff) === 0).map((r) => r.name);
    expect(fixed).toEqual([
      'IDR0',
      'IDR1',
      'IDR2',
      'IDR3',
      'IDR4',
      'IDR5',
      'IIDR',
      'AIDR',
      'CR0ACK',
      'STATUSR',
      'IRQ_CTRLACK',
      'GERROR',
      'GATOS_PAR',
      'MPAMIDR',
      'IDR6',
    ]);
    expect(CR0.writeWord(0, 0, 0xffff_ffff)).toBe(0x5df);
    expect(GERRORN.writeWord(0, 0, 0xffff_ffff)).toBe(0x7fd);
    expect(GERROR_KNOWN).toBe(0x1fd);
  });

  it('have the queue indexes of the output queues in register page 1', () => {
    expect([EVENTQ_PROD.offset - PAGE1, PRIQ_CONS.offset - PAGE1]).toEqual([0xa8, 0xcc]);
  });

  it('read as what a Linux 6.12 kernel left in them', () => {
    expect(IDR0.unpack(0x0d44_101b)).toMatchObject({
      s1p: 1,
      s2p: 1,
      ttf: 2,
      cohacc: 1,
      btm: 0,
      ats: 0,
      asid16: 1,
      pri: 0,
      vmid16: 1,
      ttendian: 2,
      stallModel: 1,
      termModel: 1,
      stLevel: 1,
    });
    expect(IDR1.unpack(0x0273_0010)).toMatchObject({ sidsize: 16, ssidsize: 0, eventqs: 19, cmdqs: 19, priqs: 0 });
    expect(IDR3.unpack(0x1414)).toMatchObject({ had: 1, xnx: 1, ril: 1, bbml: 2 });
    expect(IDR5.unpack(0x74)).toMatchObject({
      oas: OAS.BITS_44,
      gran4k: 1,
      gran16k: 1,
      gran64k: 1,
      vax: 0,
      stallMax: 0,
    });
    expect(AIDR.unpack(1)).toEqual({ archMajorRev: 0, archMinorRev: 1 });
    expect(CR0.unpack(0xd)).toMatchObject({ smmuen: 1, priqen: 0, eventqen: 1, cmdqen: 1, atschk: 0 });
    expect(CR0ACK.unpack(0xd)).toEqual(CR0.unpack(0xd));
    expect(CR1.unpack(0xd75)).toEqual({ queueIc: 1, queueOc: 1, queueSh: 3, tableIc: 1, tableOc: 1, tableSh: 3 });
    expect(CR2.unpack(6)).toMatchObject({ e2h: 0, recinvsid: 1, ptm: 1 });
    expect(IRQ_CTRL.unpack(5)).toEqual({ gerrorIrqen: 1, priqIrqen: 0, eventqIrqen: 1 });
    expect(STRTAB_BASE.decode(Uint32Array.of(0x4822_d000, 0x4000_0000))).toEqual({ addr: 0x4822_d000, ra: 1 });
    expect(STRTAB_BASE_CFG.unpack(0x1_0210)).toEqual({ log2size: 16, split: 8, fmt: 1 });
    expect(CMDQ_BASE.decode(Uint32Array.of(0x40b0_0010, 0x4000_0000))).toEqual({
      log2size: 16,
      addr: 0x40b0_0000,
      ra: 1,
    });
    expect([CMDQ_PROD.unpack(0x1_cfe1).wr, CMDQ_CONS.unpack(0x1_cfe1)]).toEqual([0x1_cfe1, { rd: 0x1_cfe1, err: 0 }]);
    expect(GERROR.unpack(0).cmdqErr).toBe(0);
  });

  it('take an MSI address and tell when the PRI queue interrupts', () => {
    expect([...PRIQ_IRQ_CFG0.make({ addr: 0x8_0809_0040 })]).toEqual([0x0809_0040, 8]);
    expect(PRIQ_IRQ_CFG2.pack({ lo: 1, sh: 3, memAttr: 1 })).toBe(0x8000_0031);
  });

  it('know the address sizes by encoding', () => {
    expect(Object.entries(OAS).map(([name, code]) => [name, `BITS_${OAS_BITS[code]}`])).toEqual(
      Object.keys(OAS).map((name) => [name, name]),
    );
  });
});
