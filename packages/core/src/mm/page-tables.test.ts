import { type Coroutine, RandomChooser, type Step } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Listener } from '../../test/listener.js';
import { type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import { type Core, ENTRY, type Mm, newGather, PageTables, PERM, VMSA_4K_48, type Vma } from '../index.js';

const RW = PERM.READ | PERM.WRITE;
/** A page at the beginning of a table, and of what 1 GiB blocks begin at. */
const VA = 0xc_0000;
/** Frames that nobody allocates. */
const PA = 0x14_0000;

const DEVICE = { backing: 'device' } as Vma;
const FILE = { backing: 'file' } as Vma;

/** Runs `body` with an address space, whose tables it empties itself. */
function within(small: SmallKernel, body: (mm: Mm, core: Core) => Coroutine<void>): void {
  small.act(function* () {
    const mm = small.core.mms.create();
    yield* body(mm, small.core);
    yield* empty(small.core, mm);
    yield* small.core.mms.put(mm);
  });
  expect(small.bus.frames.inUse()).toBe(0);
}

/** Clears all leaves, and frees the tables. */
function* empty({ pageTables, bus, format }: Core, mm: Mm): Coroutine<void> {
  const gather = newGather();
  yield* pageTables.clearRange(mm, DEVICE, 0, format.pageEnd, gather);
  const bounds = { floor: 0, ceiling: Number.POSITIVE_INFINITY };
  yield* pageTables.freeTables(mm, 0, format.pageEnd, bounds, gather);
  for (const frame of gather.tables) bus.frames.free(frame, format.tableOrder);
}

function* setPage({ pageTables }: Core, mm: Mm, page: number, frame: number, perm = RW): Coroutine<number> {
  const at = yield* pageTables.ensureTables(mm, page);
  yield* pageTables.setLeaf(mm, at, frame, perm, false);
  return at;
}

function word(core: Core, at: number): string {
  const out = new Uint32Array(2);
  core.bus.load64(at, out);
  return `${out[1]!.toString(16)}:${out[0]!.toString(16)}`;
}

describe('PageTables', () => {
  it('finds nothing above user addresses, and makes no tables there', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      yield* setPage(core, mm, VA, PA);
      expect(core.pageTables.find(mm, 2 ** 36 + VA)).toMatchObject({ kind: ENTRY.ABSENT, level: 0 });
      let code = '';
      try {
        yield* core.pageTables.ensureTables(mm, 2 ** 36);
      } catch (error) {
        code = (error as { code: string }).code;
      }
      expect(code).toBe('EINVAL');
    });
  });

  it('lets the first of two faults have the entry, and takes no block for an absent page', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables } = core;
      const at = yield* setPage(core, mm, VA, PA);
      expect(yield* pageTables.setLeaf(mm, at, PA + 1, RW, false)).toBe(false);
      expect(word(core, at)).toBe('600001:40000f47');
      yield* pageTables.setBlock(mm, VA + 512, PA, RW, false);
      const block = pageTables.find(mm, VA + 512).at;
      expect(yield* pageTables.setLeaf(mm, block, PA + 1, RW, false)).toBe(false);
      expect(yield* pageTables.setBlock(mm, VA, PA, RW, false)).toBe(false);
    });
  });

  it('clears a leaf and says what it was (PF-10)', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables } = core;
      const at = yield* pageTables.ensureTables(mm, VA);
      const made = [
        [RW, {}],
        [RW, { dirty: false, accessed: false }],
        [PERM.READ, { dirty: true }],
        [PERM.READ | PERM.EXEC, {}],
      ] as const;
      const seen: unknown[] = [];
      for (const [perm, options] of made) {
        yield* pageTables.setLeaf(mm, at, PA, perm, false, options);
        seen.push(yield* pageTables.clearLeaf(mm, VA));
      }
      expect(seen).toEqual([
        { frame: PA, perm: RW, dirty: true, accessed: true, device: false },
        { frame: PA, perm: RW, dirty: false, accessed: false, device: false },
        { frame: PA, perm: PERM.READ, dirty: true, accessed: true, device: false },
        { frame: PA, perm: 5, dirty: false, accessed: true, device: false },
      ]);
      expect(yield* pageTables.clearLeaf(mm, VA)).toBe(null);
    });
  });

  /** Reads, and clears in a step of its own: what PF-10 forbids. */
  class NotAtomic extends PageTables {
    override clear(at: number): Step<void> {
      return this.clearInTwoSteps(at) as unknown as Step<void>;
    }
    *clearInTwoSteps(at: number): Coroutine<void> {
      const entry = new Uint32Array(2);
      this.core.bus.load64(at, entry);
      yield* this.memory.store64(at, 0, 0);
      this.word.set(entry);
    }
  }

  /** Schedules in which a device's write is on a page that was taken away as clean. */
  const lostWrites = (
    parts: { PageTables?: typeof PageTables },
    take: (mm: Mm, core: Core) => Coroutine<boolean>,
  ): number => {
    let lost = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const { core, kernel, bus, run } = smallKernel({ parts });
      kernel.spawn('reclaim', function* () {
        const mm = core.mms.create();
        const at = yield* core.pageTables.ensureTables(mm, VA);
        yield* core.pageTables.setLeaf(mm, at, PA, RW, false, { dirty: false });
        let written = false;
        kernel.spawn('device', function* () {
          yield* kernel.point(Math.floor(at / 8), true);
          const entry = new Uint32Array(2);
          bus.load64(at, entry);
          // Hardware updates what allows the write, and nothing else.
          if (VMSA_4K_48.kindOf(entry, 3) !== ENTRY.LEAF || !VMSA_4K_48.markUsed(entry, true)) return;
          bus.store64(at, entry[0]!, entry[1]!);
          written = true;
        });
        yield* kernel.point(0, false);
        const dirty = yield* take(mm, core);
        if (written && !dirty) lost++;
      });
      expect(run(new RandomChooser(seed)).end).toBe('finished');
    }
    return lost;
  };

  it('loses no dirty flag that hardware sets while a leaf is cleared (PF-10)', () => {
    const take = function* (mm: Mm, core: Core) {
      return (yield* core.pageTables.clearLeaf(mm, VA))!.dirty;
    };
    expect(lostWrites({}, take)).toBe(0);
    expect(lostWrites({ PageTables: NotAtomic }, take)).toBeGreaterThan(0);
  });

  it('loses no dirty flag that hardware sets while a leaf is write-protected (PF-10)', () => {
    const take = function* (mm: Mm, core: Core) {
      yield* core.pageTables.protectRange(mm, VA, VA + 1, PERM.READ, newGather());
      return core.format.isDirty(core.pageTables.find(mm, VA).entry);
    };
    expect(lostWrites({}, take)).toBe(0);
  });

  it('replaces a page only after it was cleared, with the lock held all the time (PF-5)', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables } = core;
      const at = yield* setPage(core, mm, VA, PA, PERM.READ);
      const lock = yield* mm.pageTableLock.acquire();
      yield* pageTables.clearLeaf(mm, VA);
      yield* pageTables.replaceLeaf(mm, at, PA + 7, RW);
      lock.release();
      expect(word(core, at)).toBe('600001:40007f47');
    });
  });

  it('makes a page writable in one store, and dirty (PF-5, MN-14)', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables } = core;
      const at = yield* setPage(core, mm, VA, PA, PERM.READ);
      expect(word(core, at)).toBe('600001:40000fc7');
      expect(yield* pageTables.upgradeLeaf(mm, VA, RW)).toBe(true);
      expect(word(core, at)).toBe('600001:40000f47');
      expect(yield* pageTables.upgradeLeaf(mm, VA, RW)).toBe(false);
      expect(yield* pageTables.upgradeLeaf(mm, VA + 1, RW)).toBe(false);
    });
  });

  it('makes a page clean, so that the next write is seen (PF-5, PF-10)', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables } = core;
      const at = yield* setPage(core, mm, VA, PA);
      expect(yield* pageTables.cleanLeaf(mm, VA)).toBe(true);
      // AP[2] and DBM: writable and clean.
      expect(word(core, at)).toBe('680001:40000fc7');
      expect(yield* pageTables.cleanLeaf(mm, VA)).toBe(false);
      yield* pageTables.upgradeLeaf(mm, VA, RW);
      expect(core.format.isDirty(pageTables.find(mm, VA).entry)).toBe(true);
    });
  });
});

describe('PageTables.protectRange', () => {
  it('makes pages read-only, says which were changed, and makes none writable', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables } = core;
      const first = yield* setPage(core, mm, VA + 3, PA);
      const second = yield* setPage(core, mm, VA + 600, PA + 1, PERM.READ);
      const gather = newGather();
      yield* pageTables.protectRange(mm, VA, VA + 2000, PERM.READ, gather);
      expect([gather.first - VA, gather.end - VA]).toEqual([3, 4]);
      // The first was writable, hence dirty: bit 55 keeps that.
      expect([word(core, first), word(core, second)]).toEqual(['e00001:40000fc7', '600001:40001fc7']);
      const none = newGather();
      yield* pageTables.protectRange(mm, VA, VA + 2000, RW, none);
      expect([none.end, word(core, second)]).toEqual([0, '600001:40001fc7']);
    });
  });

  it('splits a block that sticks out, when it is gone from every cache (MN-13)', () => {
    const small = smallKernel();
    const listener = new Listener();
    const log: string[] = [];
    within(small, function* (mm, core) {
      const { pageTables } = core;
      listener.invalidateRange = function* (_subscription, start, end) {
        const page = Number(start >> 12n);
        log.push(`${page - VA}-${Number(end >> 12n) - VA}: ${pageTables.find(mm, page).kind}`);
      };
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      yield* pageTables.setBlock(mm, VA, PA, RW, false);
      const gather = newGather();
      yield* pageTables.protectRange(mm, VA + 511, VA + 1024, PERM.READ, gather);
      expect(log).toEqual(['0-512: 0']);
      expect([gather.first - VA, gather.end - VA]).toEqual([511, 512]);
      expect([510, 511].map((i) => core.format.permOf(pageTables.find(mm, VA + i).entry))).toEqual([RW, PERM.READ]);
      core.notifiers.put(subscription);
    });
  });
});

describe('PageTables.clearRange', () => {
  it('queues every page of a block, and those of a file that were written to', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables } = core;
      yield* pageTables.setBlock(mm, VA, PA, RW, false);
      yield* setPage(core, mm, VA + 512, PA + 600, PERM.READ);
      const gather = newGather();
      yield* pageTables.clearRange(mm, FILE, VA, VA + 513, gather);
      expect([gather.first - VA, gather.end - VA, gather.pages.length]).toEqual([0, 513, 513]);
      expect([gather.pages[0], gather.pages[511], gather.pages[512]]).toEqual([PA, PA + 511, PA + 600]);
      expect(gather.dirty).toEqual(gather.pages.slice(0, 512));
    });
  });

  it('takes 64 KiB pages as 16 pages of 4 KiB, in tables of 16 frames', () => {
    const small = smallKernel({ settings: { 'cpu-page': '64K' } });
    within(small, function* (mm, core) {
      const { pageTables, bus } = core;
      const before = bus.frames.inUse();
      yield* setPage(core, mm, VA, PA);
      yield* setPage(core, mm, VA + 16, PA + 32);
      // L2 and L3.
      expect(bus.frames.inUse() - before).toBe(32);
      expect(pageTables.frameAt(pageTables.find(mm, VA + 5), VA + 5)).toBe(PA + 5);
      const gather = newGather();
      yield* pageTables.clearRange(mm, FILE, VA, VA + 32, gather);
      expect(gather).toMatchObject({ pages: [PA, PA + 32], first: VA, end: VA + 32 });
    });
  });
});

describe('PageTables.takeTable', () => {
  it('unhooks a table in one step, so that a block can take its place', () => {
    const small = smallKernel();
    within(small, function* (mm, core) {
      const { pageTables, bus } = core;
      yield* setPage(core, mm, VA + 9, PA);
      const table = yield* pageTables.takeTable(mm, VA);
      expect(bus.frames.ownerOf(table)).toBe(mm.tableOwner);
      expect(pageTables.find(mm, VA + 9)).toMatchObject({ kind: ENTRY.ABSENT, level: 2 });
      expect(word(core, table * 4096 + 9 * 8)).toBe('600001:40000f47');
      bus.frames.free(table);
      expect(yield* pageTables.setBlock(mm, VA, PA, RW, false)).toBe(true);
      expect(yield* pageTables.takeTable(mm, VA)).toBe(-1);
    });
  });
});
