import { describe, expect, it } from 'vitest';
import { VMSA, type VmsaName } from './index.js';

/** smmuv3.md 3.1: which blocks there are, by level 0 to 2. */
const blocks: Record<VmsaName, (string | null)[]> = {
  '4K/48': [null, 'block 1G', 'block 2M'],
  '16K/48': [null, null, 'block 32M'],
  '64K/48': [null, null, 'block 512M'],
  '4K/52': ['block 512G', 'block 1G', 'block 2M'],
  '16K/52': [null, 'block 64G', 'block 32M'],
  '64K/52': [null, 'block 4T', 'block 512M'],
};

/** smmuv3.md 3.2: the masks of the address by level 1, 2, 3 (low and high half), and of what stands elsewhere. */
const addresses: Record<VmsaName, { leaves: ([number, number] | null)[]; table: [number, number]; elsewhere: number }> =
  {
    '4K/48': {
      leaves: [
        [0xc000_0000, 0xffff],
        [0xffe0_0000, 0xffff],
        [0xffff_f000, 0xffff],
      ],
      table: [0xffff_f000, 0xffff],
      elsewhere: 0,
    },
    '16K/48': {
      leaves: [null, [0xfe00_0000, 0xffff], [0xffff_c000, 0xffff]],
      table: [0xffff_c000, 0xffff],
      elsewhere: 0,
    },
    '64K/48': {
      leaves: [null, [0xe000_0000, 0xffff], [0xffff_0000, 0xffff]],
      table: [0xffff_0000, 0xffff],
      elsewhere: 0,
    },
    '4K/52': {
      leaves: [
        [0xc000_0000, 0x3_ffff],
        [0xffe0_0000, 0x3_ffff],
        [0xffff_f000, 0x3_ffff],
      ],
      table: [0xffff_f000, 0x3_ffff],
      elsewhere: 0x300,
    },
    '16K/52': {
      leaves: [
        [0, 0x3_fff0],
        [0xfe00_0000, 0x3_ffff],
        [0xffff_c000, 0x3_ffff],
      ],
      table: [0xffff_c000, 0x3_ffff],
      elsewhere: 0x300,
    },
    '64K/52': {
      leaves: [
        [0, 0xfc00],
        [0xe000_0000, 0xffff],
        [0xffff_0000, 0xffff],
      ],
      table: [0xffff_0000, 0xffff],
      elsewhere: 0xf000,
    },
  };

const names = Object.keys(VMSA) as VmsaName[];

describe('VMSAv8-64 layouts', () => {
  it.each(names)('have the blocks of the specification: %s', (name) => {
    expect(VMSA[name].blocks.map((block) => block?.name ?? null)).toEqual(blocks[name]);
  });

  it.each(names)('have their addresses where the specification has them: %s', (name) => {
    const layout = VMSA[name];
    const { leaves, table, elsewhere } = addresses[name];
    const declared = [layout.blocks[1], layout.blocks[2], layout.page];
    expect(declared.map((leaf) => leaf && [leaf.f.oa.maskLo, leaf.f.oa.maskHi])).toEqual(leaves);
    for (const leaf of declared) if (leaf) expect('oaHigh' in leaf.f ? leaf.f.oaHigh.maskLo : 0).toBe(elsewhere);
    const { f } = layout.table;
    expect([f.next.maskLo, f.next.maskHi]).toEqual(table);
    expect('nextHigh' in f ? f.nextHigh.maskLo : 0).toBe(elsewhere);
  });

  it('need the DS bit for 52-bit addresses of small pages only, and then have no shareability', () => {
    expect(names.filter((name) => VMSA[name].ds)).toEqual(['4K/52', '16K/52']);
    expect(names.filter((name) => !('sh' in VMSA[name].page.f))).toEqual(['4K/52', '16K/52']);
  });

  it('keep every attribute at the same bits, whatever the granule', () => {
    const attributes = ['valid', 'type', 'attrIndx', 'ap', 'af', 'ng', 'dbm', 'contiguous', 'pxn', 'uxn'] as const;
    // Bits 0, 1, [4:2], [7:6], 10, 11, 51, 52, 53, 54.
    const masks = [1, 2, 0x1c, 0xc0, 0x400, 0x800, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
    for (const name of names) {
      const { page, blocks: larger } = VMSA[name];
      for (const leaf of [page, ...larger]) {
        if (leaf === null) continue;
        expect(attributes.map((key) => leaf.f[key].maskLo + leaf.f[key].maskHi)).toEqual(masks);
      }
    }
  });
});
