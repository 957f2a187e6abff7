import type { Step, TlbInvalidation } from '@iommukit/kernel';
import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { census, smallKernel } from '../../test/small-kernel.js';
import { Cpu, Mappings, type Mm, PERM, Tlb } from '../index.js';

const RW = PERM.READ | PERM.WRITE;

/** A kernel whose CPUs broadcast, and what an IOMMU that listens is told. */
function broadcasting(settings = {}, parts = {}): { small: ReturnType<typeof smallKernel>; heard: TlbInvalidation[] } {
  const small = smallKernel({ settings: { btm: 'on', ...settings }, parts });
  const heard: TlbInvalidation[] = [];
  small.kernel.tlbBroadcast.connect({
    name: 'iommu',
    invalidate(message): Step<void> {
      heard.push(message);
      return small.kernel.point(1, true);
    },
  });
  return { small, heard };
}

/** Runs on CPU `n`. */
class OnCpu extends Cpu {
  at = 0;

  override here(): number {
    return this.at;
  }
}

describe('Tlb', () => {
  it('answers from a line without a walk, until a flush (smmuv3.md 3.4)', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 8192, RW);
      yield* core.cpu.fill(mm, address, 8192, () => 7);
      const page = Number(address >> 12n);
      expect(core.cpu.translate(mm, page, true)).toBe(true);
      expect(core.cpu.hit.entry).toBe(0);
      yield* core.tlb.flushPage(mm, page);
      expect(core.cpu.translate(mm, page, true)).toBe(true);
      expect(core.cpu.hit.entry).toBeGreaterThan(0);
      // The neighbour's line stayed.
      expect(core.cpu.translate(mm, page + 1, true)).toBe(true);
      expect(core.cpu.hit.entry).toBe(0);
      yield* core.mms.put(mm);
    });
  });

  it('never keeps that nothing is there (smmuv3.md 3.4)', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 4096, RW);
      const page = Number(address >> 12n);
      expect(core.cpu.translate(mm, page, false)).toBe(false);
      expect([...core.tlb.asid].every((asid) => asid === -1)).toBe(true);
      yield* core.cpu.load(mm, address, new Uint8Array(1));
      yield* core.mms.put(mm);
    });
  });

  it('gives the old page to whoever forgets the flush of an unmapping', () => {
    class NoFlush extends Mappings {
      override *flushCpu(): ReturnType<Mappings['flushCpu']> {}
    }
    const outcome = (parts: object): number[] => {
      const small = smallKernel({ parts });
      const { core } = small;
      const into = new Uint8Array(1);
      small.act(function* () {
        const [mm, other] = [core.mms.create(), core.mms.create()];
        const address = yield* core.mms.mmap(mm, 8192, RW);
        expect(yield* core.mms.mmap(other, 8192, RW)).toBe(address);
        // Both keep their tables, so the freed page goes from one to the other.
        for (const each of [mm, other]) yield* core.cpu.store(each, address + 4096n, Uint8Array.of(9));
        yield* core.cpu.store(mm, address, Uint8Array.of(1));
        yield* core.mms.munmap(mm, address, 4096);
        yield* core.cpu.store(other, address, Uint8Array.of(2));
        expect(yield* core.mms.mmap(mm, 4096, RW)).toBe(address);
        yield* core.cpu.load(mm, address, into);
        yield* core.mms.put(mm);
        yield* core.mms.put(other);
      });
      return [...into];
    };
    expect(outcome({})).toEqual([0]);
    expect(outcome({ Mappings: NoFlush })).toEqual([2]);
  });

  it('drops lines of every CPU, and local flushes of one only', () => {
    const small = smallKernel({ settings: { cpus: 3 }, parts: { Cpu: OnCpu } });
    const { core } = small;
    const cpu = core.cpu as OnCpu;
    const known = (mm: Mm, page: number): boolean[] =>
      [0, 1, 2].map((n) => core.tlb.find(n, core.asids.asidOf(mm), page) >= 0);
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 4096, RW);
      const page = Number(address >> 12n);
      const everywhere = function* () {
        for (cpu.at = 2; cpu.at > 0; cpu.at--) yield* cpu.store(mm, address, Uint8Array.of(1));
        yield* cpu.store(mm, address, Uint8Array.of(1));
      };
      yield* everywhere();
      expect(known(mm, page)).toEqual([true, true, true]);
      cpu.at = 1;
      yield* core.tlb.flushLocalPage(mm, page);
      expect(known(mm, page)).toEqual([true, false, true]);
      yield* core.tlb.flushPage(mm, page);
      expect(known(mm, page)).toEqual([false, false, false]);
      yield* everywhere();
      yield* core.tlb.flushRange(mm, page + 1, page + 2);
      expect(known(mm, page)).toEqual([true, true, true]);
      yield* core.tlb.flushMm(mm);
      expect(known(mm, page)).toEqual([false, false, false]);
      yield* core.mms.put(mm);
    });
  });

  it('broadcasts the range, its ASID and its exception level, and waits (MN-15, MN-18, TLB-9)', () => {
    for (const el2 of ['off', 'on']) {
      const { small, heard } = broadcasting({ 'cpu-el2': el2 });
      const { core } = small;
      small.act(function* () {
        const mm = core.mms.create();
        yield* core.tlb.flushRange(mm, 5, 8);
        expect(heard).toEqual([]);
        core.cpu.translate(mm, 5, false);
        yield* core.tlb.flushRange(mm, 5, 8, true);
        expect(heard.length).toBe(1);
        yield* core.tlb.flushMm(mm);
        yield* core.mms.put(mm);
      });
      const level = el2 === 'on' ? 'el2' : 'el1';
      expect(heard).toEqual([
        { kind: 'va', level, vmid: 0, asid: 1, first: 5, last: 7, leaf: true },
        { kind: 'asid', level, vmid: 0, asid: 1, first: 0, last: 2 ** 52 - 1, leaf: false },
      ]);
    }
  });

  it('flushes the whole ASID for a range of more than 512 pages (MN-17)', () => {
    const { small, heard } = broadcasting();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      core.cpu.translate(mm, 5, false);
      for (const pages of [512, 513]) yield* core.tlb.flushRange(mm, 5, 5 + pages, true);
      yield* core.mms.put(mm);
    });
    expect(heard.map(({ kind, first, last }) => [kind, first, last])).toEqual([
      ['va', 5, 516],
      ['asid', 0, 2 ** 52 - 1],
    ]);
  });

  it('broadcasts before every notification of mprotect, also where no entry changes (MN-13, MN-15)', () => {
    const { small, heard } = broadcasting();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 8192, RW);
      yield* core.cpu.fill(mm, address, 8192, () => 7);
      heard.length = 0;
      yield* core.mms.mprotect(mm, address, 8192, 1);
      expect(heard).toHaveLength(1);
      yield* core.mms.mprotect(mm, address, 8192, RW);
      yield* core.mms.put(mm);
    });
    const page = heard[0]!.first;
    expect(heard.slice(0, 2).map(({ kind, first, last }) => [kind, first, last])).toEqual([
      ['va', page, page + 1],
      ['va', page, page + 1],
    ]);
  });

  it('broadcasts both numbers of a pair (ASID-7)', () => {
    const small = smallKernel({ settings: { btm: 'on' }, cpu: { kpti: true } });
    const { core } = small;
    const heard: number[] = [];
    small.kernel.tlbBroadcast.connect({
      name: 'iommu',
      invalidate: ({ asid }) => small.kernel.done(void heard.push(asid)),
    });
    small.act(function* () {
      const mm = core.mms.create();
      core.cpu.translate(mm, 5, false);
      yield* core.tlb.flushPage(mm, 5);
      yield* core.mms.put(mm);
    });
    expect(heard).toEqual([2, 3]);
  });

  it('tells everybody of an upgrade; a flush that stays local misses the IOMMU (MN-14, MN-15)', () => {
    class LocalUpgrade extends Tlb {
      override flushUpgraded(mm: Mm, page: number): ReturnType<Tlb['flushUpgraded']> {
        return this.flushLocalPage(mm, page);
      }
    }
    const told = (parts: object): number => {
      const { small, heard } = broadcasting({}, parts);
      const { core } = small;
      small.act(function* () {
        const mm = core.mms.create();
        core.cpu.translate(mm, 5, false);
        yield* core.tlb.flushUpgraded(mm, 5);
        yield* core.mms.put(mm);
      });
      return heard.length;
    };
    expect([told({}), told({ Tlb: LocalUpgrade })]).toEqual([1, 0]);
  });

  it('lets another CPU use a line until the message has reached it, and not after the barrier (MN-15, MN-18)', () => {
    const stale = (parts: object, seed: number): [during: boolean, after: boolean] => {
      const small = smallKernel({ settings: { btm: 'on' }, parts: { Cpu: OnCpu, ...parts } });
      const { core, kernel } = small;
      const seen: [boolean, boolean] = [false, false];
      const known = (mm: Mm): boolean => core.tlb.find(1, core.asids.asidOf(mm), 5) >= 0;
      kernel.spawn('t', function* () {
        const mm = core.mms.create();
        const asid = core.asids.enter(1, mm);
        core.tlb.fill(1, asid, 5, 77, RW);
        let over = false;
        kernel.spawn('watcher', function* () {
          while (!over) {
            yield* kernel.point(2, true);
            if (!over && known(mm)) seen[0] = true;
          }
        });
        yield* core.tlb.flushPage(mm, 5);
        seen[1] = known(mm);
        over = true;
        yield* core.mms.put(mm);
      });
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
      return seen;
    };
    class NoBarrier extends Tlb {
      override *barrier(): ReturnType<Tlb['barrier']> {}
    }
    const seeds = Array.from({ length: 30 }, (_, i) => i + 1);
    expect(seeds.some((seed) => stale({}, seed)[0])).toBe(true);
    expect(seeds.some((seed) => stale({}, seed)[1])).toBe(false);
    expect(seeds.some((seed) => stale({ Tlb: NoBarrier }, seed)[1])).toBe(true);
  });

  it('applies a message for another exception level nowhere (TLB-9)', () => {
    const small = smallKernel({ settings: { btm: 'on', 'cpu-el2': 'on' } });
    const { core, kernel } = small;
    small.act(function* () {
      core.tlb.fill(0, 9, 5, 77, RW);
      const message = { kind: 'va', vmid: 0, asid: 9, first: 5, last: 5, leaf: true } as const;
      yield* kernel.tlbBroadcast.send({ ...message, level: 'el1' });
      yield* kernel.tlbBroadcast.sync();
      expect(core.tlb.find(0, 9, 5)).toBeGreaterThanOrEqual(0);
      yield* kernel.tlbBroadcast.send({ ...message, level: 'el2' });
      yield* kernel.tlbBroadcast.sync();
      expect(core.tlb.find(0, 9, 5)).toBe(-1);
    });
  });

  it('obeys messages of every kind', () => {
    const small = smallKernel({ settings: { btm: 'on' } });
    const { core, kernel } = small;
    const left = (message: Pick<TlbInvalidation, 'kind' | 'asid' | 'first' | 'last'>): string[] => {
      for (const asid of [3, 4]) for (const page of [5, 6]) core.tlb.fill(1, asid, page, 77, RW);
      small.act(() => kernel.tlbBroadcast.send({ ...message, level: 'el1', vmid: 0, leaf: false }) as never);
      return [3, 4].flatMap((asid) =>
        [5, 6].filter((page) => core.tlb.find(1, asid, page) >= 0).map((page) => `${asid}/${page}`),
      );
    };
    const last = 2 ** 52 - 1;
    expect(left({ kind: 'va', asid: 3, first: 5, last: 5 })).toEqual(['3/6', '4/5', '4/6']);
    expect(left({ kind: 'vaa', asid: -1, first: 6, last: 9 })).toEqual(['3/5', '4/5']);
    expect(left({ kind: 'asid', asid: 4, first: 0, last })).toEqual(['3/5', '3/6']);
    expect(left({ kind: 'all', asid: -1, first: 0, last })).toEqual([]);
  });

  it('costs an access no step, hit or miss', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const address = yield* core.mms.mmap(mm, 4096, RW);
      yield* core.cpu.store(mm, address, Uint8Array.of(1));
      yield* core.tlb.flushMm(mm);
      for (const _ of ['miss', 'hit']) {
        const before = kernel.steps;
        yield* core.cpu.load(mm, address, new Uint8Array(1));
        expect(kernel.steps - before).toBe(1);
      }
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });
});
