import { describe, expect, it } from 'vitest';
import { X86, X86Block1G, X86Block2M, X86Page, X86Table } from './index.js';

const bitsOf = (layout: typeof X86Page | typeof X86Block2M | typeof X86Table) =>
  Object.fromEntries(layout.fields.filter((f) => f.shape !== 'reserved').map((f) => [f.key, [f.hi, f.lo]]));

// vtd.md 2.11.
const common = {
  p: [0, 0],
  rw: [1, 1],
  us: [2, 2],
  pwt: [3, 3],
  pcd: [4, 4],
  a: [5, 5],
  ea: [10, 10],
  ignored11: [11, 11],
  software: [62, 52],
  xd: [63, 63],
};
const leaf = { ...common, d: [6, 6], g: [8, 8], ignored9: [9, 9] };

describe('x86-64 paging entries', () => {
  it('have the bits of the specification in a page', () => {
    expect(bitsOf(X86Page)).toEqual({ ...leaf, pat: [7, 7], addr: [51, 12] });
  });

  it('have PS and PAT at other places in 2 MiB and 1 GiB pages', () => {
    expect(bitsOf(X86Block2M)).toEqual({ ...leaf, ps: [7, 7], pat: [12, 12], addr: [51, 21] });
    expect(bitsOf(X86Block1G)).toEqual({ ...leaf, ps: [7, 7], pat: [12, 12], addr: [51, 30] });
    expect([
      X86Block2M.hasReserved(Uint32Array.of(0x2000, 0)),
      X86Block2M.hasReserved(Uint32Array.of(0x1000, 0)),
      X86Block1G.hasReserved(Uint32Array.of(0x2000_0000, 0)),
    ]).toEqual([true, false, true]);
  });

  it('have no dirty bit in a table', () => {
    expect(bitsOf(X86Table)).toEqual({
      ...common,
      ignored6: [6, 6],
      ps: [7, 7],
      ignored8: [9, 8],
      addr: [51, 12],
    });
  });

  it('are made bit by bit as written by hand', () => {
    const page = X86Page.make({ p: 1, rw: 1, us: 1, a: 1, d: 1, addr: 0x8_1234_5000, xd: 1 });
    expect([...page]).toEqual([0x1234_5067, 0x8000_0008]);
    const block = X86Block2M.make({ p: 1, us: 1, a: 1, ps: 1, addr: 0xf_ffff_ffe0_0000 });
    expect([...block]).toEqual([0xffe0_00a5, 0xf_ffff]);
  });

  it('resolve 48 bits in four levels and 57 in five', () => {
    expect([4, 5].map((levels) => X86.shift + levels * X86.bitsPerLevel)).toEqual([48, 57]);
  });
});
