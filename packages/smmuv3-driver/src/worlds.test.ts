import { PERM } from '@iommukit/core';
import type { Coroutine, Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { BASE, Bench, type BenchOptions, SID } from '../test/bench.js';
import { PciBench } from '../test/pci-bench.js';
import { Domains, Invalidation, Reset, Sva } from './index.js';

const EL2: Settings = { 'cpu-el2': 'on' };
const BTM: Settings = { btm: 'on' };
const BOTH: Settings = { btm: 'on', 'cpu-el2': 'on' };

const cr2 = (bench: Bench): number => bench.bus.load32(BASE + 0x2c);

/** What a routine put into the ring, 64-bit words in pairs. */
function commandsOf(bench: Bench, body: () => Coroutine<void>): string[] {
  const { commands } = bench.driver.smmu;
  const from = commands.state.produced;
  bench.do(body);
  const found: string[] = [];
  for (let position = from; position < commands.state.produced; position++) {
    const pa = commands.state.pa + 16 * (position % 256);
    found.push(`${bench.word(pa).toString(16).padStart(16, '0')} ${bench.word(pa + 8).toString(16)}`);
  }
  return found;
}

const SYNC = '000000000fc02046 0';

describe("the streams' world", () => {
  it('is EL2-E2H with a kernel at EL2: CR2.E2H, STRW, EL2 forms of every TLBI (SMMU-14, TLB-9)', () => {
    const bench = new Bench({ settings: EL2 }).boot();
    const { smmu } = bench.driver;
    expect(cr2(bench)).toBe(0x7); // E2H, RECINVSID, PTM
    expect((bench.word(smmu.streamTable.addressOf(SID) + 8) >> 30n) & 3n).toBe(2n);
    expect(commandsOf(bench, () => smmu.invalidation.tlbAsid(0x12))).toEqual(['0012000000000021 0', SYNC]);
    const page = { first: 0x7f1234567, last: 0x7f1234567 };
    expect(commandsOf(bench, () => smmu.invalidation.tlbByPage(0x12, page))).toEqual([
      '0012000000000022 7f1234567000',
      SYNC,
    ]);
    const range = { first: 0x400, last: 0x40f };
    expect(commandsOf(bench, () => smmu.invalidation.tlbByRange(0x12, range))).toEqual([
      '0012000000400022 400400',
      SYNC,
    ]);
  });

  it('names level and leaf in the commands for what was unmapped (SMMU-24)', () => {
    const bench = new Bench().boot();
    const { invalidation } = bench.driver.smmu;
    const block = { first: 0x400, last: 0x5ff };
    // Leaf, TG 4K, TTL 2 by range; by address only Leaf.
    expect(commandsOf(bench, () => invalidation.tlbByRange(0x12, block, 21))).toEqual([
      '0012000000900012 400601',
      SYNC,
    ]);
    expect(commandsOf(bench, () => invalidation.tlbByPage(0x12, block, 21))).toEqual(['0012000000000012 400001', SYNC]);
    const page = { first: 0x400, last: 0x400 };
    expect(commandsOf(bench, () => invalidation.tlbByRange(0x12, page, 12))).toEqual(['0012000000000012 400701', SYNC]);
  });

  it('stays EL1 when the SMMU has no EL2 contexts, whatever the CPUs do (SMMU-14)', () => {
    const bench = new Bench({ cpu: { el2: true, broadcast: true }, capabilities: { btm: true } }).boot();
    expect(cr2(bench)).toBe(0x6);
    expect(bench.driver.smmu.followsCpus).toBe(false);
  });

  it.each([
    ['EL1', {}],
    ['EL2', EL2],
  ] as const)('%s is invalidated by munmap and unmap (MN-18)', (_, settings) => {
    const bench = new Bench({ settings }).boot();
    bench.do(function* () {
      const { driver, core } = bench;
      const other = yield* bench.plug('other', 0x50, {}, false);
      const domain = yield* driver.allocDomain(other);
      yield* driver.attach(other, domain);
      yield* driver.map(domain, 0x1000n, 0x4300_0000, 4096, PERM.READ);
      expect(bench.translate(-1, 0x1000n, 1, 0x50)).toBe(0x43000);
      yield* driver.unmap(domain, 0x1000n, 4096);
      expect(bench.translate(-1, 0x1000n, 1, 0x50)).toBe(-0x10);
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.device, mm);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      yield* core.mms.munmap(mm, va, 4096);
      expect(bench.translate(1, va)).toBe(-0x10);
      yield* driver.unbind(handle);
      yield* core.mms.put(mm);
    });
  });
});

/** Binds, lets the device cache a page, unmaps it, and says what the device reaches then. */
function afterMunmap(bench: Bench): number {
  let reached = 0;
  bench.do(function* () {
    const { mm, va } = yield* bench.makeMm();
    const handle = yield* bench.driver.bind(bench.device, mm);
    expect(bench.translate(1, va)).toBeGreaterThan(0);
    yield* bench.core.mms.munmap(mm, va, 4096);
    reached = bench.translate(1, va);
    yield* bench.driver.unbind(handle);
    yield* bench.core.mms.put(mm);
  });
  return reached;
}

class NoIotlb extends Sva {
  override *flushIotlbRange(): Coroutine<void> {}
}

describe('broadcast TLB maintenance (MN-15, SMMU-16, L39)', () => {
  it('is followed where ASIDs and exception levels are the same: PTM is clear', () => {
    expect(cr2(new Bench({ settings: BTM }).boot())).toBe(0x2);
    expect(cr2(new Bench({ settings: BOTH }).boot())).toBe(0x3);
  });

  it.each([
    ['the SMMU has ASIDs of its own', { settings: { ...BTM, 'smmuv3.asids': 'private' } }],
    ['the SMMU does not listen', { cpu: { broadcast: true } }],
    ['the CPUs do not broadcast', { capabilities: { btm: true } }],
  ] as [string, BenchOptions][])('is ignored when %s', (_, options) => {
    expect(cr2(new Bench(options).boot()) & 4).toBe(4);
  });

  it.each([
    ['EL1', BTM],
    ['EL2', BOTH],
  ] as const)('replaces the TLBI of the callback at %s', (_, settings) => {
    let commands = 0;
    class Counting extends Invalidation {
      override *tlbRange(): Coroutine<void> {
        commands++;
        yield* [];
      }
    }
    expect(afterMunmap(new Bench({ settings, parts: { Invalidation: Counting } }).boot())).toBe(-0x10);
    expect(commands).toBe(0);
  });

  it('makes the TLBI needless (control inv-no-iotlb-btm); without it the TLBI is missed (inv-no-iotlb)', () => {
    expect(afterMunmap(new Bench({ settings: BTM, parts: { Sva: NoIotlb } }).boot())).toBe(-0x10);
    expect(afterMunmap(new Bench({ parts: { Sva: NoIotlb } }).boot())).toBeGreaterThan(0);
  });

  it('misses streams of another level (broken TLB-9: stream-world-mismatch)', () => {
    class AtEl1 extends Domains {
      override atEl2(): boolean {
        return false;
      }
    }
    expect(afterMunmap(new Bench({ settings: BOTH, parts: { Domains: AtEl1 } }).boot())).toBeGreaterThan(0);
  });

  it('is missed when the SMMU is told to ignore it and the callback relies on it (broken SMMU-16)', () => {
    class Ignores extends Reset {
      override followsCpus(): boolean {
        return false;
      }
    }
    expect(afterMunmap(new Bench({ settings: BTM, parts: { Reset: Ignores } }).boot())).toBeGreaterThan(0);
  });

  it('never reaches a device: the callback invalidates its cache by command (MN-15)', () => {
    const told = (parts: BenchOptions['parts']): number => {
      const bench = new PciBench({ settings: { ...BTM, 'mn.duplicate': 'off' }, parts: parts ?? {} });
      bench.boot().do(function* () {
        const { mm, va } = yield* bench.makeMm();
        const handle = yield* bench.driver.bind(bench.pci, mm);
        bench.got.length = 0;
        yield* bench.core.mms.munmap(mm, va, 4096);
        yield* bench.driver.unbind(handle);
        yield* bench.core.mms.put(mm);
      });
      return bench.invalidations().length;
    };
    class TrustsBroadcast extends Sva {
      override *flushDevTlbRange(): Coroutine<void> {}
    }
    // One for the munmap, one for the unbind.
    expect(told({})).toBe(2);
    expect(told({ Sva: TrustsBroadcast })).toBe(1);
  });
});

describe('what is flushed before a fault is answered (MN-14, L41)', () => {
  it.each([
    ['without broadcasts', {}],
    ['with them, for a CPU may have flushed its own TLB only (MN-15)', BTM],
  ] as const)('is the page in the TLB and in the device, by command, %s', (_, settings) => {
    const bench = new PciBench({ settings }).boot();
    bench.do(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.pci, mm);
      const { smmu } = bench.driver;
      const page = Number(va >> 12n);
      bench.got.length = 0;
      const from = smmu.commands.state.produced;
      yield* smmu.sva.flushForResponse(smmu.masters.of(bench.pci), handle.pasid, page);
      const words = [0, 1, 2, 3].map((i) => bench.word(smmu.commands.state.pa + 16 * ((from + i) % 256)) & 0xffn);
      expect(words).toEqual([0x12n, 0x46n, 0x40n, 0x46n]);
      expect(bench.invalidations()).toEqual([
        `1 ${Math.floor(page / 2 ** 20).toString(16)}.${((page * 4096) % 2 ** 32).toString(16)}`,
      ]);
      // A PASID that the device is not bound to is nobody's.
      yield* smmu.sva.flushForResponse(smmu.masters.of(bench.pci), 7, page);
      expect(smmu.commands.state.produced).toBe(from + 4);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });
});
