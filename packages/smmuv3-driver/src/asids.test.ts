import { AsidAllocator, type DmaDomain, type Mm, PERM } from '@iommukit/core';
import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf, SID } from '../test/bench.js';
import { Asids, type PrivateContext, PrivateContexts, type SharedContext, SharedContexts } from './index.js';

const IOVA = 0x10000n;
const DMA_SID = 0x50;

/** A bench with a second device, attached to a domain of its own in which one page is mapped. */
class AsidBench extends Bench {
  domain: DmaDomain | null = null;
  frame = 0;

  override *start(): Coroutine<void> {
    yield* super.start();
    const other = yield* this.plug('other', DMA_SID, {}, false);
    this.domain = yield* this.driver.allocDomain(other);
    yield* this.driver.attach(other, this.domain);
    this.frame = this.bus.frames.alloc('dma buffer');
    yield* this.driver.map(this.domain, IOVA, this.frame * 4096, 4096, PERM.READ | PERM.WRITE);
  }

  get context(): PrivateContext {
    return this.driver.smmu.masters.find(DMA_SID)!.domain!.own!;
  }

  /** The ASID that descriptor `ssid` of the stream's table says, and its ASET. */
  asidIn(sid: number, ssid: number): [asid: number, aset: number] {
    const { smmu } = this.driver;
    const dw0 = this.word(smmu.contexts.addressOf(smmu.masters.find(sid)!.domain!.contexts, ssid));
    return [Number(dw0 >> 48n), Number((dw0 >> 47n) & 1n)];
  }

  /** What the SMMU's TLB holds under an ASID. */
  linesOf(asid: number): number {
    const { iotlb } = this.hardware as unknown as {
      iotlb: { lines: { tag: Float64Array }; spaces: { asids: number[]; spaceOf(tag: number): number } };
    };
    let count = 0;
    iotlb.lines.tag.forEach((tag) => {
      if (tag !== -1 && iotlb.spaces.asids[iotlb.spaces.spaceOf(tag)] === asid) count++;
    });
    return count;
  }
}

const make = (options: BenchOptions = {}): AsidBench => new AsidBench(options).boot();

describe('ASIDs of bound processes', () => {
  it("are the CPUs' own, pinned while bound, in the shared set (SMMU-15, ASID-10)", () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { core, driver } = bench;
      const { mm } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.device, mm);
      const [context] = driver.smmu.sharedContexts.byMm.values();
      expect(context!.asid).toBe(core.asids.asidOf(mm));
      expect([mm.asidPins, core.asids.inUse()]).toEqual([1, 1]);
      yield* driver.unbind(handle);
      expect([mm.asidPins, core.asids.inUse()]).toEqual([0, 0]);
      yield* core.mms.put(mm);
    });
  });

  it("are the SMMU's own in the private set, lowest first, when told so (SMMU-15)", () => {
    const bench = make({ settings: { 'smmuv3.asids': 'private' } });
    bench.do(function* () {
      const { core, driver } = bench;
      const { mm } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.device, mm);
      expect(bench.asidIn(SID, 1)).toEqual([2, 1]);
      expect(bench.asidIn(DMA_SID, 0)).toEqual([1, 1]);
      expect(mm.asidPins).toBe(0);
      yield* driver.unbind(handle);
      yield* core.mms.put(mm);
    });
  });

  it('cannot be had when the CPUs need what is left (TLB-7, ESRCH)', () => {
    const bench = new Bench({ settings: { asids: 8 } }).boot();
    bench.do(function* () {
      // Usable numbers - CPUs - 2.
      const mms: Mm[] = [];
      for (let i = 0; i < 5; i++) mms.push((yield* bench.makeMm()).mm);
      const before = bench.inUse();
      const handles = [];
      for (let i = 0; i < 4; i++) handles.push(yield* bench.driver.bind(bench.device, mms[i]!));
      expect(yield* codeOf(bench.driver.bind(bench.device, mms[4]!))).toBe('ESRCH');
      yield* bench.driver.unbind(handles.pop()!);
      handles.push(yield* bench.driver.bind(bench.device, mms[4]!));
      for (const handle of handles) yield* bench.driver.unbind(handle);
      yield* bench.core.notifiers.synchronize();
      expect(bench.inUse()).toEqual(before);
      for (const mm of mms) yield* bench.core.mms.put(mm);
    });
  });

  it("are unpinned while the context's own reference keeps the mm, whoever dies first (SVA-16, L10)", () => {
    const bench = new Bench().boot();
    const before = bench.inUse();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      yield* bench.core.mms.put(mm);
      expect(bench.core.mms.slab.live()).toBe(1);
      yield* bench.driver.unbind(handle);
      yield* bench.core.notifiers.synchronize();
      expect(bench.core.mms.slab.live()).toBe(0);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it('are unpinned through a freed mm if the context does not hold it (broken SVA-16: cd-no-mmgrab)', () => {
    class NoGrab extends SharedContexts {
      override grabMm(_context: SharedContext): void {}
    }
    const bench = new Bench({ parts: { SharedContexts: NoGrab } }).boot();
    const start = bench.kernel.checkpoints.take();
    let caught = 0;
    for (let seed = 1; seed <= 40; seed++) {
      start.restore();
      bench.kernel.spawn('main', function* () {
        const { mm } = yield* bench.makeMm();
        const handle = yield* bench.driver.bind(bench.device, mm);
        yield* bench.core.mms.put(mm);
        yield* bench.driver.unbind(handle);
      });
      bench.kernel.begin(new RandomChooser(seed));
      const outcome = bench.kernel.run();
      if (outcome.end !== 'violation') continue;
      caught++;
      expect(outcome.violation.invariant).toBe('INV-9');
    }
    expect(caught).toBeGreaterThan(0);
  });
});

describe('a roll-over of the CPUs numbers (TLB-7, ASID-10, L47)', () => {
  /** What a bound device reaches of a page that was unmapped after a roll-over, where the SMMU follows broadcasts. */
  function afterRollOver(parts: BenchOptions['parts'] = {}): number {
    const bench = new Bench({ settings: { asids: 8, btm: 'on' }, parts: parts ?? {} }).boot();
    let reached = 0;
    bench.do(function* () {
      const { core, driver } = bench;
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.device, mm);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      const { generation } = core.asids.state;
      const others: Mm[] = [];
      while (core.asids.state.generation === generation) others.push((yield* bench.makeMm()).mm);
      for (let i = 0; i < 3; i++) others.push((yield* bench.makeMm()).mm);
      yield* core.cpu.store(mm, va, Uint8Array.of(1));
      yield* core.mms.munmap(mm, va, 4096);
      reached = bench.translate(1, va);
      yield* driver.unbind(handle);
      for (const other of [mm, ...others]) yield* core.mms.put(other);
    });
    return reached;
  }

  it('changes nothing for a bound process, whose number is pinned', () => {
    expect(afterRollOver()).toBe(-0x10);
  });

  it('makes broadcasts miss it if its number is not (broken TLB-7: asid-not-pinned)', () => {
    class Unpinned extends SharedContexts {
      override *pinAsid(mm: Mm): Coroutine<number> {
        const { asids } = this.smmu.core;
        const asid = yield* asids.pin(mm);
        yield* asids.unpin(mm);
        return asid;
      }
      override *unpinAsid(): Coroutine<void> {}
    }
    expect(afterRollOver({ SharedContexts: Unpinned })).toBeGreaterThan(0);
  });
});

describe("a number that a context of the SMMU's own has (TLB-7, SMMU-15)", () => {
  it('is seized for a process: the context moves, with its translations flushed and its device going on', () => {
    const bench = make();
    bench.do(function* () {
      expect(bench.asidIn(DMA_SID, 0)).toEqual([1, 1]);
      expect(bench.translate(-1, IOVA, 2, DMA_SID)).toBe(bench.frame);
      expect(bench.linesOf(1)).toBe(1);
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.asidIn(SID, 1)).toEqual([1, 0]);
      expect(bench.asidIn(DMA_SID, 0)).toEqual([2, 1]);
      expect([bench.context.asid, bench.context.leaving, bench.linesOf(1)]).toEqual([2, 0, 0]);
      expect(bench.translate(-1, IOVA, 2, DMA_SID)).toBe(bench.frame);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      expect([...bench.driver.smmu.asids.owners.keys()].sort()).toEqual([1, 2]);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('is rewritten hitlessly: one store, one sync, and never an invalid descriptor', () => {
    const bench = make();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const { smmu } = bench.driver;
      const from = smmu.commands.state.produced;
      yield* smmu.privateContexts.vacate(bench.context);
      // CFGI_CD, SYNC; TLBI_NH_ASID of the old number, SYNC.
      expect(smmu.commands.state.produced - from).toBe(4);
      const pa = smmu.commands.state.pa + 16 * ((from + 2) % 256);
      expect(bench.word(pa)).toBe(0x0001_0000_0000_0011n);
      smmu.asids.free(1);
      yield* bench.core.mms.put(mm);
    });
  });

  it('is refused when it is the number of another process (EINVAL)', () => {
    class SameForAll extends AsidAllocator {
      override asidOf(): number {
        return 7;
      }
    }
    const bench = new Bench({ coreParts: { AsidAllocator: SameForAll } }).boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const { mm: other } = yield* bench.makeMm();
      const before = bench.inUse();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(yield* codeOf(bench.driver.bind(bench.device, other))).toBe('EINVAL');
      expect(other.asidPins).toBe(0);
      yield* bench.driver.unbind(handle);
      yield* bench.core.notifiers.synchronize();
      expect(bench.inUse()).toEqual(before);
      yield* bench.core.mms.put(mm);
      yield* bench.core.mms.put(other);
    });
  });

  it('cannot be seized when there is none to move to, and nothing changes then (ENOSPC)', () => {
    class Full extends Asids {
      full = false;
      override alloc(owner: Parameters<Asids['alloc']>[0]): number {
        if (this.full) throw this.exhausted();
        return super.alloc(owner);
      }
    }
    const bench = make({ parts: { Asids: Full } });
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const before = bench.inUse();
      (bench.driver.smmu.asids as Full).full = true;
      expect(yield* codeOf(bench.driver.bind(bench.device, mm))).toBe('ENOSPC');
      expect([bench.context.asid, bench.context.leaving, mm.asidPins, mm.pasid]).toEqual([1, 0, 0, 0]);
      yield* bench.core.notifiers.synchronize();
      expect(bench.inUse()).toEqual(before);
      yield* bench.core.mms.put(mm);
    });
  });

  it("keeps the context's old lines for the process to hit if nobody flushes (broken TLB-7: seize-no-flush)", () => {
    class NoFlush extends PrivateContexts {
      override *flushLeft(): Coroutine<void> {}
    }
    const bench = make({ parts: { PrivateContexts: NoFlush } });
    bench.do(function* () {
      expect(bench.translate(-1, IOVA, 2, DMA_SID)).toBe(bench.frame);
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.linesOf(1)).toBe(1);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });
});

/** A bind that seizes the domain's number while another task unmaps, in random orders. */
function race(bench: AsidBench, count: number): number {
  const start = bench.kernel.checkpoints.take();
  let stale = 0;
  for (let seed = 1; seed <= count; seed++) {
    start.restore();
    bench.kernel.spawn('bind', function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
    bench.kernel.spawn('unmap', function* () {
      bench.translate(-1, IOVA, 2, DMA_SID);
      yield* bench.driver.unmap(bench.domain!, IOVA, 4096);
      if (bench.translate(-1, IOVA, 2, DMA_SID) === bench.frame) stale++;
    });
    bench.kernel.begin(new RandomChooser(seed));
    expect(bench.kernel.run().end, `seed ${seed}`).toBe('finished');
  }
  return stale;
}

describe('an unmap while the number changes hands (TLB-7)', () => {
  it('leaves no translation behind when it returns, under any schedule', () => {
    expect(race(make(), 300)).toBe(0);
  });

  it('leaves one until the old number is flushed if it flushes the new one only', () => {
    class NewOnly extends PrivateContexts {
      override asidsOf({ asid }: PrivateContext): readonly number[] {
        return [asid];
      }
    }
    expect(race(make({ parts: { PrivateContexts: NewOnly } }), 300)).toBeGreaterThan(0);
  });
});
