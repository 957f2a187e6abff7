import { describe, expect, it } from 'vitest';
import { hex, Rig, SID } from '../test/rig.js';
import { type TableWalk, Walker } from './index.js';

const PAGE = 0x7f0000001;

/** Where the entries of a page lie, from the first table on. */
function slots(rig: Rig, root: number, page = PAGE, levels = 4): number[] {
  const found: number[] = [];
  let table = root;
  for (let level = levels; level >= 1; level--) {
    const at = table + (Math.floor(page / 512 ** (level - 1)) % 512) * 8;
    found.push(at);
    table = Number(rig.load(at) & 0xf_ffff_ffff_f000n);
  }
  return found;
}
/** A first stage for PASID 5. */
function first(capabilities = {}, qw2 = 0n, qw1 = 0x80_0001n, attributes = 7n, inner = 7n) {
  const rig = new Rig(capabilities).enable();
  const root = rig.pasid(rig.context(), 5, 0x49n, qw1, rig.frames(0), qw2);
  rig.map(root, PAGE, 0x40100, attributes, 1, inner);
  return { rig, root, at: slots(rig, root) };
}
const low = (rig: Rig, at: number[]): string[] => at.map((slot) => `0x${(rig.load(slot) & 0xfffn).toString(16)}`);

describe('first-stage walks (2.11)', () => {
  it('set A in every entry, D in the leaf on a write, also when the page is cached clean', () => {
    const { rig, at } = first();
    expect(low(rig, at)).toEqual(['0x7', '0x7', '0x7', '0x7']);
    rig.translate(SID, 5, PAGE, 1);
    expect(low(rig, at)).toEqual(['0x27', '0x27', '0x27', '0x27']);
    rig.translate(SID, 5, PAGE, 2);
    expect(low(rig, at)).toEqual(['0x27', '0x27', '0x27', '0x67']);
  });

  it('set EA too with EAFE=1', () => {
    const { rig, at } = first({}, 0x80n);
    rig.translate(SID, 5, PAGE, 2);
    expect(low(rig, at)).toEqual(['0x427', '0x427', '0x427', '0x467']);
  });

  it('set nothing in a leaf that refuses, but A in the tables on the way', () => {
    const { rig, at } = first({}, 0n, 0x80_0001n, 5n);
    expect(rig.translate(SID, 5, PAGE, 2)).toBe('fault 0x85');
    expect(low(rig, at)).toEqual(['0x27', '0x27', '0x27', '0x5']);
  });

  it('need no update where the flags are set already, also with PWSNP=0', () => {
    const { rig } = first({}, 0n, 1n, 0x67n, 0x27n);
    expect(rig.translate(SID, 5, PAGE, 2)).toBe(0x40100);
    const clean = first({}, 0n, 1n, 0x27n, 0x27n).rig;
    expect([clean.translate(SID, 5, PAGE, 1), clean.translate(SID, 5, PAGE, 2)]).toEqual([0x40100, 'fault 0x90']);
  });

  it('take rights from every level: U/S, R/W and XD', () => {
    const { rig, root, at } = first();
    for (const slot of at) {
      const entry = rig.load(slot);
      const answers: (number | string)[] = [];
      for (const [clear, set] of [
        [4n, 0n],
        [2n, 0n],
        [0n, 1n << 63n],
      ]) {
        rig.store(slot, (entry & ~clear) | set);
        rig.vtd.iotlb.dropAll();
        answers.push(...[1, 2, 4].map((want) => rig.translate(SID, 5, PAGE, want)));
      }
      rig.store(slot, entry);
      expect(answers).toEqual([
        ...['fault 0x81', 'fault 0x81', 'fault 0x81'],
        ...[0x40100, 'fault 0x85', 0x40100],
        ...[0x40100, 0x40100, 'fault 0x82'],
      ]);
    }
    expect(root).toBe(at[0] - 0xfe * 8);
  });

  it.each([
    [0x1n, [0x40100, 0x40100, 0x40100]],
    [0x11n, [0x40100, 'fault 0x85', 0x40100]],
    [0x0n, ['fault 0x5d', 'fault 0x5d', 'fault 0x5d']],
  ])('let supervisors read supervisor pages, and write to read-only ones unless WPE: qw2 %s', (qw2, answers) => {
    const { rig } = first({}, qw2, 0x80_0001n, 1n);
    expect([9, 10, 12].map((want) => rig.translate(SID, 5, PAGE, want))).toEqual(answers);
  });

  it('ask for SRE of a page that another device has cached', () => {
    const { rig, root } = first({}, 1n);
    rig.pasid(rig.context(0x108), 5, 0x49n, 0x80_0001n, root);
    expect(rig.translate(SID, 5, PAGE, 9)).toBe(0x40100);
    expect([rig.translate(0x108, 5, PAGE, 9), rig.translate(0x108, 5, PAGE, 1)]).toEqual(['fault 0x5d', 0x40100]);
  });

  it('find pages of 2 MiB and 1 GiB, in the upper half too, and say their size', () => {
    const rig = new Rig().enable();
    const root = rig.pasid(rig.context(), 5);
    const upper = 2 ** 52 - 2 ** 19;
    rig.map(root, PAGE - 1, 0x40000, 0x87n, 2);
    rig.map(root, upper, 0x40000, 0x87n, 3);
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    expect(rig.vtd.translate(SID, 5, PAGE + 4, 2, out)).toBe(true);
    expect(out).toEqual({ frame: 0x40000 + (PAGE % 512) + 4, perm: 7, log2Size: 21, reason: 0, level: 2 });
    expect(rig.vtd.translate(SID, 5, upper + 0x12345, 2, out)).toBe(true);
    expect(out).toEqual({ frame: 0x40000 + 0x12345, perm: 7, log2Size: 30, reason: 0, level: 3 });
    // The second request of a large page is a hit.
    rig.store(root, 0n);
    expect(rig.translate(SID, 5, upper + 1)).toBe(0x40001);
  });

  it('use 5 levels with FLPM=1, and take addresses of 57 bits', () => {
    const rig = new Rig({ fl5lp: true }).enable();
    const root = rig.pasid(rig.context(), 5, 0x49n, 0x80_0001n, rig.frames(0), 4n);
    const page = 2 ** 44 - 2;
    const table = rig.frames(0);
    rig.store(root + 0xff * 8, BigInt(table) | 7n);
    rig.map(table, page % 2 ** 36, 0x40100);
    expect(rig.translate(SID, 5, page)).toBe(0x40100);
    expect([rig.translate(SID, 5, 2 ** 44), rig.translate(SID, 5, 2 ** 52 - 2 ** 44 - 1)]).toEqual([
      'fault 0x80',
      'fault 0x80',
    ]);
    expect(rig.translate(SID, 5, 2 ** 52 - 2 ** 44)).toBe('fault 0x71');
  });

  it('translate a large page that covers the interrupt range page by page (2.13)', () => {
    const rig = new Rig().enable();
    const root = rig.pasid(rig.context(), 5);
    rig.map(root, 0, 0xfee00, 0x87n, 2);
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    expect([rig.translate(SID, 5, 0), rig.translate(SID, 5, 255)]).toEqual(['fault 0x87', 'fault 0x87']);
    expect(rig.vtd.translate(SID, 5, 256, 1, out)).toBe(true);
    expect([out.frame, out.log2Size]).toEqual([0xfef00, 12]);
    expect(rig.translate(SID, 5, 255)).toBe('fault 0x87');
  });

  it('ignore NXE, SMEP, G and what software may use (D-10)', () => {
    const { rig } = first({}, 0x60n, 0x80_0001n, 7n | 0xb00n | (0x7ffn << 52n));
    expect([1, 2, 4].map((want) => rig.translate(SID, 5, PAGE, want))).toEqual([0x40100, 0x40100, 0x40100]);
  });

  it('need no invalidation where a mapping is new, also with CM=1 (VTD-16)', () => {
    const { rig, root } = first({ cm: true });
    expect(rig.translate(SID, 5, PAGE + 1)).toBe('fault 0x71');
    rig.map(root, PAGE + 1, 0x40200);
    expect(rig.translate(SID, 5, PAGE + 1)).toBe(0x40200);
  });

  it('look at an entry again that changes before its flags are set (PF-10)', () => {
    class Late extends Walker {
      changed = false;
      override update(walk: TableWalk): number {
        if (!this.changed && walk.level === 1) {
          this.changed = true;
          // The page goes away between the fetch and the update.
          this.vtd.memory.store64(walk.address, 0, 0);
        }
        return super.update(walk);
      }
    }
    class Blind extends Late {
      override update(walk: TableWalk): number {
        const { level } = walk;
        const next = super.update(walk);
        // A plain write, as if nothing had changed.
        if (level === 1) this.vtd.memory.store64(walk.address, walk.updated >>> 0, walk.hi >>> 0);
        return next;
      }
    }
    const after = (part: typeof Walker): [string | number, string] => {
      const rig = new Rig({}, {}, { Walker: part }).enable();
      const root = rig.pasid(rig.context(), 5);
      rig.map(root, PAGE, 0x40100);
      const [, , , leaf] = slots(rig, root);
      return [rig.translate(SID, 5, PAGE, 2), hex(rig.load(leaf))];
    };
    expect(after(Late)).toEqual(['fault 0x71', '0x0000000000000000']);
    expect(after(Blind)[1]).toBe('0x0000000040100067');
  });
});

/** A second stage for PASID 9, DID 7. */
function second(aw: number, capabilities = {}, or = 0n, qw1 = 0x80_0007n) {
  const rig = new Rig({ sagaw: 14, mgaw: 56, ...capabilities }).enable();
  const root = rig.frames(0);
  const directory = rig.context();
  rig.store(rig.pasidAt(directory, 9), BigInt(root) | BigInt(aw << 2) | 0x81n | or, qw1);
  return { rig, root };
}

describe('second-stage walks (2.12)', () => {
  it.each([
    [1, 3, 39],
    [2, 4, 48],
    [3, 5, 57],
  ])('of AW=%i have %i levels and take %i bits', (aw, levels, bits) => {
    const { rig, root } = second(aw);
    const page = 2 ** (bits - 12) - 2;
    let table = root;
    for (let level = levels; level > 1; level--) {
      const next = rig.frames(0);
      rig.store(table + (Math.floor(page / 512 ** (level - 1)) % 512) * 8, BigInt(next) | 3n);
      table = next;
    }
    rig.store(table + (page % 512) * 8, 0x4010_0003n);
    expect([rig.translate(SID, 9, page), rig.translate(SID, 9, 2 ** (bits - 12))]).toEqual([0x40100, 'fault 0x84']);
  });

  it('set A on the way, and D for a permitted write, with SLADE=1 only (VTD-14)', () => {
    const { rig, root } = second(2, { slads: true }, 0x200n);
    rig.mapSecond(root, PAGE, 0x40100);
    const at = slots(rig, root);
    rig.translate(SID, 9, PAGE, 1);
    expect(low(rig, at)).toEqual(['0x103', '0x103', '0x103', '0x103']);
    rig.translate(SID, 9, PAGE, 2);
    expect(low(rig, at)).toEqual(['0x103', '0x103', '0x103', '0x303']);
    const plain = second(2, { slads: true });
    plain.rig.mapSecond(plain.root, PAGE, 0x40100);
    plain.rig.translate(SID, 9, PAGE, 2);
    expect(low(plain.rig, slots(plain.rig, plain.root))).toEqual(['0x3', '0x3', '0x3', '0x3']);
  });

  it('set A before the point of the fault, and no D where the write is refused', () => {
    const { rig, root } = second(2, { slads: true }, 0x200n);
    rig.mapSecond(root, PAGE, 0x40100, 1n);
    expect(rig.translate(SID, 9, PAGE, 2)).toBe('fault 0x85');
    expect(low(rig, slots(rig, root))).toEqual(['0x103', '0x103', '0x103', '0x1']);
  });

  it('find 2 MiB and 1 GiB pages, ignore PS at level 1, memory types and SNP with SC', () => {
    const { rig, root } = second(2);
    rig.mapSecond(root, PAGE - 1, 0x40000, 0x8fbn, 2);
    rig.mapSecond(root, 2 ** 20, 0x40000, 0x83n, 3);
    rig.mapSecond(root, 7, 0x40007, 0xffbn | (0x3ffn << 52n) | (1n << 63n));
    expect([PAGE + 1, 2 ** 20 + 0x123, 7].map((page) => rig.translate(SID, 9, page, 2))).toEqual([
      0x40002, 0x40123, 0x40007,
    ]);
  });

  it('have no supervisors and no execute permission of their own', () => {
    const { rig, root } = second(2);
    rig.mapSecond(root, PAGE, 0x40100, 1n);
    expect([1, 4, 9, 12, 10].map((want) => rig.translate(SID, 9, PAGE, want))).toEqual([
      ...[0x40100, 0x40100, 0x40100, 0x40100],
      'fault 0x85',
    ]);
  });
});

describe('requests without PASID', () => {
  it('use RID_PASID in scalable mode, PASIDE or not, and are privileged as RID_PRIV says (VTD-40)', () => {
    for (const [qw1, answers] of [
      [5n, ['fault 0x81', 'fault 0x81']],
      [0x10_0005n, [0x40100, 0x40100]],
    ] as const) {
      const rig = new Rig().enable();
      rig.map(rig.pasid(rig.context(SID, 0x11n, 2, qw1), 5, 0x49n, 0x80_0001n, rig.frames(0), 1n), PAGE, 0x40100, 3n);
      expect([rig.translate(SID, -1, PAGE, 1), rig.translate(SID, -1, PAGE, 9)]).toEqual(answers);
      expect(rig.translate(SID, 5, PAGE, 1)).toBe('fault 0x45');
    }
  });

  it('look at the half of the root entry that the device number selects, and at no other (2.7)', () => {
    const rig = new Rig().enable();
    rig.map(rig.pasid(rig.context(0x1f8), 0), PAGE, 0x40100);
    rig.store(rig.root + 16, 0xffen);
    expect([rig.translate(0x1f8, -1, PAGE), rig.translate(0x178, -1, PAGE)]).toEqual([0x40100, 'fault 0x39']);
  });

  it('pass through with TT=2 or PGTT=4', () => {
    const rig = new Rig();
    rig.legacy(SID, 7, 2);
    rig.enable(0);
    expect([rig.translate(SID, -1, 0x12345, 3), rig.translate(SID, -1, 0xfee01)]).toEqual([0x12345, 'fault 0xe']);
    const scalable = new Rig().enable();
    scalable.pasid(scalable.context(), 0, 0x101n);
    expect([scalable.translate(SID, -1, 0x12345, 3), scalable.translate(SID, -1, 0xfee01)]).toEqual([
      0x12345,
      'fault 0x87',
    ]);
  });

  it('come from no requester that a number of 16 bits does not name', () => {
    const rig = new Rig().enable();
    rig.context();
    for (const stream of [2 ** 16, -1, 0.5, Number.NaN, 2 ** 40]) {
      expect(String(rig.translate(stream, -1, PAGE))).toMatch(/^fault 0x(39|40|41)$/);
    }
    for (const pasid of [-2, 0.5, 2 ** 20, 2 ** 40, Number.NaN]) {
      expect(rig.translate(SID, pasid, PAGE)).toBe('fault 0x46');
    }
  });
});
