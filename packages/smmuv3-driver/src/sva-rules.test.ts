import { type Mm, PERM, type Subscription } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf, SID } from '../test/bench.js';
import { PciBench } from '../test/pci-bench.js';
import {
  type Bond,
  type Domain,
  Invalidation,
  type Master,
  type NotifierObject,
  SharedContexts,
  Sva,
} from './index.js';

const OPCODES: Readonly<Record<number, string>> = {
  5: 'CFGI_CD',
  17: 'TLBI ASID',
  18: 'TLBI VA',
  64: 'ATC_INV',
  70: 'SYNC',
};

/** The commands from position `from` on, by name. */
function commandsFrom(bench: Bench, from: number): string {
  const { commands } = bench.driver.smmu;
  const names: string[] = [];
  for (let at = from; at < commands.state.produced; at++) {
    const dw0 = bench.word(commands.state.pa + 16 * (at % 256));
    names.push(OPCODES[Number(dw0 & 0xffn)]!);
  }
  return names.join(' ');
}

/** What release and unbind send, in a machine with ATS. */
function commandsOf(parts: { Sva?: typeof Sva }, dies: boolean): { release: string; unbind: string } {
  const bench = new PciBench({ parts }).boot();
  const found = { release: '', unbind: '' };
  bench.do(function* () {
    const { driver, core } = bench;
    const { commands } = driver.smmu;
    const { mm } = yield* bench.makeMm();
    const handle = yield* driver.bind(bench.pci, mm);
    let from = commands.state.produced;
    if (dies) yield* core.mms.put(mm);
    found.release = commandsFrom(bench, from);
    from = commands.state.produced;
    yield* driver.unbind(handle);
    found.unbind = commandsFrom(bench, from);
    if (!dies) yield* core.mms.put(mm);
  });
  return found;
}

const ENTRY = 'CFGI_CD SYNC CFGI_CD SYNC';
const FLUSHES = 'TLBI ASID SYNC ATC_INV SYNC';

describe('release', () => {
  it('blocks walks, then empties the TLB, then the devices (TLB-1, SMMU-10)', () => {
    expect(commandsOf({}, true).release).toBe(`${ENTRY} ${FLUSHES}`);
  });

  it('leaves a walk behind if it flushes before it blocks (broken TLB-1: release-flush-then-block)', () => {
    const after: number[] = [];
    class FlushesFirst extends Sva {
      override *release(subscription: Subscription): Coroutine<void> {
        const object = subscription.data as NotifierObject;
        yield* this.flushIotlb(object);
        // A walk between the two steps fills the TLB again.
        bench.translate(1, va);
        yield* this.quiesceEntry(object);
        after.push(bench.translate(1, va));
        yield* super.release(subscription);
      }
    }
    const bench = new Bench({ parts: { Sva: FlushesFirst } }).boot();
    let va = 0n;
    bench.do(function* () {
      const made = yield* bench.makeMm();
      va = made.va;
      const handle = yield* bench.driver.bind(bench.device, made.mm);
      yield* bench.core.mms.put(made.mm);
      yield* bench.driver.unbind(handle);
    });
    expect(after[0]).toBeGreaterThan(0);
  });

  it('takes back what devices have translated by themselves: nothing else can (TLB-2)', () => {
    const told = (Part: typeof Sva): string[] => {
      const bench = new PciBench({ parts: { Sva: Part } }).boot();
      bench.do(function* () {
        const { mm } = yield* bench.makeMm();
        const handle = yield* bench.driver.bind(bench.pci, mm);
        bench.got.length = 0;
        yield* bench.core.mms.put(mm);
        yield* bench.driver.unbind(handle);
      });
      return bench.invalidations();
    };
    class Forgets extends Sva {
      override *flushDevTlbs(): Coroutine<void> {}
    }
    // Everything of PASID 1, once: unbind has nothing left to do.
    expect(told(Sva)).toEqual(['1 7fffffff.fffff800']);
    expect(told(Forgets)).toEqual([]);
  });

  it('does nothing but that: no bond, no PASID and no number is freed (SVA-8)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { driver, core } = bench;
      const { mm } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.device, mm);
      yield* core.mms.put(mm);
      expect([driver.smmu.sva.bonds.live(), core.ioasid.inUse(), driver.smmu.asids.owners.size]).toEqual([1, 1, 1]);
      yield* driver.unbind(handle);
      expect([driver.smmu.sva.bonds.live(), core.ioasid.inUse(), driver.smmu.asids.owners.size]).toEqual([0, 0, 0]);
    });
  });
});

describe('unbind', () => {
  it('clears the entry, empties the TLB and the devices, and only then frees the numbers (SMMU-11, SVA-12)', () => {
    expect(commandsOf({}, false)).toEqual({ release: '', unbind: `${ENTRY} ${FLUSHES}` });
    const order: string[] = [];
    class Logged extends Sva {
      override *flushAll(object: NotifierObject): Coroutine<void> {
        yield* super.flushAll(object);
        order.push('flushed');
      }
      override freePasid(mm: Mm): void {
        order.push('PASID');
        super.freePasid(mm);
      }
    }
    class LoggedContexts extends SharedContexts {
      override freeAsid(context: Parameters<SharedContexts['freeAsid']>[0]): void {
        order.push('ASID');
        super.freeAsid(context);
      }
    }
    const bench = new Bench({ parts: { Sva: Logged, SharedContexts: LoggedContexts } }).boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      yield* bench.driver.unbind(yield* bench.driver.bind(bench.device, mm));
      yield* bench.core.mms.put(mm);
    });
    expect(order).toEqual(['flushed', 'PASID', 'ASID']);
  });

  it('does not flush again after a release, which blocked walks before it flushed (SVA-13)', () => {
    expect(commandsOf({}, true).unbind).toBe(ENTRY);
    class Unmarked extends Sva {
      override markCleared(): void {}
    }
    expect(commandsOf({ Sva: Unmarked }, true).unbind).toBe(`${ENTRY} ${FLUSHES}`);
  });

  it('leaves nothing cached under a number that is free (TLB-5)', () => {
    class KeepsLines extends Sva {
      override *flushFreedAsid(): Coroutine<void> {}
    }
    const reached = [Sva, KeepsLines].map((Part) => {
      const bench = new Bench({ parts: { Sva: Part }, settings: { 'smmuv3.asids': 'private' } }).boot();
      let frame = 0;
      let stale = 0;
      bench.do(function* () {
        const { driver, core } = bench;
        const { mm, va } = yield* bench.makeMm();
        const handle = yield* driver.bind(bench.device, mm);
        frame = bench.translate(1, va);
        yield* driver.unbind(handle);
        // The next process has the number, and nothing mapped at that address.
        const next = core.mms.create();
        const second = yield* driver.bind(bench.device, next);
        stale = bench.translate(1, va);
        yield* driver.unbind(second);
        yield* core.mms.put(next);
        yield* core.mms.put(mm);
      });
      return stale === frame ? 'the other process' : stale;
    });
    expect(reached).toEqual([-0x10, 'the other process']);
  });
});

describe('bonds', () => {
  it('reach only what is bound to the device: a table of PASIDs is its own (SVA-19)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const other = yield* bench.plug('other', 0x50);
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.translate(1, va)).toBeGreaterThan(0);
      expect(bench.translate(1, va, 2, 0x50)).toBe(-0x0a);
      const second = yield* bench.driver.bind(other, mm);
      expect(second.pasid).toBe(handle.pasid); // SVA-2
      expect(bench.translate(1, va, 2, 0x50)).toBeGreaterThan(0);
      yield* bench.driver.unbind(handle);
      expect([bench.translate(1, va), bench.translate(1, va, 2, 0x50) > 0]).toEqual([-0x0a, true]);
      yield* bench.driver.unbind(second);
      yield* bench.core.mms.put(mm);
    });
  });

  it('of a narrow device need a PASID that fits, its largest included (IOASID-19, L28)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { driver, core } = bench;
      const narrow = yield* bench.plug('narrow', 0x50, { 'pasid-num-bits': 4 });
      for (const [pasid, code] of [
        [14, 'none'],
        [15, 'none'],
        [16, 'EOVERFLOW'],
      ] as const) {
        for (let i = 1; i < pasid; i++) core.ioasid.alloc({ name: 'others' }, i, i, null);
        const { mm } = yield* bench.makeMm();
        const wide = yield* driver.bind(bench.device, mm);
        expect(wide.pasid).toBe(pasid);
        expect(yield* codeOf(driver.bind(narrow, mm))).toBe(code);
        const bond = driver.smmu.masters.of(narrow).bonds.get(mm);
        if (bond !== undefined) yield* driver.unbind(bond);
        yield* driver.unbind(wide);
        for (let i = 1; i < pasid; i++) core.ioasid.put(i);
        yield* core.mms.put(mm);
      }
    });
  });

  it('are one for a device and an mm, counted (SVA-3); two, or uncounted, if that is broken (L31)', () => {
    const outcomes = (Part: typeof Sva): [same: boolean, live: number, entry: boolean] => {
      const bench = new Bench({ parts: { Sva: Part } }).boot();
      const found: [boolean, number, boolean] = [false, 0, false];
      bench.do(function* () {
        const { mm, va } = yield* bench.makeMm();
        const first = yield* bench.driver.bind(bench.device, mm);
        found[0] = (yield* bench.driver.bind(bench.device, mm)) === first;
        found[1] = bench.driver.smmu.sva.bonds.live();
        yield* bench.driver.unbind(first);
        found[2] = bench.translate(1, va) > 0;
      });
      return found;
    };
    class NoSearch extends Sva {
      override findBond(): Bond | null {
        return null;
      }
    }
    class NoReference extends Sva {
      override getBond(bond: Bond): Bond {
        return bond;
      }
    }
    expect(outcomes(Sva)).toEqual([true, 1, true]);
    expect(outcomes(NoSearch)).toEqual([false, 2, true]);
    expect(outcomes(NoReference)).toEqual([true, 1, false]);
  });

  it('of two domains have a notifier each; with one for both, the second is never told (SVA-4, L33)', () => {
    const notifiers = (Part: typeof Sva): number => {
      const bench = new Bench({ parts: { Sva: Part } }).boot();
      let count = 0;
      bench.do(function* () {
        const other = yield* bench.plug('other', 0x50);
        const { mm } = yield* bench.makeMm();
        yield* bench.driver.bind(bench.device, mm);
        yield* bench.driver.bind(other, mm);
        count = mm.subscriptions.length;
      });
      return count;
    };
    let shared: Domain['notifier'] | null = null;
    class KeyedByMm extends Sva {
      override notifierOps(master: Master): Domain['notifier'] {
        shared ??= super.notifierOps(master);
        return shared;
      }
    }
    expect(notifiers(Sva)).toBe(2);
    expect(notifiers(KeyedByMm)).toBe(1);
  });
});

describe('invalidated ranges (MN-17, L44, L45)', () => {
  const MB = 2 ** 20;

  /** The first and the last page of `bytes` are hot when everything is unmapped: what the device reaches, and the steps. */
  function unmapped(
    bytes: number,
    parts: { Sva?: typeof Sva; Invalidation?: typeof Invalidation } = {},
    capabilities = {},
  ): { reached: number[]; steps: number } {
    const bench = new Bench({ parts, capabilities, settings: { 'mn.duplicate': 'off' } }).boot();
    const found = { reached: [0, 0], steps: 0 };
    bench.do(function* () {
      const { core, driver, kernel } = bench;
      const mm = core.mms.create();
      const va = yield* core.mms.mmap(mm, bytes, PERM.READ | PERM.WRITE);
      const ends = [va, va + BigInt(bytes) - 4096n];
      for (const end of ends) yield* core.cpu.store(mm, end, Uint8Array.of(1));
      const handle = yield* driver.bind(bench.device, mm);
      for (const end of ends) expect(bench.translate(1, end)).toBeGreaterThan(0);
      const from = kernel.steps;
      yield* core.mms.munmap(mm, va, bytes);
      found.steps = kernel.steps - from;
      found.reached = ends.map((end) => bench.translate(1, end));
      yield* driver.unbind(handle);
      yield* core.mms.put(mm);
    });
    return found;
  }

  it.each([1, 2, 3, 5, 511, 512, 513, 4 * MB, 4096 * MB])('of %i pages are forgotten at both ends', (pages) => {
    for (const rangeInvalidation of [false, true]) {
      expect(unmapped(pages * 4096, {}, { rangeInvalidation }).reached).toEqual([-0x10, -0x10]);
    }
  });

  it('lose their last page if one is left out, and nothing if one is added (L44)', () => {
    class OneTooFew extends Sva {
      override rangeOf(start: bigint, end: bigint) {
        const range = super.rangeOf(start, end);
        return { ...range, last: range.last - 1 };
      }
    }
    class OneTooMany extends Sva {
      override rangeOf(start: bigint, end: bigint) {
        return super.rangeOf(start, end + 4096n);
      }
    }
    expect(unmapped(3 * 4096, { Sva: OneTooFew }).reached).toEqual([-0x10, expect.any(Number)]);
    expect(unmapped(3 * 4096, { Sva: OneTooFew }).reached[1]).toBeGreaterThan(0);
    expect(unmapped(3 * 4096, { Sva: OneTooMany }).reached).toEqual([-0x10, -0x10]);
  });

  it('of 16 TiB are forgotten, unless pages are counted in 32 bits (L44: inv-int-pages)', () => {
    class Pages32 extends Invalidation {
      override pagesIn(range: { first: number; last: number }): number {
        return super.pagesIn(range) | 0;
      }
    }
    expect(unmapped(4096 * MB * 4096).reached).toEqual([-0x10, -0x10]);
    const { reached } = unmapped(4096 * MB * 4096, { Invalidation: Pages32 });
    expect(Math.max(...reached)).toBeGreaterThan(0);
  });

  it('of the whole address space, [0, all ones), are everything: one command for the ASID, one for each device', () => {
    const bench = new PciBench().boot();
    bench.do(function* () {
      const { core, driver } = bench;
      const { mm } = yield* bench.makeMm();
      const handle = yield* driver.bind(bench.pci, mm);
      bench.got.length = 0;
      const from = driver.smmu.commands.state.produced;
      yield* core.notifiers.invalidateRange(mm, 0n, (1n << 64n) - 1n);
      expect(commandsFrom(bench, from)).toBe(FLUSHES);
      expect(bench.invalidations()).toEqual(['1 7fffffff.fffff800']);
      yield* driver.unbind(handle);
      yield* core.mms.put(mm);
    });
  });

  it('of 4 GiB take few steps; one command a page takes one for each (L45)', () => {
    class PerPage extends Invalidation {
      override wholeAsidPages(): number {
        return Number.POSITIVE_INFINITY;
      }
    }
    expect(unmapped(4096 * MB).steps).toBeLessThan(2000);
    expect(unmapped(32 * MB, { Invalidation: PerPage }).steps).toBeGreaterThan(2000);
  });
});

describe('a master and its descriptors', () => {
  it('has a bond no more once it is unbound, whatever else is bound (SVA-7)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { driver, core } = bench;
      const [a, b] = [yield* bench.makeMm(), yield* bench.makeMm()];
      const handles = [yield* driver.bind(bench.device, a.mm), yield* driver.bind(bench.device, b.mm)];
      const look = (): string[] =>
        [1, 2].map((pasid) => {
          const reached = bench.translate(pasid, [a, b][pasid - 1]!.va);
          if (reached > 0) return 'BOUND';
          return reached === -0x10 ? 'QUIESCED' : reached === -0x0a ? 'GONE' : `${reached}`;
        });
      expect(look()).toEqual(['BOUND', 'BOUND']);
      yield* core.mms.put(a.mm);
      expect(look()).toEqual(['QUIESCED', 'BOUND']);
      yield* driver.unbind(handles[0]!);
      expect(look()).toEqual(['GONE', 'BOUND']);
      yield* driver.unbind(handles[1]!);
      expect(look()).toEqual(['GONE', 'GONE']);
      expect(driver.smmu.masters.find(SID)!.bonds.size).toBe(0);
      yield* core.mms.put(b.mm);
    });
  });
});
