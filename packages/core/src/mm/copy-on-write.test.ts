import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, filled, inSpace, load, PAGE, RW, type Space, store } from '../../test/address-space.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { CopyOnWrite, FAULT_FLAG, type FoundLeaf, LEAF, type Mm, PERM, type Vma } from '../index.js';

/** A page that the parent and a child share, read by a device of the parent. */
function* shared({ core, mm, tlb }: Space): Coroutine<{ first: number; child: Mm }> {
  const first = yield* filled(core, mm, 1);
  const child = yield* core.mms.fork(mm);
  tlb.log.length = 0;
  tlb.translate(first);
  return { first, child };
}

describe('a read of an untouched page', () => {
  it('maps the one page of zeros, read-only, wherever it is (PF-5a)', () => {
    inSpace(function* ({ core, mm, small, tlb }) {
      const first = Number((yield* core.mms.mmap(mm, 3 * PAGE, RW)) >> 12n);
      const before = small.bus.frames.inUse();
      for (let i = 0; i < 3; i++) expect(yield* load(core, mm, first + i)).toBe(0);
      const frames = [0, 1, 2].map((i) => tlb.translate(first + i));
      expect(new Set(frames).size).toBe(1);
      expect(small.bus.frames.ownerOf(frames[0]!)).toBe('zero page');
      expect(tlb.look(first)?.perm).toBe(PERM.READ);
      // Three levels of tables, and one page.
      expect(small.bus.frames.inUse() - before).toBe(4);
    });
  });

  it('is followed by a copy when it is written, of which secondary TLBs are told (PF-5c)', () => {
    inSpace(function* ({ core, mm, small, tlb }) {
      const first = Number((yield* core.mms.mmap(mm, PAGE, RW)) >> 12n);
      yield* load(core, mm, first);
      const zero = tlb.translate(first);
      yield* store(core, mm, first, 5);
      expect(tlb.log).toHaveLength(1);
      expect(tlb.translate(first)).not.toBe(zero);
      // Nobody maps the zeros any more: their frame went back.
      expect(small.bus.frames.story(zero)).toContain('it was freed');
    });
  });

  it('gives a mapping that may only be written a page that can be read too (PF-7)', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const address = yield* core.mms.mmap(mm, PAGE, PERM.WRITE);
      const first = Number(address >> 12n);
      const lock = yield* mm.mmapLock.read();
      expect(yield* core.pageFaults.handleMmFault(mm, mm.vmas[0]!, first, FAULT_FLAG.REMOTE)).toBe(0);
      lock.release();
      expect(tlb.look(first)?.perm).toBe(PERM.READ);
    });
  });
});

describe('a write to a shared page', () => {
  it('flushes the old entry while it is absent, and before the new one can be seen (PF-5c)', () => {
    inSpace(function* (space) {
      const { core, mm, tlb, small } = space;
      const { first, child } = yield* shared(space);
      const old = tlb.lines.get(first)!.frame;
      const seen: unknown[] = [];
      tlb.watch = () => seen.push([tlb.look(first), small.bus.frames.story(old), mm.pageTableLock.owner !== null]);
      yield* store(core, mm, first, 9);
      // Absent, the old page not given back, and under the page-table lock.
      expect(seen).toEqual([[null, null, true]]);
      expect(tlb.stale()).toEqual([]);
      expect(yield* load(core, child, first)).toBe(1);
      expect(yield* load(core, mm, first)).toBe(9);
      yield* core.mms.put(child);
    });
  });

  it('is seen by a cache that was not flushed in time, when the new entry comes first (L42)', () => {
    class SetBeforeFlush extends CopyOnWrite {
      override *replace(mm: Mm, vma: Vma, page: number, own: number): Coroutine<void> {
        const { leaves, pageTables } = this.core;
        yield* pageTables.clear(pageTables.find(mm, page).at);
        yield* this.setOwn(mm, vma, page, own);
        leaves.changed(mm, page);
        yield* this.core.mappings.flushCpuPage(mm, page);
        yield* this.notifyClear(mm, page);
      }
    }
    const seen: unknown[] = [];
    inSpace(
      function* (space) {
        const { core, mm, tlb } = space;
        const { first, child } = yield* shared(space);
        tlb.watch = () => seen.push(tlb.look(first)?.frame === tlb.lines.get(first)?.frame);
        yield* store(core, mm, first, 9);
        yield* core.mms.put(child);
      },
      { parts: { CopyOnWrite: SetBeforeFlush } },
    );
    // The table said one page while the cache led to another.
    expect(seen).toEqual([false]);
  });

  it('looks again under the lock, and copies nothing when another thread was first (PF-5c)', () => {
    let races = 0;
    class Counting extends CopyOnWrite {
      override *breakSharing(mm: Mm, vma: Vma, found: FoundLeaf): Coroutine<number> {
        const result = yield* super.breakSharing(mm, vma, found);
        if (result !== 0) races++;
        return result;
      }
    }
    for (let seed = 1; seed <= 40; seed++) {
      const small = smallKernel({ parts: { CopyOnWrite: Counting } });
      const { core, kernel } = small;
      kernel.spawn('main', function* () {
        const mm = core.mms.create();
        const first = yield* filled(core, mm, 1);
        const child = yield* core.mms.fork(mm);
        for (const offset of [1, 2]) {
          yield* core.mms.get(mm);
          kernel.spawn(`writer-${offset}`, function* () {
            yield* core.cpu.store(mm, at(first) + BigInt(offset), Uint8Array.of(offset));
            yield* core.mms.put(mm);
          });
        }
        yield* kernel.clock.sleep(1000);
        const into = new Uint8Array(3);
        yield* core.cpu.load(mm, at(first), into);
        expect([...into]).toEqual([1, 1, 2]);
        expect(yield* load(core, child, first)).toBe(1);
        yield* core.mms.put(mm);
        yield* core.mms.put(child);
      });
      expect(small.run(new RandomChooser(seed))).toMatchObject({ end: 'finished' });
      expect(census(core)).toEqual(small.baseline);
    }
    expect(races).toBeGreaterThan(0);
  });

  it('leaves nothing behind when there is no memory for the copy', () => {
    inSpace(function* (space) {
      const { core, mm, small } = space;
      const { first, child } = yield* shared(space);
      small.kernel.injection.failAt = small.kernel.injection.state.count + 1;
      let code = '';
      try {
        yield* store(core, mm, first, 9);
      } catch (error) {
        ({ code } = error as { code: string });
      }
      expect(code).toBe('EFAULT');
      expect(yield* load(core, mm, first)).toBe(1);
      yield* core.mms.put(child);
    });
  });
});

describe('a write to a page of which only one owner is left', () => {
  const upgraded = (upgrade: string): { told: number; sameFrame: boolean } => {
    const seen = { told: 0, sameFrame: false };
    inSpace(
      function* (space) {
        const { core, mm, tlb } = space;
        const { first, child } = yield* shared(space);
        yield* core.mms.put(child);
        const frame = tlb.translate(first);
        yield* store(core, mm, first, 9);
        seen.told = tlb.log.length;
        seen.sameFrame = tlb.look(first)?.frame === frame;
        expect(yield* load(core, mm, first)).toBe(9);
      },
      { settings: { upgrade } },
    );
    return seen;
  };

  it('keeps the page, and tells secondary TLBs if the mm is the one to do so (PF-5d, MN-14)', () => {
    expect(upgraded('notify')).toEqual({ told: 1, sameFrame: true });
    expect(upgraded('flush-before-response')).toEqual({ told: 0, sameFrame: true });
    expect(upgraded('none')).toEqual({ told: 0, sameFrame: true });
  });
});

describe('a write where hardware could have marked the page dirty (PF-5e)', () => {
  it('marks it by a fault, and tells who caches that it is clean', () => {
    inSpace(
      function* ({ core, mm, tlb }) {
        const first = yield* filled(core, mm, 1);
        yield* core.mms.reclaim(mm, first);
        expect(yield* load(core, mm, first)).toBe(1);
        const { format, pageTables } = core;
        expect(format.isWritableClean(pageTables.find(mm, first).entry)).toBe(true);
        tlb.log.length = 0;
        // A device whose IOMMU does not mark entries asks for the page.
        const lock = yield* mm.mmapLock.read();
        yield* core.pageFaults.handleMmFault(mm, mm.vmas[0]!, first, FAULT_FLAG.WRITE | FAULT_FLAG.REMOTE);
        lock.release();
        expect(format.isDirty(pageTables.find(mm, first).entry)).toBe(true);
        expect(tlb.log).toHaveLength(1);
      },
      { settings: { 'hw-af-dirty': 'on' } },
    );
  });
});

describe('a fault on an entry whose access flag is clear (PF-5e)', () => {
  it('sets the flag, and tells nobody (MN-13)', () => {
    inSpace(function* ({ core, mm, small, tlb }) {
      const first = yield* filled(core, mm, 1);
      const { format, pageTables } = core;
      const { at: entry, entry: word } = pageTables.find(mm, first);
      format.setFlags(word, LEAF.OLD);
      small.bus.store64(entry, word[0]!, word[1]!);
      const lock = yield* mm.mmapLock.read();
      expect(yield* core.pageFaults.handleMmFault(mm, mm.vmas[0]!, first, FAULT_FLAG.REMOTE)).toBe(0);
      lock.release();
      expect(format.isAccessed(pageTables.find(mm, first).entry)).toBe(true);
      expect(tlb.log).toEqual([]);
    });
  });
});
