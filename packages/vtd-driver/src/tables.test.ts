import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, SID } from '../test/bench.js';
import { PasidTables, scalableContext } from './index.js';

const CM = { cap: 0x01d2_018c_222f_0686n };
const RWBF = { cap: 0x01d2_018c_222f_0616n };

/** Stores and descriptors of `body` on a started unit with a device, addresses relative to the entry of PASID 1. */
function record(body: (bench: Bench) => Coroutine<void>, options: BenchOptions = {}): string[] {
  const bench = new Bench(options).boot();
  bench.do(() => body(bench));
  const entry = bench.entryAt(1);
  return bench.unit
    .take(/^(q|s|w 18)/)
    .map((line) => line.replace(/^s (\S+)/, (_, pa) => `s ${relative(Number.parseInt(pa, 16) - entry)}`))
    .filter((line) => !line.startsWith('s other'));
}

const relative = (offset: number): string => (offset >= 0 && offset < 64 ? `+${offset}` : 'other');

describe('the context entry of scalable mode', () => {
  it('has directory, PDTS, DTE, PASIDE and PRE; RID_PASID is 0 (vtd.md 9.1, VTD-40)', () => {
    const image = scalableContext({ directory: 0x200000, pdts: 2, ats: true, pasids: true, pri: true });
    expect([...image]).toEqual([0x20041d, 0, 0, 0, 0, 0, 0, 0]);
  });

  it.each([
    ['ats', { ats: false }, 0x200419],
    ['pasids', { pasids: false }, 0x200415],
    ['pri', { pri: false }, 0x20040d],
  ])('says what the device may not do: %s', (_, change, word) => {
    const all = { directory: 0x200000, pdts: 2, ats: true, pasids: true, pri: true };
    expect(scalableContext({ ...all, ...change })[0]).toBe(word);
  });

  it('is stored with P last, in one store, before the device is switched on (VTD-8, VTD-9, PCI-4)', () => {
    const bench = new Bench();
    const stores: string[] = [];
    bench.do(function* () {
      yield* bench.driver.start();
      bench.unit.log.length = 0;
      const { masters, contexts } = bench.driver.vtd;
      const enable = masters.enablePasids.bind(masters);
      masters.enablePasids = (master) => {
        bench.unit.log.push('pasid on');
        return enable(master);
      };
      const enableAts = masters.enableAts.bind(masters);
      masters.enableAts = (master) => {
        bench.unit.log.push('ats on');
        return enableAts(master);
      };
      yield* bench.driver.probeDevice(bench.device);
      const at = contexts.addressOf(SID).toString(16).slice(0, -2);
      stores.push(...bench.unit.take(new RegExp(`^(s ${at}|pasid|ats)`)));
      const { pa } = masters.find(SID)!.directory!;
      expect(stores.map((line) => line.replace(at, ''))).toEqual([
        's 08 0',
        's 10 0',
        's 18 0',
        `s 00 ${(pa + 0xe1d).toString(16)}`, // PDTS 7: 20 bits
        'pasid on',
        'ats on',
      ]);
    });
  });

  it('is in the half of the bus that devfn[7] selects (vtd.md 2.7)', () => {
    const bench = new Bench();
    bench.do(function* () {
      yield* bench.driver.start();
      const { contexts } = bench.driver.vtd;
      for (const sid of [0x1_00, 0x1_80]) yield* contexts.reserve(sid);
      const { root } = contexts.state;
      const [lower, upper] = [contexts.tables.get(2)!, contexts.tables.get(3)!];
      expect(bench.unit.word(root + 0x10)).toBe(BigInt(lower + 1));
      expect(bench.unit.word(root + 0x18)).toBe(BigInt(upper + 1));
      expect(contexts.addressOf(0x1ff)).toBe(upper + 127 * 32);
    });
  });

  it('is announced under caching mode: its absence is cached with DID 0 (VTD-15)', () => {
    const probe = (options: BenchOptions) => {
      const bench = new Bench(options);
      bench.do(function* () {
        yield* bench.driver.start();
        bench.unit.log.length = 0;
        yield* bench.driver.probeDevice(bench.device);
      });
      return bench.unit.take(/^(q|w 18)/);
    };
    expect(probe({})).toEqual([]);
    expect(probe(CM)).toEqual(['q 1800000031 0 0 0', 'q e2 0 0 0']);
    expect(probe(RWBF)).toEqual(['w 18=8c000000']);
  });

  it('goes before what is cached of it, the rest last (VTD-51)', () => {
    const bench = new Bench();
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.driver.probeDevice(bench.device);
      const at = bench.driver.vtd.contexts.addressOf(SID).toString(16);
      bench.unit.log.length = 0;
      yield* bench.driver.releaseDevice(bench.device);
      const page = at.slice(0, -3);
      expect(bench.unit.take(new RegExp(`^(q|s ${page})`)).map((line) => line.replace(page, ''))).toEqual([
        `s ${at.slice(-3)} 0`,
        'q 1800000031 0 0 0', // no device TLB: ATS is off already, which emptied it (PCI-5)
        ...[8, 16, 24].map((offset) => `s ${(Number.parseInt(at.slice(-3), 16) + offset).toString(16)} 0`),
      ]);
    });
  });
});

describe('PASID directories', () => {
  it.each([
    [20, 7, 128 * 1024],
    [16, 3, 8192],
    [15, 2, 4096],
    [8, 2, 4096],
  ])('reach %i bits with PDTS %i and %i bytes (VTD-6)', (width, pdts, bytes) => {
    const bench = new Bench({ pci: { pasid: { width, exec: false, priv: false } } }).boot();
    expect(bench.driver.vtd.masters.find(SID)!.directory).toMatchObject({ pdts, bytes });
  });

  it('are no wider than the unit’s PASIDs (VTD-6: PSS)', () => {
    const bench = new Bench({ ecap: 0x0001_cd78_a000_0fc7n }).boot(); // PSS 15
    expect(bench.driver.vtd.masters.find(SID)).toMatchObject({ pasidBits: 16, directory: { pdts: 3 } });
  });

  it('get a table on first use, by one store, zeroed, and keep it as long as the device is here (VTD-4, VTD-7)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { pasids, masters } = bench.driver.vtd;
      const master = masters.find(SID)!;
      const { pa, leaves } = master.directory!;
      expect([...leaves.keys()]).toEqual([0]);
      yield* pasids.reserve(master, 64 * 300 + 5);
      yield* pasids.reserve(master, 64 * 300 + 6);
      expect([...leaves.keys()]).toEqual([0, 300]);
      expect(bench.unit.take(/^s/)).toEqual([`s ${(pa + 2400).toString(16)} ${(leaves.get(300)! + 1).toString(16)}`]);
      expect(pasids.addressOf(master, 64 * 300 + 5)).toBe(leaves.get(300)! + 5 * 64);
      for (let i = 0; i < 512; i++) expect(bench.unit.word(leaves.get(300)! + 8 * i)).toBe(0n);
    });
  });
});

describe('PASID entries', () => {
  const image = (pasids: PasidTables): Uint32Array => pasids.imageOf({ pgd: 0x12345000, levels: 4 });

  it('are x86 first stage with domain 1 and snooped walks, of 4 or 5 levels (vtd.md 9.1, VTD-5)', () => {
    const { pasids } = new Bench().driver.vtd;
    const words = (levels: 4 | 5) => [...pasids.imageOf({ pgd: 0x12345000, levels })].map((word) => word.toString(16));
    expect(words(4).slice(0, 6)).toEqual(['49', '0', '800001', '0', '12345000', '0']);
    expect(words(5).slice(0, 6)).toEqual(['49', '0', '800001', '0', '12345004', '0']);
    expect(words(4).slice(6)).toEqual(Array(10).fill('0'));
  });

  it('appear field by field, P last, and nothing is flushed without caching mode (VTD-11, VTD-12, TLB-4)', () => {
    const lines = record(({ driver: { vtd } }) => vtd.pasids.install(vtd.masters.find(SID)!, 1, image(vtd.pasids), 1));
    expect(lines).toEqual([
      's +8 800001',
      's +16 12345000',
      ...[24, 32, 40, 48, 56].map((offset) => `s +${offset} 0`),
      's +0 49',
    ]);
  });

  it('are flushed under caching mode: the entry, then its translations (VTD-12, MN-16)', () => {
    const install = ({ driver: { vtd } }: Bench) => vtd.pasids.install(vtd.masters.find(SID)!, 1, image(vtd.pasids), 1);
    expect(record(install, CM).slice(7)).toEqual(['s +0 49', 'q 100010017 0 0 0', 'q 100010026 0 0 0']);
    expect(record(install, RWBF).slice(7)).toEqual(['s +0 49', 'w 18=8c000000']);
  });

  it.each([
    ['of a living process', false, 's +0 48', 's +0 0'],
    ['of a dead one', true, 's +0 4a', 's +0 2'],
  ])('%s go by one store, all else intact; later the rest (VTD-17, VTD-20, TLB-4)', (_, quiet, first, last) => {
    const lines = record(function* ({ driver: { vtd }, unit }) {
      const master = vtd.masters.find(SID)!;
      yield* vtd.pasids.install(master, 1, image(vtd.pasids), 1);
      unit.log.length = 0;
      yield* vtd.pasids.block(master, 1, quiet);
      unit.log.push('q flushes');
      yield* vtd.pasids.erase(master, 1, quiet);
    });
    expect(lines).toEqual([first, 'q flushes', last, ...[8, 16, 24, 32, 40, 48, 56].map((at) => `s +${at} 0`)]);
  });

  it('would be seen half by hardware with another order (setup-present-first, teardown-zero-at-once)', () => {
    class PresentFirst extends PasidTables {
      override *install(...args: Parameters<PasidTables['install']>): Coroutine<void> {
        yield* this.storePresent(args[0], args[1], args[2]);
        yield* this.storeFields(args[0], args[1], args[2]);
      }
    }
    class ZeroAtOnce extends PasidTables {
      override *block(master: Parameters<PasidTables['block']>[0], pasid: number): Coroutine<void> {
        yield* this.erase(master, pasid, false);
      }
    }
    const first = record(({ driver: { vtd } }) => vtd.pasids.install(vtd.masters.find(SID)!, 1, image(vtd.pasids), 1), {
      parts: { PasidTables: PresentFirst },
    });
    expect(first[0]).toBe('s +0 49');
    const zero = record(({ driver: { vtd } }) => vtd.pasids.block(vtd.masters.find(SID)!, 1, false), {
      parts: { PasidTables: ZeroAtOnce },
    });
    expect(zero).toHaveLength(8);
  });
});
