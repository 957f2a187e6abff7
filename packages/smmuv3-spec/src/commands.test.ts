import { describe, expect, it } from 'vitest';
import { hex, words } from '../test/words.js';
import {
  AtcInv,
  CfgiAll,
  CfgiCd,
  CfgiCdAll,
  CfgiSte,
  CfgiSteRange,
  COMMANDS,
  Command,
  OPCODE,
  PRI_RESP,
  PrefetchAddr,
  PrefetchConfig,
  PriResp,
  Resume,
  StallTerm,
  SYNC_CS,
  Sync,
  TLBI_TG,
  TlbiEl2All,
  TlbiEl2Asid,
  TlbiEl2Va,
  TlbiEl2Vaa,
  TlbiNhAll,
  TlbiNhAsid,
  TlbiNhVa,
  TlbiNhVaa,
  TlbiNsnhAll,
  TlbiS2Ipa,
  TlbiS12Vmall,
} from './index.js';

/** smmuv3.md 4.3, then one line for every other command, worked out from 4.2 by hand. */
const encodings: [string, Uint32Array, string, string][] = [
  ['CFGI_STE', CfgiSte.make({ sid: 0x42, leaf: 1 }), '0x0000004200000003', '0x0000000000000001'],
  ['CFGI_ALL', CfgiAll.make(), '0x0000000000000004', '0x000000000000001f'],
  ['CFGI_CD', CfgiCd.make({ sid: 0x42, ssid: 0x12345, leaf: 1 }), '0x0000004212345005', '0x0000000000000001'],
  ['NH_ASID', TlbiNhAsid.make({ asid: 0x1234 }), '0x1234000000000011', '0x0000000000000000'],
  [
    'NH_VA leaf',
    TlbiNhVa.make({ asid: 0x12, addr: 0x7f12_3456_7000, leaf: 1 }),
    '0x0012000000000012',
    '0x00007f1234567001',
  ],
  [
    'NH_VA range',
    TlbiNhVa.make({ asid: 0x12, addr: 0x40_0000, num: 0, scale: 4, tg: TLBI_TG.GRANULE_4K }),
    '0x0012000000400012',
    '0x0000000000400400',
  ],
  ['EL2_VA', TlbiEl2Va.make({ asid: 0x12, addr: 0x7f12_3456_7000 }), '0x0012000000000022', '0x00007f1234567000'],
  [
    'ATC_INV of pages 8 to 11',
    AtcInv.make({ sid: 0x42, ssv: 1, ssid: 5, size: 2, addr: 0x8000 }),
    '0x0000004200005840',
    '0x0000000000008002',
  ],
  [
    'ATC_INV of a PASID',
    AtcInv.make({ sid: 0x42, ssv: 1, ssid: 5, size: 52 }),
    '0x0000004200005840',
    '0x0000000000000034',
  ],
  ['ATC_INV of a stream', AtcInv.make({ sid: 0x42, size: 52 }), '0x0000004200000040', '0x0000000000000034'],
  [
    'PRI_RESP',
    PriResp.make({ sid: 0x42, ssv: 1, ssid: 5, prgIndex: 0x1ff, resp: PRI_RESP.SUCCESS }),
    '0x0000004200005841',
    '0x00000000000021ff',
  ],
  ['RESUME retry', Resume.make({ sid: 0x42, ac: 1, stag: 0xbeef }), '0x0000004200001044', '0x000000000000beef'],
  ['SYNC by event', Sync.make({ cs: SYNC_CS.SEV, msh: 3, msiattr: 0xf }), '0x000000000fc02046', '0x0000000000000000'],
  // 4.2
  [
    'PREFETCH_CONFIG',
    PrefetchConfig.make({ ssv: 1, ssid: 0xfffff, sid: 0xffff_ffff }),
    '0xfffffffffffff801',
    '0x0000000000000000',
  ],
  [
    'PREFETCH_ADDR',
    PrefetchAddr.make({ sid: 1, size: 0x1f, stride: 0x1f, addr: 0x1000 }),
    '0x0000000100000002',
    '0x00000000000013ff',
  ],
  ['CFGI_STE_RANGE', CfgiSteRange.make({ sid: 0x100, range: 7 }), '0x0000010000000004', '0x0000000000000007'],
  ['CFGI_CD_ALL', CfgiCdAll.make({ sid: 0x42 }), '0x0000004200000006', '0x0000000000000000'],
  ['NH_ALL', TlbiNhAll.make({ vmid: 0xabcd }), '0x0000abcd00000010', '0x0000000000000000'],
  [
    'NH_VA of everything',
    TlbiNhVa.make({ vmid: 0xffff, asid: 0xffff, num: 31, scale: 31, ttl: 3, tg: 3, leaf: 1, addr: 2 ** 64 - 4096 }),
    '0xffffffff01f1f012',
    '0xffffffffffffff01',
  ],
  ['NH_VAA', TlbiNhVaa.make({ vmid: 7, addr: 0x1000, ttl: 2 }), '0x0000000700000013', '0x0000000000001200'],
  ['EL2_ALL', TlbiEl2All.make(), '0x0000000000000020', '0x0000000000000000'],
  ['EL2_ASID', TlbiEl2Asid.make({ asid: 0x12 }), '0x0012000000000021', '0x0000000000000000'],
  ['EL2_VAA', TlbiEl2Vaa.make({ addr: 0x2000, leaf: 1 }), '0x0000000000000023', '0x0000000000002001'],
  ['S12_VMALL', TlbiS12Vmall.make({ vmid: 0x12 }), '0x0000001200000028', '0x0000000000000000'],
  ['S2_IPA', TlbiS2Ipa.make({ vmid: 3, addr: 0x8000_0000_0000, leaf: 1 }), '0x000000030000002a', '0x0000800000000001'],
  ['NSNH_ALL', TlbiNsnhAll.make(), '0x0000000000000030', '0x0000000000000000'],
  ['ATC_INV global', AtcInv.make({ sid: 1, ssv: 1, ssid: 1, global: 1 }), '0x0000000100001a40', '0x0000000000000000'],
  ['RESUME abort', Resume.make({ sid: 1, ab: 1, stag: 1 }), '0x0000000100002044', '0x0000000000000001'],
  ['STALL_TERM', StallTerm.make({ sid: 0x42 }), '0x0000004200000045', '0x0000000000000000'],
  [
    'SYNC by interrupt',
    Sync.make({ cs: SYNC_CS.IRQ, msidata: 0xdead_beef, msiaddr: 0x809_0040 }),
    '0xdeadbeef00001046',
    '0x0000000008090040',
  ],
];

describe('commands', () => {
  it.each(encodings)('encode %s as the specification does', (_, command, dw0, dw1) => {
    expect(hex(command)).toEqual([dw0, dw1]);
  });

  it.each(encodings)('decode %s through the map from opcode to declaration', (_, command) => {
    const layout = COMMANDS[Command.f.opcode.get(command)];
    expect(layout).toBeDefined();
    expect(hex(layout?.make(layout.decode(command)) ?? new Uint32Array(4))).toEqual(hex(command));
    expect(layout?.hasReserved(command)).toBe(false);
  });

  it('have every opcode of the table, and a declaration under its own opcode', () => {
    for (const [opcode, layout] of Object.entries(COMMANDS)) {
      expect(layout?.make()[0], layout?.name).toBe(Number(opcode));
      expect(layout?.name).toBe(`CMD_${Command.f.opcode.nameOf(Number(opcode))}`);
    }
    const undescribed = Object.keys(OPCODE).filter((name) => !(OPCODE[name as keyof typeof OPCODE] in COMMANDS));
    expect(undescribed).toEqual([
      'CFGI_VMS_PIDM',
      'TLBI_EL3_ALL',
      'TLBI_EL3_VA',
      'TLBI_S_EL2_ALL',
      'TLBI_S_EL2_ASID',
      'TLBI_S_EL2_VA',
      'TLBI_S_EL2_VAA',
      'TLBI_S_S12_VMALL',
      'TLBI_S_S2_IPA',
      'TLBI_SNH_ALL',
      'DPTI_ALL',
      'DPTI_PA',
    ]);
  });

  it('have the opcodes of the specification', () => {
    expect(OPCODE).toEqual({
      PREFETCH_CONFIG: 0x01,
      PREFETCH_ADDR: 0x02,
      CFGI_STE: 0x03,
      CFGI_STE_RANGE: 0x04,
      CFGI_CD: 0x05,
      CFGI_CD_ALL: 0x06,
      CFGI_VMS_PIDM: 0x07,
      TLBI_NH_ALL: 0x10,
      TLBI_NH_ASID: 0x11,
      TLBI_NH_VA: 0x12,
      TLBI_NH_VAA: 0x13,
      TLBI_EL3_ALL: 0x18,
      TLBI_EL3_VA: 0x1a,
      TLBI_EL2_ALL: 0x20,
      TLBI_EL2_ASID: 0x21,
      TLBI_EL2_VA: 0x22,
      TLBI_EL2_VAA: 0x23,
      TLBI_S12_VMALL: 0x28,
      TLBI_S2_IPA: 0x2a,
      TLBI_NSNH_ALL: 0x30,
      ATC_INV: 0x40,
      PRI_RESP: 0x41,
      RESUME: 0x44,
      STALL_TERM: 0x45,
      SYNC: 0x46,
      TLBI_S_EL2_ALL: 0x50,
      TLBI_S_EL2_ASID: 0x51,
      TLBI_S_EL2_VA: 0x52,
      TLBI_S_EL2_VAA: 0x53,
      TLBI_S_S12_VMALL: 0x58,
      TLBI_S_S2_IPA: 0x5a,
      TLBI_SNH_ALL: 0x60,
      DPTI_ALL: 0x70,
      DPTI_PA: 0x73,
    });
  });

  it('decode a range invalidation as a Linux 6.12 kernel wrote it', () => {
    expect(TlbiNhVa.decode(words(0x0005_0000_0050_0012n, 0xfff6_0701n))).toEqual({
      opcode: OPCODE.TLBI_NH_VA,
      num: 0,
      scale: 5,
      vmid: 0,
      asid: 5,
      leaf: 1,
      ttl: 3,
      tg: TLBI_TG.GRANULE_4K,
      addr: 0xfff6_0000,
    });
  });

  it('show the Secure bit that a Non-secure queue must refuse', () => {
    expect(Command.f.ssec.get(words(0x400n | 3n, 0n))).toBe(1);
  });
});
