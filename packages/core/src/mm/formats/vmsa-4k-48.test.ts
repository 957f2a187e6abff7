import { describe, expect, it } from 'vitest';
import { ENTRY, PERM, VMSA_4K_48 } from '../../index.js';

// Literals after smmuv3.md 3.2: Valid and Type [1:0], AttrIndx [4:2], AP [7:6], SH [9:8], AF 10, nG 11, PXN 53, UXN 54.
const leaf = (perm: number, device = false): [number, number] => {
  const out = new Uint32Array(2);
  VMSA_4K_48.encodeLeaf(0x81_2345, perm, device, out);
  return [out[0]!, out[1]!];
};

describe('VMSA_4K_48', () => {
  it('encodes a user page that may be written: AF, nG, inner shareable, write-back, never executed', () => {
    expect(leaf(PERM.READ | PERM.WRITE)).toEqual([0x1234_5f47, 0x0060_0008]);
  });

  it('makes a page read-only when the mapping is', () => {
    expect(leaf(PERM.READ)[0]! & 0xfff).toBe(0xfc7);
  });

  it('lets user code run a page with EXEC, and never the kernel', () => {
    expect(leaf(PERM.READ | PERM.EXEC)[1]! & 0x0060_0000).toBe(0x0020_0000);
  });

  it('keeps a page without rights from users', () => {
    expect(leaf(0)[0]! & 0xfff).toBe(0xf87);
  });

  it('maps registers as device memory, outer shareable', () => {
    expect(leaf(PERM.READ | PERM.WRITE, true)[0]! & 0xfff).toBe(0xe4b);
  });

  it('reads back what it wrote', () => {
    const out = new Uint32Array(2);
    for (const perm of [1, 3, 5, 7]) {
      VMSA_4K_48.encodeLeaf(0xf_ffff_ffff, perm, false, out);
      expect(VMSA_4K_48.frameOf(out)).toBe(0xf_ffff_ffff);
      expect(VMSA_4K_48.permOf(out)).toBe(perm);
      expect(VMSA_4K_48.isDevice(out)).toBe(false);
    }
    VMSA_4K_48.encodeLeaf(0x3f, 3, true, out);
    expect(VMSA_4K_48.isDevice(out)).toBe(true);
  });

  it('tells tables, pages and absent entries apart by level', () => {
    const table = new Uint32Array(2);
    VMSA_4K_48.encodeTable(0x40001, table);
    expect([...table]).toEqual([0x4000_1003, 0]);
    expect([0, 1, 2, 3].map((level) => VMSA_4K_48.kindOf(table, level))).toEqual([1, 1, 1, 2]);
    expect(VMSA_4K_48.kindOf(Uint32Array.of(0x4000_1001, 0), 3)).toBe(ENTRY.ABSENT);
    expect(VMSA_4K_48.kindOf(Uint32Array.of(0x4000_1001, 0), 2)).toBe(ENTRY.LEAF);
    expect(VMSA_4K_48.kindOf(Uint32Array.of(0xffff_fffe, 0xffff_ffff), 1)).toBe(ENTRY.ABSENT);
  });

  it('finds the entry of an address at each level', () => {
    // 0xffffb9d15000: indexes 511, 510, 462, 277.
    const page = 0xf_fffb_9d15;
    expect([0, 1, 2, 3].map((level) => VMSA_4K_48.offset(page, level) / 8)).toEqual([511, 510, 462, 277]);
    expect([0, 1, 2, 3].map((level) => VMSA_4K_48.span(level))).toEqual([2 ** 27, 2 ** 18, 512, 1]);
  });
});
