import type { Core } from '@iommukit/core';
import type { Coroutine, Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf, SID } from '../test/bench.js';
import { bound, CM, lines, OTHER } from '../test/sva-bench.js';
import { type Bond, Sva, type Svm } from './index.js';

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
