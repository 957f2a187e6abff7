import type { AnyLayout } from '@iommukit/bitfield';
import { describe, expect, it } from 'vitest';
import * as spec from './index.js';

/** What a layout takes for reserved in its 64-bit words. */
const reserved = (layout: AnyLayout): bigint[] => {
  const masks = Array.from({ length: layout.bytes / 8 }, () => 0n);
  for (let bit = 0; bit < layout.bytes * 8; bit++) {
    const words = new Uint32Array(layout.words);
    words[bit >>> 5] = 2 ** (bit & 31);
    if (layout.hasReserved(words)) masks[bit >>> 6] |= 1n << BigInt(bit & 63);
  }
  return masks;
};

const ALL = 0xffff_ffff_ffff_ffffn;

// Masks that an implementation enforces (vtd.md 3.1 to 3.9). What is a field here but reserved there, for want of a
// capability, is taken out of the mask: PFSID (ECAP.DIT), PD (ECAP.PDS), PDP (only spec 3.0 to 3.x).
const PFSID = 0xfff0_0000_0000_f000n;
const PD = 0x80n;
const PDP = 0x20n;

describe('reserved bits of descriptors', () => {
  it.each<[string, AnyLayout, bigint, bigint]>([
    ['context-cache', spec.ContextCacheInv, 0xfffc_0000_0000_f1c0n, ALL],
    ['IOTLB', spec.IotlbInv, 0xffff_ffff_0000_f100n, 0xf80n],
    ['device-TLB', spec.DeviceTlbInv, 0xffff_0000_ffe0_f1f0n & ~PFSID, 0xffen],
    ['interrupt entry', spec.InterruptEntryInv, 0xffff_0000_07ff_f1e0n, ALL],
    ['wait', spec.InvWait, 0xffff_f180n & ~PD, 0x3n],
    ['PASID IOTLB', spec.PasidIotlbInv, 0xfff0_0000_0000_f1c0n, 0xf80n],
    ['PASID cache', spec.PasidCacheInv, 0xfff0_0000_0000_f1c0n, ALL],
    ['PASID device-TLB', spec.PasidDeviceTlbInv, 0xfff0_0000_0000_f000n & ~PFSID, 0x7fen],
    ['page group response', spec.PageGroupResponse, 0xfff0_0000_0000_01e0n & ~PDP, 0xffff_ffff_ffff_f003n],
  ])('of type %s are those that are enforced', (_, layout, qw0, qw1) => {
    expect(reserved(layout).slice(0, 2)).toEqual([qw0, qw1]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('fill words 2 and 3 of type %i in 256 bits', (type) => {
    expect(reserved(spec.DESCRIPTORS_256[type] as AnyLayout).slice(2)).toEqual([ALL, ALL]);
  });
});

describe('reserved bits of tables, of a unit with 48-bit addresses and second stage only (vtd.md 2.10)', () => {
  const HAW = 0xffff_0000_0000_0000n;
  // SLADE, PGSNP and CD to EMTE are fields, reserved there for want of capabilities only where the mask says so.
  const old = { slee: 1n << 5n, emt: 0x38n << 24n, pwtPcd: 0xc000_0000n, ere: 2n };

  it.each<[string, AnyLayout, bigint[]]>([
    ['root half', spec.RootEntry, [0xffff_0000_0000_0ffen & ~HAW, 0xffff_0000_0000_0ffen & ~HAW]],
    ['context', spec.ContextEntry, [0x1e0n, ALL & ~0x1f_ffffn, ALL, ALL]],
    ['directory', spec.PasidDirEntry, [0xffff_0000_0000_0ffcn & ~HAW]],
    [
      'PASID entry',
      spec.PasidEntry,
      [
        0xffff_0000_0000_0c20n & ~HAW & ~old.slee,
        0xf87f_0000n & ~(old.emt | old.pwtPcd),
        0xf02n & ~old.ere,
        ALL,
        ALL,
        ALL,
        ALL,
        ALL,
      ],
    ],
  ])('of a %s are those that are enforced', (_, layout, masks) => {
    expect(reserved(layout)).toEqual(masks);
  });

  it('include at 4.1 exactly the fields that are named as such (D-10)', () => {
    const ones = spec.PasidEntry.make({ slee: 1, emt: 7, pwt: 1, pcd: 1, ere: 1 });
    expect([...ones.slice(0, 6)]).toEqual([0x20, 0, 0xf800_0000, 0, 2, 0]);
    expect(spec.PASID_ENTRY_RESERVED_4_1).toEqual(['slee', 'emt', 'pwt', 'pcd', 'ere']);
  });
});
