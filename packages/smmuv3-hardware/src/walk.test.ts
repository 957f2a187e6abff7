import type { Setting } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const READ = 1;
const WRITE = 2;
const WIDE = { vax: 52, ds: true, oas: 52 };
/** An address of 48 bits, and one of 52. */
const VA = 0x7f1234567000n;
const VA52 = 0xfedcba9876000n;
const IPS52 = 6n << 32n;
const NO_IPS = 7n << 32n;
const TG_64K = 1n << 6n;
const TG_16K = 2n << 6n;
/** T0SZ = 12 instead of 16. */
const T0SZ_12 = 0xcn;
const NO_T0SZ = 0x3fn;
const DS = 1n << 58n;

/** What the address bits of each level are: lowest bit and number, by hand from smmuv3.md 3.1. */
type Levels = readonly (readonly [shift: number, bits: number])[];
const L64K: Levels = [
  [42, 6],
  [29, 13],
  [16, 13],
];
const L16K: Levels = [
  [47, 1],
  [36, 11],
  [25, 11],
  [14, 11],
];
const L64K52: Levels = [
  [42, 10],
  [29, 13],
  [16, 13],
];
const L4K52: Levels = [
  [48, 4],
  [39, 9],
  [30, 9],
  [21, 9],
  [12, 9],
];
const L16K52: Levels = [
  [47, 5],
  [36, 11],
  [25, 11],
  [14, 11],
];
const L4K: Levels = [
  [39, 9],
  [30, 9],
  [21, 9],
  [12, 9],
];

/** SID 0x42, PASID 5: a CD with `or` in dw0 and `dw2`, and tables of 64 KiB each down to one leaf. */
function walked(
  capabilities: Record<string, Setting>,
  or: bigint,
  without: bigint,
  dw2: bigint,
  va: bigint,
  levels: Levels,
  leaf: bigint,
) {
  const rig = new Rig(capabilities).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.frames(4);
  rig.store(table + 5 * 64 + 16, dw2);
  rig.cd(table, 5, Rig.cd0(0x12, or, without), root);
  let at = root;
  let slot = 0;
  levels.forEach(([shift, bits], n) => {
    slot = at + 8 * Number((va >> BigInt(shift)) % (1n << BigInt(bits)));
    const next = n === levels.length - 1 ? 0 : rig.frames(4);
    rig.store(slot, n === levels.length - 1 ? leaf : BigInt(next) | 3n);
    at = next;
  });
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  const translate = (page = Number(va >> 12n), want = READ) => {
    const ok = rig.smmu.translate(0x42, 5, page, want, out);
    return ok
      ? { frame: out.frame.toString(16), log2Size: out.log2Size, level: out.level }
      : { event: out.reason, level: out.level };
  };
  return { rig, table, root, slot, translate };
}

describe('Walker', () => {
  it.each<[string, Record<string, Setting>, bigint, bigint, bigint, bigint, Levels, bigint, object]>([
    ['a page of 64 KiB', {}, TG_64K, 0n, 0n, VA, L64K, 0x41230c43n, { frame: '41237', log2Size: 16, level: 3 }],
    [
      'a block of 512 MiB',
      {},
      TG_64K,
      0n,
      0n,
      VA,
      L64K.slice(0, 2),
      0x60000c41n,
      { frame: '74567', log2Size: 29, level: 2 },
    ],
    ['a page of 16 KiB', {}, TG_16K, 0n, 0n, VA, L16K, 0x41230c43n, { frame: '41233', log2Size: 14, level: 3 }],
    [
      'a block of 32 MiB',
      {},
      TG_16K,
      0n,
      0n,
      VA,
      L16K.slice(0, 3),
      0x42000c41n,
      { frame: '42567', log2Size: 25, level: 2 },
    ],
    [
      'a page of 64 KiB, 52 bits',
      WIDE,
      TG_64K | T0SZ_12 | IPS52,
      NO_T0SZ | NO_IPS,
      0n,
      VA52,
      L64K52,
      0x12345677ac43n,
      { frame: 'a123456776', log2Size: 16, level: 3 },
    ],
    [
      'a block of 4 TiB',
      WIDE,
      TG_64K | T0SZ_12 | IPS52,
      NO_T0SZ | NO_IPS,
      0n,
      VA52,
      L64K52.slice(0, 1),
      0x40000008c41n,
      { frame: '805cba9876', log2Size: 42, level: 1 },
    ],
    [
      'a page of 4 KiB, 52 bits, from level -1',
      WIDE,
      T0SZ_12 | IPS52,
      NO_T0SZ | NO_IPS,
      DS,
      VA52,
      L4K52,
      0x2412345678f43n,
      { frame: 'e412345678', log2Size: 12, level: 3 },
    ],
    [
      'a block of 512 GiB',
      WIDE,
      T0SZ_12 | IPS52,
      NO_T0SZ | NO_IPS,
      DS,
      VA52,
      L4K52.slice(0, 2),
      0x8000000d41n,
      { frame: '400cba9876', log2Size: 39, level: 0 },
    ],
    [
      'a page of 16 KiB, 52 bits',
      WIDE,
      TG_16K | T0SZ_12 | IPS52,
      NO_T0SZ | NO_IPS,
      DS,
      VA52,
      L16K52,
      0x123456774e43n,
      { frame: '8123456776', log2Size: 14, level: 3 },
    ],
    [
      'a block of 64 GiB',
      WIDE,
      TG_16K | T0SZ_12 | IPS52,
      NO_T0SZ | NO_IPS,
      DS,
      VA52,
      L16K52.slice(0, 2),
      0x1000000c41n,
      { frame: '1ba9876', log2Size: 36, level: 1 },
    ],
    ['shareability where DS is 0', {}, 0n, 0n, 0n, VA, L4K, 0x40123f43n, { frame: '40123', log2Size: 12, level: 3 }],
  ])('finds %s (3.1, 3.2)', (_name, has, or, without, dw2, va, levels, leaf, found) => {
    const { translate } = walked(has, or, without, dw2, va, levels, leaf);
    // From memory, from the TLB, and from the walk cache.
    expect([translate(), translate()]).toEqual([found, found]);
  });

  it.each<[string, bigint, Levels]>([
    ['16 pages of 4 KiB', 0n, L4K],
    ['16 blocks of 2 MiB', 0n, L4K.slice(0, 3)],
    ['16 blocks of 1 GiB', 0n, L4K.slice(0, 2)],
    ['128 pages of 16 KiB', TG_16K, L16K],
    ['32 blocks of 32 MiB', TG_16K, L16K.slice(0, 3)],
    ['32 pages of 64 KiB', TG_64K, L64K],
    ['32 blocks of 512 MiB', TG_64K, L64K.slice(0, 2)],
  ])('covers a contiguous group of %s with one line (3.1)', (name, tg, levels) => {
    const [count, , , size, unit] = name.split(' ');
    const log2 = Math.log2(Number(count) * Number(size)) + { KiB: 10, MiB: 20, GiB: 30 }[unit as 'KiB'];
    const [shift] = levels[levels.length - 1];
    // The group begins at 2^36; the leaf is where the address falls in it.
    const offset = VA & ((1n << BigInt(log2)) - 1n) & ~((1n << BigInt(shift)) - 1n);
    const leaf = (1n << 52n) | (0x1000000000n + offset) | (levels.length === (tg === TG_64K ? 3 : 4) ? 0xc43n : 0xc41n);
    const { translate, rig, slot } = walked({}, tg, 0n, 0n, VA, levels, leaf);
    expect(translate()).toMatchObject({ log2Size: log2 });
    // The neighbour's descriptor is not looked at.
    const neighbour = Number((VA ^ (1n << BigInt(shift))) >> 12n);
    expect(translate(neighbour)).toMatchObject({ log2Size: log2 });
    // Where hardware sets flags, each descriptor is on its own (3.5).
    const httu = walked({ httu: 'access' }, tg | (1n << 43n), 0n, 0n, VA, levels, leaf);
    expect(httu.translate()).toMatchObject({ log2Size: shift });
    expect(httu.translate(neighbour)).toMatchObject({ event: 0x10 });
    expect(rig.load(slot)).toBe(leaf);
  });

  it('drops the line of a group for any page of it', () => {
    const { translate, rig, slot } = walked({}, 0n, 0n, 0n, VA, L4K, (1n << 52n) | 0x40127c43n);
    expect(translate()).toMatchObject({ frame: '40127', log2Size: 16 });
    rig.store(slot, 0n);
    rig.command(0x0012000000000012n, (VA & ~0xffffn) | 1n); // TLBI_NH_VA of its first page
    expect(translate()).toEqual({ event: 0x10, level: 3 });
  });

  it.each<[string, bigint, Levels, bigint]>([
    ['0b01 at level 3', 0n, L4K, 0x40123c41n],
    ['a block at level 0', 0n, L4K.slice(0, 1), 0xc41n],
    ['a block of 64 GiB without DS', TG_16K, L16K.slice(0, 2), 0x1000000c41n],
    ['a block of 4 TiB without 52 bits', TG_64K, L64K.slice(0, 1), 0x40000000c41n],
  ])('takes %s for an invalid descriptor (3.1, 3.2)', (_name, tg, levels, leaf) => {
    const { translate } = walked({}, tg, 0n, 0n, VA, levels, leaf);
    const start = tg === TG_64K ? 1 : 0;
    expect(translate()).toEqual({ event: 0x10, level: start + levels.length - 1 });
  });

  it.each<[string, bigint, Levels, object]>([
    ['an invalid table before its address', 0xf0000000000n, L4K.slice(0, 1), { event: 0x10, level: 0 }],
    ['the address of a table', 0x100000000003n, L4K.slice(0, 2), { event: 0x11, level: 1 }],
    ['the address of a leaf before AF and rights', 0x100000000083n, L4K, { event: 0x11, level: 3 }],
    ['AF before rights', 0x40000083n, L4K, { event: 0x12, level: 3 }],
    ['rights last', 0x40000483n, L4K, { event: 0x13, level: 3 }],
  ])('looks at %s (3.3, 5.3)', (_name, leaf, levels, fault) => {
    const { translate } = walked({ oas: 44 }, 0n, 0n, 0n, VA, levels, leaf);
    expect(translate(Number(VA >> 12n), WRITE)).toEqual(fault);
  });

  it('reports where a fetch aborted: in a table beyond 48 bits, and at a table register that is not swizzled (TLB-8)', () => {
    // [51:48] of the next table stand in [15:12].
    const { rig, translate, table } = walked(
      WIDE,
      TG_64K | T0SZ_12 | IPS52,
      NO_T0SZ | NO_IPS,
      0n,
      VA52,
      L64K52.slice(0, 2),
      0x1000000b003n,
    );
    expect(translate()).toEqual({ event: 0x0b, level: 3 });
    // VA[28:16] is 0x987.
    expect(rig.smmu.translator.fetchAddress.toString(16)).toBe('b010000004c38');
    rig.cd(table, 6, Rig.cd0(0x13, TG_64K | T0SZ_12 | IPS52, NO_T0SZ | NO_IPS), 0xb000000010000);
    expect(rig.translate(0x42, 6, Number(VA52 >> 12n))).toBe('event 0xb');
    // VA[51:42] is 0x3fb.
    expect(rig.smmu.translator.fetchAddress.toString(16)).toBe('b000000011fd8');
  });

  it('ignores what is no address in 48-bit descriptors, and keeps 52-bit ones apart from 48-bit ones (3.2)', () => {
    const narrow = walked({ oas: 48 }, TG_64K, 0n, 0n, VA, L64K, 0x4123fc43n);
    expect(narrow.translate()).toMatchObject({ frame: '41237' });
    // OAS is 52, IPS is 48: an output beyond IPS.
    const wide = walked(WIDE, TG_64K, 0n, 0n, VA, L64K, 0x4123fc43n);
    expect(wide.translate()).toEqual({ event: 0x11, level: 3 });
    // CD.DS is RES0 where DS is not implemented.
    const noDs = walked({}, 0n, 0n, DS, VA, L4K, 0x40123f43n);
    expect(noDs.translate()).toMatchObject({ frame: '40123' });
  });
});
