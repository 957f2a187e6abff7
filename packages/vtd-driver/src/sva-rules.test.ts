import type { Core, Mm, SvaHandle } from '@iommukit/core';
import { type Coroutine, RandomChooser, type Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf, SID } from '../test/bench.js';
import { type Bond, Sva, type Svm } from './index.js';

const CM = { cap: 0x01d2_018c_222f_0686n };
const OTHER = 0x20;

/** Stores to the entry of PASID 1, as `s +offset value`, and descriptors but waits, since the log was emptied. */
function events(bench: Bench, sid = SID): string[] {
  const entry = bench.entryAt(1, sid);
  return bench.unit
    .take(/^[qs] /)
    .flatMap((line) => {
      if (line.startsWith('q')) return [line.replace(/( 0)+$/, '')];
      const [, pa, value] = line.split(' ') as [string, string, string];
      const offset = Number.parseInt(pa, 16) - entry;
      return offset >= 0 && offset < 64 ? [`s +${offset} ${value}`] : [];
    })
    .filter((line) => !/^s \+(24|32|40|48|56) 0$/.test(line));
}

/** A bound process: what `body` makes of it. */
function bound(
  body: (bench: Bench, given: { mm: Mm; va: bigint; handle: SvaHandle }) => Coroutine<void>,
  options: BenchOptions = {},
): Bench {
  const bench = new Bench(options).boot();
  const before = bench.inUse();
  bench.do(function* () {
    const { mm, va } = yield* bench.makeMm();
    const handle = yield* bench.driver.bind(bench.device, mm);
    bench.unit.log.length = 0;
    bench.trace.length = 0;
    yield* body(bench, { mm, va, handle });
  });
  expect(bench.inUse()).toEqual(before);
  return bench;
}

const lines = (bench: Bench, pattern: RegExp): string[] => bench.trace.filter((line) => pattern.test(line));

describe('release: the process dies first (TLB-1, SVA-8)', () => {
  it('blocks with FPD in one store, drops what is cached in order, then zeroes the rest (VTD-17 … VTD-20, SVA-11)', () => {
    bound(function* (bench, { mm, handle }) {
      yield* bench.core.mms.put(mm);
      expect(events(bench)).toEqual([
        's +0 4a', // P=0, FPD=1, all else intact
        'q 100010017', // PASID cache
        'q 100010026', // IOTLB, PASID-selective
        'q 100180008 7ffffffffffff800', // device TLB, everything
        's +0 2',
        's +8 0',
        's +16 0',
      ]);
      expect(lines(bench, /vtd_mm/)).toEqual(['vtd_mm_release: pasid=1']);
      yield* bench.driver.unbind(handle);
    });
  });

  it('leaves P=0 FPD=1 until unbind, which zeroes the entry and drops nothing again (VTD-21, SVA-13, G-V)', () => {
    bound(function* (bench, { mm, handle }) {
      yield* bench.core.mms.put(mm);
      expect(bench.entry(1)).toEqual([2n]);
      bench.unit.log.length = 0;
      bench.trace.length = 0;
      const { drain } = bench.driver.vtd;
      const run = drain.run.bind(drain);
      drain.run = function* (...args) {
        bench.unit.log.push('q drain');
        yield* run(...args);
        bench.unit.log.length = bench.unit.log.indexOf('q drain') + 1;
      };
      yield* bench.driver.unbind(handle);
      expect(events(bench)).toEqual(['s +0 0', 's +8 0', 's +16 0', 'q drain']);
      expect(bench.entry(1)).toEqual([]);
      expect(lines(bench, /vtd_(unbind|mm)/)).toEqual(['vtd_unbind_free: dev=0000:00:03.0 pasid=1']);
    });
  });

  it('does not lose FPD by testing P after it is gone (D-24)', () => {
    class TestsAgain extends Sva {
      override *eraseQuiesced({ master, pasid }: Bond): Coroutine<void> {
        const state = yield* this.vtd.pasids.stateOf(master, pasid);
        yield* this.vtd.pasids.erase(master, pasid, state === 'present');
      }
    }
    const left = (parts: BenchOptions['parts'] & object): bigint[] => {
      let entry: bigint[] = [];
      bound(
        function* (bench, { mm, handle }) {
          yield* bench.core.mms.put(mm);
          entry = bench.entry(1);
          yield* bench.driver.unbind(handle);
        },
        { parts },
      );
      return entry;
    };
    expect(left({})).toEqual([2n]);
    expect(left({ Sva: TestsAgain })).toEqual([]);
  });

  it('reaches every device of the process, by one notifier (SVA-4)', () => {
    bound(function* (bench, { mm, handle }) {
      const other = yield* bench.plug('0000:00:04.0', OTHER);
      const second = yield* bench.driver.bind(other, mm);
      expect([second.pasid, mm.subscriptions.length, mm.count]).toEqual([1, 1, 2]);
      yield* bench.core.mms.put(mm);
      expect([bench.entry(1), bench.entry(1, OTHER)]).toEqual([[2n], [2n]]);
      expect(lines(bench, /mm_release/)).toHaveLength(1);
      yield* bench.driver.unbind(handle);
      expect([bench.entry(1), bench.entry(1, OTHER)]).toEqual([[], [2n]]);
      yield* bench.driver.unbind(second);
      expect(bench.entry(1, OTHER)).toEqual([]);
      yield* bench.disableSva(other);
      yield* bench.driver.releaseDevice(other);
    });
  });

  it('must not sleep: draining there is found (MN-10, release-drains-prq, L19)', () => {
    class Drains extends Sva {
      override *quiesce(bond: Bond): Coroutine<void> {
        yield* super.quiesce(bond);
        yield* this.vtd.drain.run(bond.master, bond.pasid);
      }
    }
    const bench = new Bench({ parts: { Sva: Drains } }).boot();
    const outcome = bench.run(function* () {
      const { mm } = yield* bench.makeMm();
      yield* bench.driver.bind(bench.device, mm);
      bench.kernel.spawn('worker', function* () {
        yield* bench.core.mms.put(mm);
      });
      // Something to wait for.
      bench.driver.vtd.iopf.work.queue({ run: () => bench.kernel.clock.sleep(1000) });
    });
    expect(outcome).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10' } });
  });

  it('runs once, whoever calls it (MN-7): unregistering calls it again (release-not-idempotent)', () => {
    class Again extends Sva {
      override isCleared(): boolean {
        return false;
      }
    }
    const releases = (Part: typeof Sva): number => {
      const bench = bound(
        function* (given, { mm, handle }) {
          yield* given.driver.unbind(handle);
          yield* given.core.mms.put(mm);
        },
        { parts: { Sva: Part } },
      );
      return lines(bench, /mm_release/).length;
    };
    expect([releases(Sva), releases(Again)]).toEqual([0, 1]);
  });
});

describe('unbind: the process lives (SVA-12)', () => {
  it('leaves an entry alone that is neither present nor quiet, and tells if it is not zero (VTD-21)', () => {
    for (const [word, told] of [
      [0, []],
      [0x1000, ['vtd_entry_left: dev=0000:00:03.0 pasid=1']],
    ] as const) {
      const bench = bound(function* (given, { mm, handle }) {
        const at = given.entryAt(1);
        for (let i = 0; i < 8; i++) given.bus.store64(at + 8 * i, i === 3 ? word : 0, 0);
        yield* given.driver.unbind(handle);
        expect(events(given).filter((line) => line.startsWith('s'))).toEqual([]);
        given.bus.store64(at + 24, 0, 0);
        yield* given.core.mms.put(mm);
      });
      expect(lines(bench, /entry_left/)).toEqual(told);
    }
  });

  it('clears P alone, drops what is cached, zeroes the entry, and drains afterwards (VTD-17, VTD-19, VTD-28, TLB-4)', () => {
    bound(function* (bench, { mm, handle }) {
      yield* bench.driver.unbind(handle);
      expect(events(bench).slice(0, 7)).toEqual([
        's +0 48',
        'q 100010017',
        'q 100010026',
        'q 100180008 7ffffffffffff800',
        's +0 0',
        's +8 0',
        's +16 0',
      ]);
      expect(lines(bench, /mm_release/)).toEqual([]);
      yield* bench.core.mms.put(mm);
    });
  });

  it('waits for each step before the next (VTD-17)', () => {
    const bench = bound(function* (given, { mm, handle }) {
      yield* given.driver.unbind(handle);
      yield* given.core.mms.put(mm);
    });
    const tails = bench.unit.take(/^w 88=/).map((line) => Number.parseInt(line.slice(5), 16) / 32);
    expect(tails.slice(1, 3).map((tail, i) => tail - tails[i]!)).toEqual([2, 2]); // one descriptor and its wait
  });

  it('frees the PASID last: nothing names it any more (SVA-15, TLB-5)', () => {
    bound(function* (bench, { mm, handle }) {
      const { core } = bench;
      const put = core.ioasid.put.bind(core.ioasid);
      core.ioasid.put = (pasid) => {
        expect(bench.entry(1)).toEqual([]);
        expect(bench.unit.log.filter((line) => line.startsWith('q'))).not.toEqual([]);
        return put(pasid);
      };
      yield* bench.driver.unbind(handle);
      yield* core.mms.put(mm);
    });
  });

  it('does not drain where faults are not enabled (VTD-29)', () => {
    const pci = { pri: null };
    const bench = new Bench({ pci });
    bench.do(function* () {
      const { driver, device } = bench;
      yield* driver.start();
      yield* driver.probeDevice(device);
      expect(yield* codeOf(driver.enable(device, 'iopf'))).toBe('ENODEV');
      yield* driver.enable(device, 'sva');
      const { mm } = yield* bench.makeMm();
      const handle = yield* driver.bind(device, mm);
      driver.vtd.drain.run = () => {
        throw new Error('drained');
      };
      yield* driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('leaves other devices of the process alone', () => {
    bound(function* (bench, { mm, handle }) {
      const other = yield* bench.plug('0000:00:04.0', OTHER);
      const second = yield* bench.driver.bind(other, mm);
      bench.unit.log.length = 0;
      yield* bench.driver.unbind(handle);
      expect(bench.entry(1, OTHER)[0]).toBe(0x49n);
      expect(bench.unit.take(/^q \S*[0-9a-f]08 /).every((line) => line.startsWith('q 100180008'))).toBe(true);
      expect(mm.subscriptions).toHaveLength(1);
      yield* bench.driver.unbind(second);
      yield* bench.disableSva(other);
      yield* bench.driver.releaseDevice(other);
      yield* bench.core.mms.put(mm);
    });
  });

  it('and release at once leave an empty entry and one release line at most (MN-3, MN-7, SVA-23, L05)', () => {
    const kinds = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const bench = new Bench().boot();
      const before = bench.inUse();
      let handle: SvaHandle | null = null;
      let mm: Mm | null = null;
      bench.do(function* () {
        ({ mm } = yield* bench.makeMm());
        handle = yield* bench.driver.bind(bench.device, mm);
      });
      bench.trace.length = 0;
      bench.kernel.spawn('exit', () => bench.core.mms.put(mm!));
      bench.do(() => bench.driver.unbind(handle!), new RandomChooser(seed));
      expect(bench.entry(1)).toEqual([]);
      expect(bench.inUse()).toEqual(before);
      const told = lines(bench, /mm_release|unbind_free/).map((line) => line.split(':')[0]!);
      kinds.add(told.join(' '));
    }
    expect([...kinds].toSorted()).toEqual(['vtd_mm_release vtd_unbind_free', 'vtd_unbind_free']);
  });
});

describe('invalidateRange: mappings change (MN-18)', () => {
  it('drops the pages in the IOTLB, then in every device, in one batch with one wait (VTD-23, TLB-2)', () => {
    bound(function* (bench, { mm, va, handle }) {
      const other = yield* bench.plug('0000:00:04.0', OTHER);
      const second = yield* bench.driver.bind(other, mm);
      bench.unit.log.length = 0;
      bench.trace.length = 0;
      const { queue } = bench.driver.vtd;
      const { produced } = queue.state;
      yield* bench.driver.vtd.sva.invalidateRange(mm.subscriptions[0]!, va, va + 4096n);
      const page = va.toString(16);
      expect(bench.unit.take()).toEqual([
        `q 100010036 ${page} 0 0`,
        `q 100180008 ${page} 0 0`,
        `q 100200008 ${page} 0 0`,
      ]);
      expect(queue.state.produced - produced).toBe(4);
      expect(lines(bench, /invalidate/)).toEqual([
        `vtd_mm_invalidate: pasid=1 start=0x${page} end=0x${(va + 4096n).toString(16)}`,
      ]);
      yield* bench.driver.unbind(handle);
      yield* bench.driver.unbind(second);
      yield* bench.disableSva(other);
      yield* bench.driver.releaseDevice(other);
      yield* bench.core.mms.put(mm);
    });
  });

  it('comes with a munmap, twice for one range as old kernels do it (MN-12)', () => {
    const count = (settings: Settings): number => {
      const bench = bound(
        function* (given, { mm, va, handle }) {
          yield* given.core.mms.munmap(mm, va, 4096);
          yield* given.driver.unbind(handle);
          yield* given.core.mms.put(mm);
        },
        { settings },
      );
      return lines(bench, /vtd_mm_invalidate/).length;
    };
    expect([count({ 'mn.duplicate': 'on' }), count({ 'mn.duplicate': 'off' })]).toEqual([2, 1]);
  });

  it('is silent for new mappings, also under caching mode (VTD-16)', () => {
    bound(function* (bench, { mm, handle }) {
      const { core } = bench;
      const va = yield* core.mms.mmap(mm, 4096, 3);
      yield* core.cpu.store(mm, va, Uint8Array.of(1));
      expect(bench.unit.take()).toEqual([]);
      yield* bench.driver.unbind(handle);
      yield* core.mms.put(mm);
    }, CM);
  });

  it('sets no hint and counts in the unit’s pages (VTD-27, vtd.md 3.12)', () => {
    bound(function* (bench, { mm, handle }) {
      const at = 0x7f0000004000n;
      yield* bench.driver.vtd.sva.invalidateRange(mm.subscriptions[0]!, at, at + 0x4000n);
      expect(bench.unit.take()[0]).toBe('q 100010036 7f0000004002 0 0');
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('takes the whole space for the whole PASID (VTD-25)', () => {
    bound(function* (bench, { mm, handle }) {
      yield* bench.driver.vtd.sva.invalidateRange(mm.subscriptions[0]!, 0n, 0xffff_ffff_ffff_ffffn);
      expect(bench.unit.take()).toEqual(['q 100010026 0 0 0', 'q 100180008 7ffffffffffff800 0 0']);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('does not come after release, nor does anything else of the process (MN-8)', () => {
    const bench = bound(function* (given, { mm, handle }) {
      yield* given.core.mms.put(mm);
      given.trace.length = 0;
      yield* given.driver.unbind(handle);
    });
    expect(lines(bench, /vtd_mm_invalidate/)).toEqual([]);
  });
});

describe('bind', () => {
  it('lists the device before its entry is live, and tells the driver after that (SVA-5, L34)', () => {
    const order: string[] = [];
    class Ordered extends Sva {
      override *register(svm: Svm): Coroutine<void> {
        yield* super.register(svm);
        order.push('notifier');
      }
      override listDevice(bond: Bond): void {
        super.listDevice(bond);
        order.push('listed');
      }
      override *publishEntry(bond: Bond): Coroutine<void> {
        order.push('entry');
        yield* super.publishEntry(bond);
      }
      override linkBond(bond: Bond): void {
        super.linkBond(bond);
        order.push('told');
      }
    }
    bound(
      function* (bench, { mm, handle }) {
        yield* bench.driver.unbind(handle);
        yield* bench.core.mms.put(mm);
      },
      { parts: { Sva: Ordered } },
    );
    expect(order).toEqual(['notifier', 'listed', 'entry', 'told']);
  });

  it('holds mm_count and no mm_users (MM-7, MN-1)', () => {
    bound(function* (bench, { mm, handle }) {
      expect([mm.users, mm.count]).toEqual([1, 2]);
      yield* bench.driver.unbind(handle);
      expect(mm.count).toBe(1);
      yield* bench.core.mms.put(mm);
    });
  });

  it('announces the entry under caching mode (VTD-12, present-no-flush-caching-mode)', () => {
    const bench = new Bench(CM).boot();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      expect(bench.unit.take()).toEqual(['q 100010017 0 0 0', 'q 100010026 0 0 0']);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });

  it('gives PASIDs from 1 on: 0 is that of requests without one (VTD-40)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      for (const expected of [1, 2, 3]) {
        const { mm } = yield* bench.makeMm();
        expect((yield* bench.driver.bind(bench.device, mm)).pasid).toBe(expected);
      }
      expect(bench.entry(0)).toEqual([]);
    });
  });

  it('does not store an entry for a process that died meanwhile (SVA-6, attach-without-mmget)', () => {
    class DiesMeanwhile extends Sva {
      override *reserveEntry(bond: Bond): Coroutine<void> {
        yield* super.reserveEntry(bond);
        yield* this.vtd.core.mms.put(bond.mm);
      }
    }
    const bench = new Bench({ parts: { Sva: DiesMeanwhile } }).boot();
    const before = bench.inUse();
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      expect(yield* codeOf(bench.driver.bind(bench.device, mm))).toBe('EINVAL');
      expect(bench.entry(1)).toEqual([]);
    });
    expect(bench.inUse()).toEqual(before);
    expect(lines(bench, /vtd_/)).toEqual([]);
  });

  it('has no more than the device’s own PASIDs (VTD-41, IOASID-19)', () => {
    const pci = { pasid: { width: 2, exec: false, priv: false } };
    const bench = new Bench({ pci }).boot();
    bench.do(function* () {
      const codes: string[] = [];
      for (let i = 0; i < 4; i++)
        codes.push(yield* codeOf(bench.driver.bind(bench.device, (yield* bench.makeMm()).mm)));
      expect(codes).toEqual(['none', 'none', 'none', 'ENOSPC']);
    });
  });

  it('uses the same PASID on every unit, each with a notifier of its own (SVA-2, SVA-4)', () => {
    bound(function* (bench, { mm, handle }) {
      expect((bench.core as Core).ioasid.inUse()).toBe(1);
      expect(mm.pasid).toBe(handle.pasid);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });
});

describe('entries', () => {
  it('are never changed while they are present, but for P: what VTD-13 and VTD-14 ask for cannot be needed', () => {
    const present = new Map<number, string>();
    const wrong: string[] = [];
    const bench = new Bench().boot();
    const watch = (line: string): void => {
      const [, pa, value] = /^s (\S+) (\S+)$/.exec(line) ?? [];
      if (pa === undefined) return;
      const at = Number.parseInt(pa, 16);
      const { leaves } = bench.driver.vtd.masters.find(SID)!.directory!;
      if (![...leaves.values()].some((leaf) => at >= leaf && at < leaf + 4096)) return;
      const entry = at - (at % 64);
      const old = present.get(entry);
      const word = BigInt(`0x${value}`);
      // Of a present entry only P goes, with FPD or without.
      if (old !== undefined && (at !== entry || ((word ^ BigInt(`0x${old}`)) & ~2n) !== 1n)) wrong.push(line);
      if (at === entry && (word & 1n) === 1n) present.set(entry, value!);
      else if (at === entry) present.delete(entry);
    };
    const { log } = bench.unit;
    const push = log.push.bind(log);
    log.push = (...lines) => {
      for (const line of lines) watch(line);
      return push(...lines);
    };
    bench.do(function* () {
      const { driver, device, core } = bench;
      for (let round = 0; round < 3; round++) {
        const [first, second] = [yield* bench.makeMm(), yield* bench.makeMm()];
        const handles = [yield* driver.bind(device, first.mm), yield* driver.bind(device, second.mm)];
        expect(present.size).toBe(2);
        yield* core.mms.put(first.mm);
        for (const handle of handles) yield* driver.unbind(handle);
        yield* core.mms.put(second.mm);
      }
    });
    expect([wrong, present.size]).toEqual([[], 0]);
  });
});

describe('flushPage: before a fault is answered SUCCESS (MN-14)', () => {
  it('drops one page of the device that asked, and nothing for a PASID that it has not', () => {
    bound(function* (bench, { mm, handle }) {
      const request = { group: 1, perm: 2, last: true, privateData: null, address: 0x7f0000004000n };
      yield* bench.driver.flushPage(bench.device, { ...request, pasid: 1 });
      expect(bench.unit.take()).toEqual(['q 100010036 7f0000004000 0 0', 'q 100180008 7f0000004000 0 0']);
      yield* bench.driver.flushPage(bench.device, { ...request, pasid: 2 });
      yield* bench.driver.flushPage(bench.device, { ...request, pasid: null });
      expect(bench.unit.take()).toEqual([]);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
  });
});
