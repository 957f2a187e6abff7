import { describe, expect, it } from 'vitest';
import { cached, PAGE, SYNC } from '../test/cached.js';
import { Rig } from '../test/rig.js';

describe('ConfigCommands (smmuv3.md 2.4, 4.2)', () => {
  /** Four streams whose STEs are cached as bypass, and have changed to abort since; which of them are fetched again? */
  function fetchedAgain(dw0: bigint, dw1: bigint): number[] {
    const rig = new Rig().enable();
    const streams = [0x40, 0x41, 0x42, 0x43, 0x44];
    for (const sid of streams) {
      rig.ste(sid, 0x9n);
      expect(rig.translate(sid, -1, 7)).toBe(7);
      rig.ste(sid, 0x1n);
    }
    rig.command(dw0, dw1, SYNC, 0n);
    expect(rig.error).toBe(0);
    return streams.filter((sid) => rig.translate(sid, -1, 7) !== 7);
  }

  it.each([
    ['CFGI_STE', 0x0000004200000003n, 0x1n, [0x42]],
    ['CFGI_STE_RANGE of 2', 0x0000004300000004n, 0x0n, [0x42, 0x43]],
    ['CFGI_STE_RANGE of 4, aligned', 0x0000004300000004n, 0x1n, [0x40, 0x41, 0x42, 0x43]],
    ['CFGI_STE_RANGE of 2^31', 0x0000000000000004n, 0x1en, [0x40, 0x41, 0x42, 0x43, 0x44]],
    ['CFGI_ALL, whatever SID', 0x0000009900000004n, 0x1fn, [0x40, 0x41, 0x42, 0x43, 0x44]],
    ['CFGI_CD of another stream', 0x0000009900005005n, 0x1n, []],
  ])('%s', (_name, dw0, dw1, expected) => {
    expect(fetchedAgain(dw0, dw1)).toEqual(expected);
  });

  it.each([
    ['CFGI_CD of its PASID', 0x0000004200005005n, 0x1n, true],
    ['CFGI_CD of its PASID, Leaf=0', 0x0000004200005005n, 0x0n, true],
    ['CFGI_CD of another PASID', 0x0000004200006005n, 0x1n, false],
    ['CFGI_CD of another SID', 0x0000004300005005n, 0x1n, false],
    ['CFGI_CD_ALL', 0x0000004200000006n, 0n, true],
    ['CFGI_CD_ALL of another SID', 0x0000004300000006n, 0n, false],
    ['CFGI_STE, which drops what was reached through it', 0x0000004200000003n, 0x1n, true],
  ])('%s makes a CD be fetched again or not', (_name, dw0, dw1, again) => {
    const { rig } = cached();
    const cds = Number(rig.load(rig.strtab + 0x42 * 64) & 0xffff_ffff_ffc0n);
    rig.store(cds + 5 * 64, 0n);
    rig.command(dw0, dw1, SYNC, 0n);
    expect(rig.translate(0x42, 5, PAGE)).toBe(again ? 'event 0xa' : 0x40100);
  });

  it('takes PREFETCH_ADDR as a hint: what it fetched is in the TLB, every Stride pages, and bounded', () => {
    const { rig } = cached();
    const root = Number(rig.load(Number(rig.load(rig.strtab + 0x42 * 64) & 0xffff_ffff_ffc0n) + 5 * 64 + 8));
    for (let n = 0; n < 64; n++) rig.map(root, n, 0x40300 + n);
    // Size 3, Stride 1: pages 0, 2, 4 and 6.
    rig.command(0x0000004200005802n, 0x23n, SYNC, 0n);
    for (let n = 0; n < 64; n++) rig.map(root, n, 0x40400 + n);
    expect([0, 1, 2, 3, 4, 5, 6, 7, 8].filter((page) => rig.translate(0x42, 5, page) === 0x40300 + page)).toEqual([
      0, 2, 4, 6,
    ]);
    rig.command(0x30n, 0n, 0x0000004200005802n, 0x1fn, SYNC, 0n);
    for (let n = 0; n < 64; n++) rig.map(root, n, 0x40500 + n);
    expect([0, 15, 16].map((page) => rig.translate(0x42, 5, page))).toEqual([0x40400, 0x4040f, 0x40510]);
    expect(rig.events()).toEqual([]);
  });

  it('ignores hints while SMMUEN is 0', () => {
    const { rig } = cached();
    rig.write(0x20, 0x1e);
    rig.command(0x30n, 0n, 0x0000004200005801n, 0n, 0x0000004200005802n, 0x00007f1234567000n);
    expect([rig.cons, rig.error]).toEqual([3, 0]);
  });
});
