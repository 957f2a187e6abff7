import { describe, expect, it } from 'vitest';
import { ENTRY, LEAF, PERM, X86Format } from '../../index.js';

const RW = PERM.READ | PERM.WRITE;
const format = new X86Format(4);

const leaf = (frame: number, perm = RW, level = 3, flags = 0, device = false) => {
  const out = new Uint32Array(2);
  format.encodeLeaf(frame, perm, device, out, level, flags);
  return [...out];
};

describe('X86Format', () => {
  it('has four or five levels, and user addresses in the lower half', () => {
    expect(format).toMatchObject({ rootLevel: 0, addressBits: 48, pageEnd: 2 ** 35, tableOrder: 0, rootOrder: 0 });
    expect(new X86Format(5)).toMatchObject({ rootLevel: -1, addressBits: 57, pageEnd: 2 ** 44 });
    expect([-1, 0, 1, 2, 3].map((level) => format.leafOrders(level))).toEqual([[], [], [18], [9], [0]]);
  });

  it('writes the entries that a Linux 6.1 kernel wrote for the same mappings', () => {
    expect(leaf(0x81f5)).toEqual([0x81f_5067, 0x8000_0000]);
    expect(leaf(0x9a05, PERM.READ)).toEqual([0x9a0_5025, 0x8000_0000]);
    expect(leaf(0x4400, RW, 2)).toEqual([0x440_00e7, 0x8000_0000]);
    expect(leaf(0x4200, PERM.READ, 2)).toEqual([0x420_00a5, 0x8000_0000]);
  });

  it('lets user code run a page with EXEC, and keeps a page without rights from users', () => {
    expect(leaf(0, PERM.READ | PERM.EXEC)[1]).toBe(0);
    // P and A only.
    expect(leaf(0, 0)).toEqual([0x21, 0x8000_0000]);
    expect(format.permOf(Uint32Array.of(0x21, 0x8000_0000))).toBe(0);
  });

  it('maps registers as uncached memory: PCD and PWT', () => {
    const [lo, hi] = leaf(0xfee0_0, RW, 3, 0, true);
    expect(lo! & 0xfff).toBe(0x7f);
    expect([format.isDevice(Uint32Array.of(lo!, hi!)), format.isDevice(Uint32Array.of(0x67, 0))]).toEqual([
      true,
      false,
    ]);
  });

  it('knows tables, large pages and what PS must not mark', () => {
    const large = Uint32Array.of(0xe7, 0);
    expect([0, 1, 2, 3].map((level) => format.kindOf(large, level))).toEqual([0, 2, 2, 2]);
    expect([0, 1, 2, 3].map((level) => format.kindOf(Uint32Array.of(0x67, 0), level))).toEqual([1, 1, 1, 2]);
    expect(format.kindOf(Uint32Array.of(0xffff_fffe, 0), 2)).toBe(ENTRY.ABSENT);
    const table = new Uint32Array(2);
    format.encodeTable(0x8_1234_5, table);
    // P, R/W, U/S, A.
    expect([...table]).toEqual([0x1234_5027, 8]);
    expect(format.tableOf(table)).toBe(0x8_1234_5);
  });

  it('reads frames past the PAT bit of a large page', () => {
    expect(format.frameOf(Uint32Array.of(0x4020_10e7, 1), 2)).toBe(0x1_4020_0);
    expect(format.frameOf(Uint32Array.of(0x4020_1067, 1), 3)).toBe(0x1_4020_1);
  });

  it('keeps dirty and accessed in D and A (PF-10)', () => {
    const page = Uint32Array.from(leaf(0, RW, 3, LEAF.CLEAN | LEAF.OLD));
    expect(page[0]).toBe(0x07);
    expect([format.isWritableClean(page), format.permOf(page)]).toEqual([true, PERM.READ]);
    expect(format.markUsed(page, true)).toBe(true);
    expect(page[0]).toBe(0x67);
    expect(format.markUsed(page, true)).toBe(false);
    format.setPerm(page, PERM.READ);
    expect([page[0], format.isDirty(page), format.flagsOf(page)]).toEqual([0x65, true, LEAF.DIRTY]);
    expect(format.markUsed(Uint32Array.of(0x25, 0), true)).toBe(false);
  });

  it('finds the entry of an address at each level', () => {
    // 0x7fffb9d15000: 255, 510, 462, 277.
    expect([0, 1, 2, 3].map((level) => format.offset(0x7_fffb_9d15, level) / 8)).toEqual([255, 510, 462, 277]);
    expect(new X86Format(5).offset(0xab0_0000_0000, -1) / 8).toBe(0xab);
  });

  it('makes a page of a large page with all that it said', () => {
    const page = Uint32Array.of(0x4020_00e7, 0x8000_0001);
    format.resize(page, 2, 0x1_4020_7, 3);
    expect([...page]).toEqual([0x4020_7067, 0x8000_0001]);
  });
});
