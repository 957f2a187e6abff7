import type { Mm, SvaHandle } from '@iommukit/core';
import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions, codeOf } from '../test/bench.js';
import { bound, events, lines, OTHER } from '../test/sva-bench.js';
import { type Bond, Sva } from './index.js';

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
