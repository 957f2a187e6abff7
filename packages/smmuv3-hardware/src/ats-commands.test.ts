import { describe, expect, it } from 'vitest';
import { ATC_INV, cached, SYNC } from '../test/cached.js';

describe('AtsCommands (smmuv3.md 4.2, pcie-ats.md 2.4, 2.5)', () => {
  it.each([
    ['Size 0 of the last page', 0x0000004200005840n, 0xfffffffffffff000n, { pasid: 5, lo: 0xfffff000, hi: 0xffffffff }],
    ['Size 1, unaligned: the bits below are zero', 0x0000004200005840n, 0x9001n, { pasid: 5, lo: 0x8800, hi: 0 }],
    ['Size 9, 2 MiB', 0x0000004200005840n, 0x40000009n, { pasid: 5, lo: 0x400ff800, hi: 0 }],
    ['Size 51', 0x0000004200005840n, 0x33n, { pasid: 5, lo: 0xfffff800, hi: 0x3fffffff }],
    ['Size 52 with an address', 0x0000004200005840n, 0x12345034n, { pasid: 5, lo: 0xfffff800, hi: 0x7fffffff }],
    ['Global with SSV=1', 0x0000004200005a40n, 0x34n, { pasid: 5, lo: 0xfffff801, hi: 0x7fffffff }],
    ['Global with SSV=0, which is ignored', 0x0000004200005240n, 0x34n, { pasid: -1, lo: 0xfffff800, hi: 0x7fffffff }],
    ['SSV=0 with an SSID', 0x0000004200005040n, 0x5000n, { pasid: -1, lo: 0x5000, hi: 0 }],
  ])('sends ATC_INV of %s', (_name, dw0, dw1, body) => {
    const { rig, link } = cached();
    rig.frozen = true;
    rig.command(dw0, dw1);
    expect(link.sent).toEqual([{ kind: 'invalidate-request', itag: 0, ...body }]);
  });

  it.each([0x35n, 0x3fn])('stops at ATC_INV with Size %i', (size) => {
    const { rig } = cached();
    rig.command(ATC_INV, size);
    expect(rig.read(0x9c)).toBe(0x01000000);
  });

  it('sends ATC_INV though EATS is 0: devices are disabled first (SMMU-27)', () => {
    const { rig, link } = cached();
    rig.frozen = true;
    rig.ste(0x42, 0x1n);
    rig.command(0x0000004200000003n, 1n, ATC_INV, 0x34n);
    expect(link.sent).toHaveLength(1);
  });

  it('sends nothing to a platform device, which takes no messages, and waits for nothing', () => {
    const { rig } = cached();
    const link = rig.link(0x43, true);
    rig.command(0x0000004300005840n, 0x34n, 0x0000004300005841n, 0x21ffn, SYNC, 0n);
    expect(rig.read(0x9c)).toBe(3);
    expect(link.sent).toEqual([]);
  });

  it('does not wait for PRI_RESP', () => {
    const { rig, link } = cached();
    rig.command(0x0000004200005841n, 0x21ffn, SYNC, 0n);
    expect(rig.cons).toBe(2);
    expect(link.sent).toHaveLength(1);
  });
});
