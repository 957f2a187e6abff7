import { type CacheLines, Observer, type Setting } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const PAGE = 0x7f1234567;

/** SID 0x42, PASID 5, ASID 0x12: one page mapped. */
function rigged(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12));
  rig.map(root, PAGE, 0x40100);
  return { rig, table, root };
}

describe('ConfigCache', () => {
  it('keeps a CD until CFGI_CD says so, and TLBI does not (2.4)', () => {
    const { rig, table, root } = rigged();
    rig.translate(0x42, 5, PAGE);
    rig.store(table + 5 * 64, 0n);
    rig.command(0x30n, 0n);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    rig.command(0x0000004200006005n, 1n); // SSID 6
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    rig.command(0x0000004200005005n, 1n);
    expect(rig.translate(0x42, 5, PAGE)).toBe('event 0xa');
    rig.cd(table, 5, Rig.cd0(0x12), root);
    expect(rig.translate(0x42, 5, PAGE)).toBe('event 0xa'); // the invalid CD is cached too
    rig.command(0x0000004200000006n, 0n);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
  });

  it('serves a quiesced CD (EPD0) from the TLB until it is invalidated, then faults (SMMU-10)', () => {
    const { rig, table } = rigged();
    rig.translate(0x42, 5, PAGE);
    rig.cd(table, 5, Rig.cd0(0x12, 1n << 14n), 0);
    rig.command(0x0000004200005005n, 1n);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    rig.command(0x0012000000000011n, 0n);
    expect(rig.translate(0x42, 5, PAGE)).toBe('event 0x10');
  });

  it.each([
    ['CFGI_STE', 0x0000004200000003n, 1n, true],
    ['CFGI_STE of another', 0x0000004300000003n, 1n, false],
    ['CFGI_STE_RANGE of 0x40 to 0x43', 0x0000004100000004n, 1n, true],
    ['CFGI_STE_RANGE of 0x44 to 0x47', 0x0000004400000004n, 1n, false],
    ['CFGI_ALL', 0x04n, 0x1fn, true],
    ['CFGI_CD_ALL', 0x0000004200000006n, 0n, false],
  ])('drops the STE, and the CDs behind it, on %s', (_name, dw0, dw1, dropped) => {
    const { rig } = rigged();
    rig.translate(0x42, 5, PAGE);
    rig.ste(0x42, 0x1n);
    rig.command(dw0, dw1);
    expect(rig.translate(0x42, 5, PAGE)).toBe(dropped ? 'event 0x0' : 0x40100);
  });

  it('keeps an invalid STE, and does not keep a failed fetch (2.4)', () => {
    const { rig, table } = rigged();
    expect(rig.translate(0x43, 5, PAGE)).toBe('event 0x4');
    rig.ste(0x43, (6n << 59n) | BigInt(table) | 0xbn);
    expect(rig.translate(0x43, 5, PAGE)).toBe('event 0x4');
    rig.command(0x0000004300000003n, 1n);
    expect(rig.translate(0x43, 5, PAGE)).toBe(0x40100);
    // Two levels: L1CD.V=0 is seen as soon as it is 1.
    const l1 = rig.frames(0);
    rig.ste(0x44, (8n << 59n) | BigInt(l1) | 0x1bn);
    expect(rig.translate(0x44, 5, PAGE)).toBe('event 0x8');
    rig.store(l1, BigInt(table) | 1n);
    expect(rig.translate(0x44, 5, PAGE)).toBe(0x40100);
  });

  it('gives CD 0 to requests without SSID under S1DSS=SSID0, and CFGI_CD of SSID 0 drops it', () => {
    const { rig, table, root } = rigged();
    rig.cd(table, 0, Rig.cd0(0x13), root);
    rig.ste(0x43, (6n << 59n) | BigInt(table) | 0xbn, 0x2n);
    expect(rig.translate(0x43, -1, PAGE)).toBe(0x40100);
    expect(rig.translate(0x43, 0, PAGE)).toBe('event 0x6');
    rig.store(table, 0n);
    rig.command(0x0000004300000005n, 1n);
    expect(rig.translate(0x43, -1, PAGE)).toBe('event 0xa');
  });

  it('reads two-level stream tables, and refuses what lies outside a span (2.1)', () => {
    const rig = new Rig();
    const table = rig.frames(0);
    rig.cd(table, 0, Rig.cd0(1));
    const leaf = rig.frames(2);
    rig.write(0x2c, 2);
    rig.write64(0x80, BigInt(rig.strtab));
    rig.write(0x88, 0x10000 | (8 << 6) | 16); // two levels, SPLIT 8, 16 bits
    rig.write(0x20, 1);
    rig.store(rig.strtab + 2 * 8, BigInt(leaf) | 8n); // Span 8: 128 of 256 STEs
    rig.store(leaf + 0x42 * 64, BigInt(table) | 0xbn);
    expect(rig.translate(0x242, -1, PAGE)).toBe('event 0x10');
    expect(rig.translate(0x27f, -1, PAGE)).toBe('event 0x4');
    expect(rig.translate(0x280, -1, PAGE)).toBe('event 0x2');
    expect(rig.translate(0x342, -1, PAGE)).toBe('event 0x2');
    for (const span of [10n, 12n]) {
      rig.store(rig.strtab + 3 * 8, BigInt(leaf) | span);
      expect(rig.translate(0x342, -1, PAGE)).toBe('event 0x2');
    }
  });

  it.each([
    ['V=0', 0x42_0000_000an, 0n],
    ['stage 2', 0xdn, 0n],
    ['nested', 0xfn, 0n],
    ['S1CDMax above SSIDSIZE', (21n << 59n) | 0xbn, 0n],
    ['EATS=2 without stage 2', 0xbn, 0x2000_0000n],
    ['S1ContextPtr beyond OAS', 0x1_0000_0000_000bn, 0n],
  ])('finds an STE with %s illegal (2.2)', (_name, dw0, dw1) => {
    const { rig } = rigged();
    rig.ste(0x60, dw0, dw1);
    expect(rig.translate(0x60, -1, PAGE)).toBe('event 0x4');
  });

  it('judges S1STALLD and CD.S by the stall model (2.2, 2.4)', () => {
    const outcomes = ['optional', 'none', 'forced'].map((stall) => {
      const { rig, table, root } = rigged({ stall });
      rig.ste(0x61, (6n << 59n) | BigInt(table) | 0xbn, 1n << 27n);
      rig.cd(table, 6, Rig.cd0(0x12, 1n << 44n), root);
      return [
        rig.translate(0x61, 5, PAGE),
        rig.translate(0x42, 5, PAGE),
        rig.translate(0x42, 6, PAGE),
        rig.translate(0x61, 6, PAGE),
      ];
    });
    expect(outcomes).toEqual([
      [0x40100, 0x40100, 0x40100, 'event 0xa'],
      ['event 0x4', 0x40100, 'event 0xa', 'event 0x4'],
      ['event 0x4', 'event 0xa', 0x40100, 'event 0x4'],
    ]);
  });

  it.each([
    ['V=0', 0n, 1n << 31n],
    ['ENDI', 1n << 15n, 0n],
    ['AA64=0', 0n, 1n << 41n],
    ['HA without HTTU', 1n << 43n, 0n],
    ['HD without HTTU', 1n << 42n, 0n],
    ['64K granule, which is not offered,', 1n << 6n, 0n],
    ['the reserved TG0', 3n << 6n, 0n],
    ['T0SZ below 16', 0n, 0x10n],
    ['T0SZ above 39', 0x28n, 0x10n],
    ['EPD1=0 with T1SZ=0', 0n, 1n << 30n],
    ['A=0 with TERM_MODEL=1', 0n, 1n << 46n],
    ['a 16-bit ASID with ASID16=0', 0x100n << 48n, 0n],
  ])('finds a CD with %s illegal (2.4)', (name, or, without) => {
    const { rig, table, root } = rigged({
      terminateAborts: name.includes('TERM'),
      asid16: !name.includes('ASID16'),
      granule64K: !name.includes('64K'),
    });
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    rig.cd(table, 6, Rig.cd0(0x12, or, without), root);
    expect(rig.translate(0x42, 6, PAGE)).toBe('event 0xa');
  });

  it('tells oracles when a walk begins from a cached CD, and when a cached STE is used, in both gaits (INV-7)', () => {
    for (const gait of ['atomic', 'stepwise']) {
      const { rig, table, root } = rigged({ gait });
      // Quiesced: EPD0 = 1.
      rig.cd(table, 6, Rig.cd0(0x13, 1n << 14n), root);
      const uses: string[] = [];
      rig.kernel.observer = new (class extends Observer {
        override used(lines: CacheLines, i: number): void {
          uses.push(`${lines.name.split(' ').slice(1).join(' ')} ${lines.stream[i].toString(16)}.${lines.pasid[i]}`);
        }
      })();
      const link = rig.link(0x42);
      const read = (pasid: number): void => {
        uses.length = 0;
        rig.deliver(link, { kind: 'read', at: 0, tag: 1, pasid, page: PAGE, offset: 0, bytes: 8, witness: 0 });
      };
      read(5);
      expect([gait, uses]).toEqual([gait, ['CD cache 42.5']]);
      rig.smmu.iotlb.dropAll();
      read(5);
      expect([gait, uses]).toEqual([gait, ['CD cache 42.5']]);
      read(5);
      expect([gait, uses]).toEqual([gait, ['IOTLB 42.5']]);
      // Nothing is walked for: neither when the CD is fetched, nor when it is cached.
      read(6);
      expect([gait, uses]).toEqual([gait, ['STE cache 42.-1']]);
      read(6);
      expect([gait, uses]).toEqual([gait, []]);
    }
  });

  it.each<[string, Record<string, Setting>, bigint, bigint, bigint, boolean]>([
    // capabilities; CD dw0 bits set and cleared; dw2; legal or not
    ['T0SZ 12 with 64K pages and VAX = 52', { vax: 52 }, 0x4cn, 0x3fn, 0n, true],
    ['T0SZ 11 with 64K pages and VAX = 52', { vax: 52 }, 0x4bn, 0x3fn, 0n, false],
    ['T0SZ 12 with 64K pages and VAX = 48', { ds: true }, 0x4cn, 0x3fn, 1n << 58n, false],
    ['T0SZ 12 with 4K pages and VAX = 52', { vax: 52 }, 0x0cn, 0x3fn, 0n, false],
    ['T0SZ 12 with 4K pages and DS', { ds: true }, 0x0cn, 0x3fn, 1n << 58n, true],
    ['T0SZ 12 with 16K pages and DS', { ds: true }, 0x8cn, 0x3fn, 1n << 58n, true],
    ['T0SZ 12 with DS that is not implemented', { vax: 52 }, 0x0cn, 0x3fn, 1n << 58n, false],
    ['T0SZ 40, small tables', { vax: 52, ds: true }, 0x28n, 0x3fn, 0n, false],
    ['TG0 = 16K, not offered', { granule16K: false }, 2n << 6n, 0n, 0n, false],
    ['TG0 = 4K, not offered', { granule4K: false }, 0n, 0n, 0n, false],
    ['TG1 = 16K', {}, (16n << 16n) | (1n << 22n), 1n << 30n, 0n, true],
    ['TG1 = 64K', {}, (16n << 16n) | (3n << 22n), 1n << 30n, 0n, true],
    ['the reserved TG1', {}, 16n << 16n, 1n << 30n, 0n, false],
    ['T1SZ 15', {}, (15n << 16n) | (2n << 22n), 1n << 30n, 0n, false],
    ['TTB1 beyond IPS', {}, (16n << 16n) | (2n << 22n), 1n << 30n, 1n << 50n, false],
    ['HA with HTTU = access', { httu: 'access' }, 1n << 43n, 0n, 0n, true],
    ['HD with HTTU = access', { httu: 'access' }, 3n << 42n, 0n, 0n, false],
    ['HA and HD with HTTU = dirty', { httu: 'dirty' }, 3n << 42n, 0n, 0n, true],
  ])('judges a CD with %s (2.4)', (_name, capabilities, or, without, dw2, legal) => {
    const rig = new Rig(capabilities).enable();
    const table = rig.cdTable(0x42, 6);
    rig.store(table + 5 * 64 + 16, dw2);
    rig.cd(table, 5, Rig.cd0(0x12, or, without), rig.frames(4));
    expect(rig.translate(0x42, 5, PAGE)).toBe(legal ? 'event 0x10' : 'event 0xa');
  });

  it('finds a CD whose TTB0 lies beyond IPS illegal, unless EPD0=1', () => {
    const { rig, table } = rigged();
    rig.cd(table, 6, Rig.cd0(0x12, 0n, 0x7_0000_0000n), 0x1_0000_0000);
    rig.cd(table, 7, Rig.cd0(0x13, 1n << 14n, 0x7_0000_0000n), 0x1_0000_0000);
    expect([6, 7].map((ssid) => rig.translate(0x42, ssid, PAGE))).toEqual(['event 0xa', 'event 0x10']);
  });
});
