import { describe, expect, it } from 'vitest';
import { S2AP, S2XN, Stage2Page } from './index.js';

describe('Stage2Page (smmuv3.md 3.2)', () => {
  it('packs a page as Linux writes it: write-back, read and write, inner shareable, AF', () => {
    const page = Stage2Page.make({ valid: 1, type: 1, memAttr: 0xf, s2ap: S2AP.RW, sh: 3, af: 1, oa: 0x4567_8000 });
    expect([page[0], page[1]]).toEqual([0x4567_87ff, 0]);
  });

  it('has XN in [54:53], Contiguous in 52 and DBM in 51', () => {
    expect(Stage2Page.make({ xn: S2XN.NONE })[1]).toBe(0x0040_0000);
    expect(Stage2Page.make({ xn: S2XN.UNPRIVILEGED })[1]).toBe(0x0020_0000);
    expect(Stage2Page.make({ contiguous: 1, dbm: 1 })[1]).toBe(0x0018_0000);
  });

  it('has S2AP in [7:6]: 01 reads, 10 writes', () => {
    expect(Stage2Page.make({ s2ap: S2AP.RO })[0]).toBe(0x40);
    expect(Stage2Page.make({ s2ap: S2AP.WO })[0]).toBe(0x80);
  });
});
