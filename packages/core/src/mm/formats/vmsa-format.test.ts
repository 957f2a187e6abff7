import { VMSA, type VmsaName } from '@iommukit/paging';
import { describe, expect, it } from 'vitest';
import { ENTRY, LEAF, PERM, VmsaFormat } from '../../index.js';

const RW = PERM.READ | PERM.WRITE;
const formats = Object.fromEntries(
  Object.entries(VMSA).map(([name, layout]) => [name, new VmsaFormat(layout)]),
) as Record<VmsaName, VmsaFormat>;

const leaf = (name: VmsaName, frame: number, perm = RW, level = 3, flags = 0) => {
  const out = new Uint32Array(2);
  formats[name].encodeLeaf(frame, perm, false, out, level, flags);
  return [...out];
};

/** A writable page at PA 0, with the words changed. */
const entry = (lo: number, hi: number) => Uint32Array.of(lo, hi);

describe('VmsaFormat', () => {
  // smmuv3.md 3.1: pages, blocks by level, start levels; groups.
  it.each<[VmsaName, object]>([
    ['4K/48', { pageFrames: 1, rootLevel: 0, tableOrder: 0, rootOrder: 0, outputBits: 48 }],
    ['16K/48', { pageFrames: 4, rootLevel: 0, tableOrder: 2, rootOrder: 0, outputBits: 48 }],
    ['64K/48', { pageFrames: 16, rootLevel: 1, tableOrder: 4, rootOrder: 0, outputBits: 48 }],
    ['4K/52', { pageFrames: 1, rootLevel: -1, tableOrder: 0, rootOrder: 0, outputBits: 52 }],
    ['16K/52', { pageFrames: 4, rootLevel: 0, tableOrder: 2, rootOrder: 0, outputBits: 52 }],
    // 1024 entries of 8 bytes: two frames.
    ['64K/52', { pageFrames: 16, rootLevel: 1, tableOrder: 4, rootOrder: 1, outputBits: 52 }],
  ])('has the sizes of the granule: %s', (name, sizes) => {
    expect(formats[name]).toMatchObject(sizes);
    expect(formats[name].pageEnd).toBe(2 ** (Number(name.slice(-2)) - 12));
  });

  it('maps blocks and contiguous groups of the sizes of the specification', () => {
    const KB = (n: number) => Math.log2(n / 4);
    const MB = (n: number) => KB(n * 1024);
    const GB = (n: number) => MB(n * 1024);
    const orders = (name: VmsaName) => [0, 1, 2, 3].map((level) => formats[name].leafOrders(level));
    expect(orders('4K/48')).toEqual([[], [GB(1), GB(16)], [MB(2), MB(32)], [KB(4), KB(64)]]);
    expect(orders('16K/48')).toEqual([[], [], [MB(32), GB(1)], [KB(16), MB(2)]]);
    expect(orders('64K/48')).toEqual([[], [], [MB(512), GB(16)], [KB(64), MB(2)]]);
    expect(orders('4K/52')[0]).toEqual([GB(512)]);
    expect(orders('16K/52')[1]).toEqual([GB(64)]);
    expect(orders('64K/52')[1]).toEqual([GB(4096)]);
  });

  it('writes pages as done by hand: address, attributes, type', () => {
    // 0xf47: nG, AF, SH 3, AP 1, AttrIndx 1, page. DS has no SH: 0xc47, and OA[51:50] in [9:8].
    expect(leaf('16K/48', 0x8_1234_4)).toEqual([0x1234_4f47, 0x0060_0008]);
    expect(leaf('64K/48', 0xabcd_1234_0)).toEqual([0x1234_0f47, 0x0060_abcd]);
    // PA 0xa_bcde_1234_0000: [51:48] = 0xa in [15:12], 0xbcde in the high word.
    expect(leaf('64K/52', 0xa_bcde_1234_0)).toEqual([0x1234_af47, 0x0060_bcde]);
    // PA 0xe_bcde_1234_5000: [51:50] = 3 in [9:8], [49:32] = 0x2bcde.
    expect(leaf('4K/52', 0xe_bcde_1234_5)).toEqual([0x1234_5f47, 0x0062_bcde]);
    expect(leaf('4K/52', 0x4_bcde_1234_5)).toEqual([0x1234_5d47, 0x0060_bcde]);
    expect(leaf('16K/52', 0x8_0000_1234_4)).toEqual([0x1234_4e47, 0x0060_0000]);
  });

  it('writes blocks with type 0b01 at the levels that have them', () => {
    expect(leaf('4K/48', 0x4000_0, RW, 1)).toEqual([0x4000_0f45, 0x0060_0000]);
    expect(leaf('64K/52', 0x3_0400_0000_0, RW, 1)).toEqual([0x0000_3f45, 0x0060_0400]);
    expect(leaf('4K/52', 0x4_0080_0000_0, RW, 0)).toEqual([0x0000_0d45, 0x0060_0080]);
    expect(() => leaf('4K/48', 0x4000_1, RW, 1)).toThrow(/OutputAddress/);
  });

  it('writes table descriptors with the topmost bits where the layout has them', () => {
    const table = (name: VmsaName, frame: number) => {
      const out = new Uint32Array(2);
      formats[name].encodeTable(frame, out);
      expect(formats[name].tableOf(out)).toBe(frame);
      return [...out];
    };
    expect(table('16K/48', 0x1_4000_4)).toEqual([0x4000_4003, 1]);
    expect(table('64K/52', 0x9_0001_4001_0)).toEqual([0x4001_9003, 1]);
    expect(table('4K/52', 0xd_0001_4000_1)).toEqual([0x4000_1303, 0x1_0001]);
  });

  it('refuses frames that are not aligned, or have more bits than the layout', () => {
    expect(() => leaf('64K/48', 0x1234_1)).toThrow();
    expect(() => leaf('4K/48', 2 ** 36)).toThrow();
    expect(() => leaf('64K/52', 2 ** 40)).toThrow();
  });

  it('finds every entry of a page: indexes count 16 and 64 KiB pages', () => {
    // 16K: VA 0xffff_b9d1_4000 = L0 1, L1 [46:36] 0x7ff, L2 [35:25] 0x7dc, L3 [24:14] 0x745.
    const va16 = [0, 1, 2, 3].map((level) => formats['16K/48'].offset(0xf_fffb_9d14, level) / 8);
    expect(va16).toEqual([1, 0x7ff, 0x7dc, 0x745]);
    // 64K/52: VA 0xf_ffff_b9d1_0000 = L1 [51:42], L2 [41:29], L3 [28:16].
    const va64 = [1, 2, 3].map((level) => formats['64K/52'].offset(0xff_fffb_9d10, level) / 8);
    expect(va64).toEqual([0x3ff, 0x1ffd, 0x19d1]);
    // 4K/52: L-1 [51:48].
    expect(formats['4K/52'].offset(0xa0_0000_0000, -1) / 8).toBe(0xa);
  });

  it('tells blocks from entries that no walk takes (level 3 with 0b01 is invalid)', () => {
    const block = entry(0x0000_0f45, 0);
    expect([0, 1, 2, 3].map((level) => formats['4K/48'].kindOf(block, level))).toEqual([0, 2, 2, 0]);
    expect([0, 1, 2, 3].map((level) => formats['16K/48'].kindOf(block, level))).toEqual([0, 0, 2, 0]);
    expect([-1, 0, 1, 2, 3].map((level) => formats['4K/52'].kindOf(block, level))).toEqual([0, 2, 2, 2, 0]);
    expect(formats['64K/52'].kindOf(block, 1)).toBe(ENTRY.LEAF);
    expect(formats['64K/48'].kindOf(block, 1)).toBe(ENTRY.ABSENT);
  });

  describe('flags of use (PF-10)', () => {
    const format = formats['4K/48'];
    const AF = 0x400;
    const AP2 = 0x80;
    const DBM = 0x8_0000;
    const WRITTEN = 0x80_0000;

    it('are AF, and AP[2] with DBM: a clean page that may be written is read-only until hardware clears AP[2]', () => {
      const [lo, hi] = leaf('4K/48', 0, RW, 3, LEAF.CLEAN | LEAF.OLD);
      expect([lo! & AF, lo! & AP2, hi! & DBM]).toEqual([0, AP2, DBM]);
      const clean = entry(lo!, hi!);
      expect([format.isWritableClean(clean), format.isDirty(clean), format.permOf(clean)]).toEqual([true, false, 1]);
      expect(format.markUsed(clean, false)).toBe(true);
      expect([...clean]).toEqual([lo! | AF, hi]);
      expect(format.markUsed(clean, true)).toBe(true);
      expect([...clean]).toEqual([(lo! | AF) & ~AP2, hi]);
      expect([format.isDirty(clean), format.permOf(clean), format.markUsed(clean, true)]).toEqual([true, 3, false]);
    });

    it('stay known in a software bit when a dirty page becomes read-only', () => {
      const page = entry(0x0f47, 0x60_0000);
      format.setPerm(page, PERM.READ);
      expect([...page]).toEqual([0x0fc7, 0x60_0000 | WRITTEN]);
      expect([format.isDirty(page), format.isWritableClean(page)]).toEqual([true, false]);
      expect(format.markUsed(page, true)).toBe(false);
    });

    it('are not invented: a page that was only read is clean when its rights change', () => {
      const page = entry(0x0fc7, 0x60_0000);
      format.setPerm(page, PERM.READ | PERM.EXEC);
      expect([...page]).toEqual([0x0fc7, 0x20_0000]);
      expect(format.isDirty(page)).toBe(false);
    });

    it('of a clean writable page outlive a change of rights that lets it be written', () => {
      const page = entry(0x0fc7, 0x60_0000 | DBM);
      format.setPerm(page, RW | PERM.EXEC);
      expect([...page]).toEqual([0x0fc7, 0x20_0000 | DBM]);
      format.setPerm(page, PERM.READ);
      expect([...page]).toEqual([0x0fc7, 0x60_0000]);
    });

    it('come back as they were set', () => {
      for (const perm of [PERM.READ, RW]) {
        for (const flags of [LEAF.CLEAN, LEAF.DIRTY, LEAF.CLEAN | LEAF.OLD, LEAF.DIRTY | LEAF.OLD | LEAF.CONTIGUOUS]) {
          const [lo, hi] = leaf('64K/48', 0x10, perm, 3, flags);
          expect(formats['64K/48'].flagsOf(entry(lo!, hi!))).toBe(flags);
        }
      }
    });
  });

  it('keeps the mark of a contiguous group in bit 52', () => {
    expect(leaf('4K/48', 0, RW, 3, LEAF.CONTIGUOUS)[1]).toBe(0x70_0000);
  });

  it('makes a page of a block with all that the block said', () => {
    const format = formats['4K/48'];
    const page = entry(0x4020_0f45, 0x60_0008);
    format.resize(page, 2, 0x8_4020_7, 3);
    expect([...page]).toEqual([0x4020_7f47, 0x60_0008]);
    const block = entry(0x4000_0fc5, 0x60_0000);
    format.resize(block, 1, 0x4020_0, 2);
    expect([...block]).toEqual([0x4020_0fc5, 0x60_0000]);
  });

  it('resolves fewer bits where asked to', () => {
    const short = new VmsaFormat(VMSA['4K/48'], 39);
    expect([short.rootLevel, short.rootOrder, short.pageEnd]).toEqual([1, 0, 2 ** 27]);
    expect(new VmsaFormat(VMSA['64K/48'], 42)).toMatchObject({ rootLevel: 2, rootOrder: 4 });
  });
});
