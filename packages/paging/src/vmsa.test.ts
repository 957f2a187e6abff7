import { describe, expect, it } from 'vitest';
import {
  AP,
  AP_TABLE,
  ATTR_INDEX,
  BlockDescriptorL1,
  BlockDescriptorL2,
  DESCRIPTOR_TYPE,
  MAIR0,
  PageDescriptor,
  SH,
  TableDescriptor,
} from './index.js';

/** smmuv3.md 3.2: key and the bits it has, low and high half. */
const leafBits: [string, number, number][] = [
  ['valid', 0x1, 0],
  ['type', 0x2, 0],
  ['attrIndx', 0x1c, 0],
  ['ns', 0x20, 0],
  ['ap', 0xc0, 0],
  ['sh', 0x300, 0],
  ['af', 0x400, 0],
  ['ng', 0x800, 0],
  ['gp', 0, 0x4_0000],
  ['dbm', 0, 0x8_0000],
  ['contiguous', 0, 0x10_0000],
  ['pxn', 0, 0x20_0000],
  ['uxn', 0, 0x40_0000],
  ['software', 0, 0x780_0000],
  ['pbha', 0, 0x7800_0000],
  ['ignored', 0, 0x8000_0000],
];

const tableBits: [string, number, number][] = [
  ['valid', 0x1, 0],
  ['type', 0x2, 0],
  ['ignoredLow', 0xffc, 0],
  ['next', 0xffff_f000, 0xffff],
  ['ignoredHigh', 0, 0x7f8_0000],
  ['pxnTable', 0, 0x800_0000],
  ['uxnTable', 0, 0x1000_0000],
  ['apTable', 0, 0x6000_0000],
  ['nsTable', 0, 0x8000_0000],
];

const positions = (layout: typeof PageDescriptor | typeof BlockDescriptorL1 | typeof TableDescriptor) =>
  layout.fields.filter((f) => f.shape !== 'reserved').map((f) => [f.key, f.maskLo, f.maskHi]);

describe('stage 1 descriptors of a 4K granule', () => {
  it('have the attribute bits of the specification in every leaf', () => {
    const oa: Record<string, [number, number]> = {
      page: [0xffff_f000, 0xffff],
      'block 2M': [0xffe0_0000, 0xffff],
      'block 1G': [0xc000_0000, 0xffff],
    };
    for (const layout of [PageDescriptor, BlockDescriptorL2, BlockDescriptorL1]) {
      const nt = layout === PageDescriptor ? [] : [['nt', 0x1_0000, 0]];
      const expected = [...leafBits.slice(0, 8), ...nt, ['oa', ...oa[layout.name]], ...leafBits.slice(8)];
      expect(positions(layout)).toEqual(expected);
    }
  });

  it('have the bits of the specification in a table', () => {
    expect(positions(TableDescriptor)).toEqual(tableBits);
  });

  it('read as the pages and blocks that a Linux 6.12 kernel wrote', () => {
    const writable = PageDescriptor.decode(Uint32Array.of(0x4869_af47, 0));
    expect(writable).toMatchObject({
      valid: 1,
      type: 1,
      attrIndx: 1,
      ap: AP.RW,
      sh: SH.INNER,
      af: 1,
      ng: 1,
      oa: 0x4869_a000,
      uxn: 0,
    });
    expect(PageDescriptor.decode(Uint32Array.of(0x4987_8fc7, 0))).toMatchObject({ ap: AP.RO, oa: 0x4987_8000 });
    const doorbell = PageDescriptor.decode(Uint32Array.of(0x0809_0e4b, 0x60_0000));
    expect(doorbell).toMatchObject({ attrIndx: ATTR_INDEX.DEVICE, sh: SH.OUTER, pxn: 1, uxn: 1, oa: 0x809_0000 });
    const block = BlockDescriptorL2.decode(Uint32Array.of(0x4760_0fc5, 0));
    expect(block).toMatchObject({ valid: 1, type: 0, ap: AP.RO, oa: 0x4760_0000, nt: 0 });
    expect((block.type << 1) | block.valid).toBe(DESCRIPTOR_TYPE.BLOCK);
    for (const raw of [0x4869_af47, 0x4987_8fc7])
      expect(PageDescriptor.hasReserved(Uint32Array.of(raw, 0))).toBe(false);
  });

  it('are made bit by bit as written by hand', () => {
    const page = PageDescriptor.make({
      valid: 1,
      type: 1,
      attrIndx: 1,
      ap: AP.RO,
      sh: SH.INNER,
      af: 1,
      ng: 1,
      pxn: 1,
      oa: 0xffff_1234_5000,
    });
    expect([...page]).toEqual([0x1234_5fc7, 0x20_ffff]);
    const next = TableDescriptor.make({ valid: 1, type: 1, next: 0x8_8000_1000, apTable: AP_TABLE.NO_WRITE });
    expect([...next]).toEqual([0x8000_1003, 0x4000_0008]);
  });

  it('name memory attributes by the byte of MAIR that they index', () => {
    const byte = (index: number) => (MAIR0 >>> (8 * index)) & 0xff;
    expect([ATTR_INDEX.NC, ATTR_INDEX.WB, ATTR_INDEX.DEVICE, ATTR_INDEX.INNER_NC_OUTER_WB].map(byte)).toEqual([
      0x44, 0xff, 0x04, 0xf4,
    ]);
  });
});
