import { describe, expect, it } from 'vitest';
import { hex, words } from '../test/words.js';
import * as s from './index.js';

/** vtd.md 9.1: what is made, and its words as literals; those that are not given are 0. */
const golden: [string, Uint32Array, bigint[]][] = [
  [
    'context-cache device-selective, DID 0, SID 0x0100, FM 0',
    s.ContextCacheInv256.make({ g: 3, did: 0, sid: 0x100, fm: 0 }),
    [0x0000010000000031n, 0x0000000000000000n],
  ],
  [
    'IOTLB domain-selective, DID 7, DW DR',
    s.IotlbInv256.make({ g: 2, dw: 1, dr: 1, did: 7 }),
    [0x00000000000700e2n, 0x0000000000000000n],
  ],
  [
    'IOTLB page-selective, DID 7, DW DR, 2 MiB at 0x40000000',
    s.IotlbInv256.make({ g: 3, dw: 1, dr: 1, did: 7, am: 9, addr: 0x4000_0000 }),
    [0x00000000000700f2n, 0x0000000040000009n],
  ],
  [
    'device-TLB everything, SID 0x0100, MIP 0',
    s.DeviceTlbInv256.make({ mip: 0, sid: 0x100, ...s.encodeDeviceTlbRange(0, 52) }),
    [0x0000010000000003n, 0x7ffffffffffff001n],
  ],
  ['IEC global', s.InterruptEntryInv256.make({ g: 0 }), [0x0000000000000004n, 0x0000000000000000n]],
  [
    'IEC index 0x12, mask 2',
    s.InterruptEntryInv256.make({ g: 1, im: 2, iidx: 0x12 }),
    [0x0000001210000014n, 0x0000000000000000n],
  ],
  [
    'wait: status write of 2 to 0x1000',
    s.InvWait256.make({ sw: 1, statusData: 2, statusAddress: 0x1000 }),
    [0x0000000200000025n, 0x0000000000001000n],
  ],
  [
    'wait: same with page-request drain',
    s.InvWait256.make({ sw: 1, pd: 1, statusData: 2, statusAddress: 0x1000 }),
    [0x00000002000000a5n, 0x0000000000001000n],
  ],
  ['wait: fence only', s.InvWait256.make({ fn: 1, statusData: 2 }), [0x0000000200000045n, 0x0000000000000000n]],
  [
    'PASID IOTLB PASID-selective, DID 1, PASID 5',
    s.PasidIotlbInv.make({ g: 2, did: 1, pasid: 5 }),
    [0x0000000500010026n, 0x0000000000000000n],
  ],
  [
    'PASID IOTLB page-selective, DID 1, PASID 5, 4 pages at 0x7f0000004000',
    s.PasidIotlbInv.make({ g: 3, did: 1, pasid: 5, am: 2, addr: 0x7f00_0000_4000 }),
    [0x0000000500010036n, 0x00007f0000004002n],
  ],
  [
    'PASID-cache PASID-selective, DID 1, PASID 5',
    s.PasidCacheInv.make({ g: 1, did: 1, pasid: 5 }),
    [0x0000000500010017n, 0x0000000000000000n],
  ],
  ['PASID-cache global', s.PasidCacheInv.make({ g: 3 }), [0x0000000000000037n, 0x0000000000000000n]],
  [
    'PASID device-TLB everything, SID 0x0100, PASID 5',
    s.PasidDeviceTlbInv.make({ sid: 0x100, pasid: 5, ...s.encodeDeviceTlbRange(0, 52) }),
    [0x0000000501000008n, 0x7ffffffffffff800n],
  ],
  [
    'PASID device-TLB 256 KiB at 0x123440000',
    s.PasidDeviceTlbInv.make({ sid: 0x100, pasid: 5, ...s.encodeDeviceTlbRange(0x1_2344_0000, 6) }),
    [0x0000000501000008n, 0x000000012345f800n],
  ],
  [
    'page group response success, RID 0x0100, PASID 5, PRGI 7 (scalable)',
    s.PageGroupResponse.make({ pp: 1, rc: 0, rid: 0x100, pasid: 5, prgi: 7 }),
    [0x0000000501000019n, 0x0000000000000038n],
  ],
  [
    'page group response invalid request, same ids (scalable)',
    s.PageGroupResponse.make({ pp: 1, rc: 1, rid: 0x100, pasid: 5, prgi: 7 }),
    [0x0000000501001019n, 0x0000000000000038n],
  ],
  [
    'page group response invalid, same ids (extended)',
    s.EcsPageGroupResponse.make({ pp: 1, rc: 1, rid: 0x100, pasid: 5, prgi: 7 }),
    [0x0000000501000019n, 0x0380000000000001n],
  ],
  [
    'page stream response success, bus 1 devfn 0, PASID 5, PRGI 7 (extended)',
    s.EcsPageStreamResponse.make({ pasid: 5, bus: 1, devfn: 0, prgi: 7, rc: 0, addr: 0x7f00_0000_1000 }),
    [0x038000000100005an, 0x00007f0000001000n],
  ],
  [
    'page request read+write, last, RID 0x0100, PASID 5, PRGI 7 (scalable)',
    s.PageRequest.make({ pp: 1, rid: 0x100, pasid: 5, rdr: 1, wrr: 1, lpig: 1, prgi: 7, addr: 0x7f00_0000_1000 }),
    [0x0000000501000101n, 0x00007f000000103fn],
  ],
  [
    'stop marker, same ids (scalable)',
    s.PageRequest.make({ pp: 1, rid: 0x100, pasid: 5, lpig: 1, prgi: 7 }),
    [0x0000000501000101n, 0x000000000000003cn],
  ],
  [
    'page request read+write, last, bus 1 devfn 0, PASID 5, PRGI 7 (extended)',
    s.EcsPageRequest.make({
      pp: 1,
      lpig: 1,
      pasid: 5,
      bus: 1,
      devfn: 0,
      prgi: 7,
      rd: 1,
      wr: 1,
      addr: 0x7f00_0000_1000,
    }),
    [0x038000000100005cn, 0x00007f0000001003n],
  ],
  [
    'fault record, read, first-stage not present, SID 0x0100, PASID 5, addr 0x7f0000001000',
    s.FRCD.make({ fi: 0x7f00_0000_1000, sid: 0x100, pp: 1, fr: 0x71, pv: 5, ...s.faultTypeBits(2), f: 1 }),
    [0x00007f0000001000n, 0xc000057180000100n],
  ],
  [
    'PASID entry, first-stage 4-level, DID 1, PWSNP, AW 2, table 0x12345000',
    s.PasidEntry.make({ p: 1, aw: 2, pgtt: 1, did: 1, pwsnp: 1, flpm: 0, flptptr: 0x1234_5000 }),
    [0x0000000000000049n, 0x0000000000800001n, 0x0000000012345000n],
  ],
  [
    'PASID entry, same, 5-level',
    s.PasidEntry.make({ p: 1, aw: 2, pgtt: 1, did: 1, pwsnp: 1, flpm: 1, flptptr: 0x1234_5000 }),
    [0x0000000000000049n, 0x0000000000800001n, 0x0000000012345004n],
  ],
  ['PASID entry left by mm release', s.PasidEntry.make({ fpd: 1 }), [0x0000000000000002n]],
  [
    'scalable context, directory 0x200000, PDTS 2, DTE PASIDE PRE, RID_PASID 0',
    s.ContextEntry.make({ p: 1, dte: 1, paside: 1, pre: 1, pdts: 2, pasiddirptr: 0x20_0000, ridPasid: 0 }),
    [0x000000000020041dn, 0x0000000000000000n],
  ],
];

describe('golden vectors', () => {
  it.each(golden)('%s', (_, made, literals) => {
    const expected = new Uint32Array(made.length);
    expected.set(words(...literals));
    expect(hex(made)).toEqual(hex(expected));
  });

  it('are all 27 of the fact sheet', () => {
    expect(golden.length).toBe(27);
  });

  it('are the same words in descriptors of 128 bits', () => {
    const values = { g: 3, dw: 1, dr: 1, did: 7, am: 9, addr: 0x4000_0000 } as const;
    expect([...s.IotlbInv.make(values)]).toEqual([0x0007_00f2, 0, 0x4000_0009, 0]);
    expect([...s.ContextCacheInv.make({ g: 3, sid: 0x100 })]).toEqual([0x31, 0x100, 0, 0]);
    expect([...s.DeviceTlbInv.make({ sid: 0x100, addr: 0x7fff_ffff_ffff_f000, s: 1 })]).toEqual([
      3, 0x100, 0xffff_f001, 0x7fff_ffff,
    ]);
    expect([...s.InterruptEntryInv.make({ g: 1, im: 2, iidx: 0x12 })]).toEqual([0x1000_0014, 0x12, 0, 0]);
    expect([...s.InvWait.make({ sw: 1, statusData: 2, statusAddress: 0x1000 })]).toEqual([0x25, 2, 0x1000, 0]);
  });
});

describe('tables that kernels wrote', () => {
  it('read as first-stage entries: low byte 0x89 of a PASID entry is P, AW 2, PGTT 2 (vtd.md 7.6)', () => {
    const entry = s.PasidEntry.decode(words(0x5089n, 0x80_0002n, 0n, 0n, 0n, 0n, 0n, 0n));
    expect(entry).toMatchObject({ p: 1, fpd: 0, aw: 2, pgtt: 2, slptptr: 0x5000, pwsnp: 1, did: 2 });
  });

  it('have NXE in a 6.1 kernel, at bit 5 of the third word (D-10)', () => {
    const entry = s.PasidEntry.decode(words(0x49n, 0x80_0001n, 0x1234_5020n, 0n, 0n, 0n, 0n, 0n));
    expect(entry).toMatchObject({ nxe: 1, flptptr: 0x1234_5000 });
  });
});

describe('maps of descriptors', () => {
  it('find every descriptor by its type', () => {
    const types = (map: Readonly<Partial<Record<number, { readonly name: string; readonly bytes: number }>>>) =>
      Object.entries(map).map(([type, layout]) => `${type} ${layout?.name} ${layout?.bytes}`);
    expect(types(s.DESCRIPTORS_128)).toEqual([
      '1 cc_inv 16',
      '2 iotlb_inv 16',
      '3 dev_tlb_inv 16',
      '4 iec_inv 16',
      '5 inv_wait 16',
    ]);
    expect(types(s.DESCRIPTORS_256)).toEqual([
      '1 cc_inv 32',
      '2 iotlb_inv 32',
      '3 dev_tlb_inv 32',
      '4 iec_inv 32',
      '5 inv_wait 32',
      '6 p_iotlb_inv 32',
      '7 pc_inv 32',
      '8 p_dev_tlb_inv 32',
      '9 page_grp_resp 32',
    ]);
    expect(types(s.DESCRIPTORS_ECS).map((text) => text.split(' ')[0])).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(String),
    );
    for (const map of [s.DESCRIPTORS_128, s.DESCRIPTORS_256, s.DESCRIPTORS_ECS]) {
      for (const [type, layout] of Object.entries(map)) expect(layout?.make({})[0]).toBe(Number(type));
    }
  });

  it('read types of seven bits, and of four in the extended mode', () => {
    expect(s.descriptorType(0x0001_0026)).toBe(6);
    expect(s.descriptorType(0xe35)).toBe(0x75);
    expect(s.descriptorType(0xe5a, true)).toBe(0xa);
  });
});
