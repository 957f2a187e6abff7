import { describe, expect, it } from 'vitest';
import { at, codeOf, filled, inSpace, load, PAGE, RW, ranges, store } from '../../test/address-space.js';
import { type Mm, type PageRange, PERM, Remapping } from '../index.js';

describe('mremap', () => {
  it('shrinks in place: the rest is unmapped (VMA-2)', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 4);
      expect(yield* core.mms.mremap(mm, at(first), 4 * PAGE, PAGE)).toBe(at(first));
      expect(ranges(mm)).toEqual([`${first.toString(16)}-${(first + 1).toString(16)} 3`]);
      expect(yield* codeOf(load(core, mm, first + 1))).toBe('EFAULT');
    });
  });

  it('grows in place where there is room, and merges with what it then touches (VMA-2)', () => {
    inSpace(function* ({ core, mm }) {
      const low = Number((yield* core.mms.mmap(mm, PAGE, RW, null, { at: 0x1_0000n })) >> 12n);
      yield* core.mms.mmap(mm, PAGE, RW, null, { at: 0x1_4000n });
      yield* store(core, mm, low, 1);
      expect(yield* core.mms.mremap(mm, at(low), PAGE, 4 * PAGE, { mayMove: false })).toBe(at(low));
      expect(ranges(mm)).toEqual(['10-15 3']);
      expect(yield* load(core, mm, low)).toBe(1);
    });
  });

  it('moves its pages with it, and leaves nothing at the old address (MN-13)', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 3);
      yield* core.mms.mmap(mm, PAGE, PERM.READ, null, { at: at(first + 3) });
      const frames = [0, 1, 2].map((i) => tlb.translate(first + i));
      const moved = Number((yield* core.mms.mremap(mm, at(first), 3 * PAGE, 6 * PAGE)) >> 12n);
      expect(moved).not.toBe(first);
      expect([0, 1, 2].map((i) => tlb.translate(moved + i))).toEqual(frames);
      for (let i = 0; i < 6; i++) expect(yield* load(core, mm, moved + i)).toBe(i < 3 ? i + 1 : 0);
      expect(yield* codeOf(load(core, mm, first))).toBe('EFAULT');
      expect(tlb.stale()).toEqual([]);
    });
  });

  it('holds the page-table lock until the caches of the old address are flushed (MN-13, L43)', () => {
    class Watched extends Remapping {
      override *notifyOld(mm: Mm, range: PageRange) {
        locked.push(mm.pageTableLock.owner !== null);
        yield* super.notifyOld(mm, range);
      }
    }
    const locked: boolean[] = [];
    inSpace(
      function* ({ core, mm, tlb }) {
        const first = yield* filled(core, mm, 1);
        const old = tlb.translate(first);
        let reachable: number[] = [];
        tlb.watch = () => {
          reachable = core.reverseMap.placesOf(old).map(({ page }) => page);
        };
        yield* core.mms.mmap(mm, PAGE, PERM.READ, null, { at: at(first + 1) });
        yield* core.mms.mremap(mm, at(first), PAGE, 2 * PAGE);
        expect(locked).toEqual([true]);
        // Nobody can find the page to take it away meanwhile: it has no address.
        expect(reachable).toEqual([]);
      },
      { parts: { Remapping: Watched } },
    );
  });

  it('takes what is swapped out along', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 2);
      yield* core.mms.reclaim(mm, first + 1);
      yield* core.mms.mmap(mm, PAGE, PERM.READ, null, { at: at(first + 2) });
      const moved = Number((yield* core.mms.mremap(mm, at(first), 2 * PAGE, 3 * PAGE)) >> 12n);
      expect(yield* load(core, mm, moved + 1)).toBe(2);
    });
  });

  it('moves part of a mapping, and of a block', () => {
    inSpace(function* ({ core, mm }) {
      yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: 0x4000_0000n });
      const first = 0x40000;
      yield* store(core, mm, first + 100, 5);
      yield* core.mms.collapse(mm, first);
      const moved = Number((yield* core.mms.mremap(mm, at(first + 100), 10 * PAGE, 20 * PAGE)) >> 12n);
      expect(yield* load(core, mm, moved)).toBe(5);
      expect(yield* load(core, mm, first + 99)).toBe(0);
      expect(yield* codeOf(load(core, mm, first + 100))).toBe('EFAULT');
    });
  });

  it('refuses what is no mapping, and what does not fit where it must stay', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 2);
      const { mms } = core;
      expect(yield* codeOf(mms.mremap(mm, at(first - 1), PAGE, PAGE))).toBe('EFAULT');
      expect(yield* codeOf(mms.mremap(mm, at(first), 3 * PAGE, PAGE))).toBe('EFAULT');
      expect(yield* codeOf(mms.mremap(mm, at(first) + 1n, PAGE, PAGE))).toBe('EINVAL');
      expect(yield* codeOf(mms.mremap(mm, at(first), PAGE, 0))).toBe('EINVAL');
      expect(yield* codeOf(mms.mremap(mm, at(first), PAGE, 2 * PAGE, { mayMove: false }))).toBe('ENOMEM');
      expect(yield* codeOf(mms.mremap(mm, at(first), PAGE, 2 ** 48))).toBe('ENOMEM');
      expect(yield* load(core, mm, first)).toBe(1);
    });
  });

  it('changes nothing when there is no memory for the move, whichever allocation fails', () => {
    let failures = 0;
    for (let n = 1; n < 12; n++) {
      inSpace(function* ({ core, mm, small }) {
        yield* core.mms.mmap(mm, 2 * PAGE, RW, null, { at: 0x4000_0000n });
        yield* store(core, mm, 0x40000, 5);
        yield* core.mms.mmap(mm, PAGE, PERM.READ, null, { at: 0x4000_2000n });
        const { injection } = small.kernel;
        injection.failAt = injection.state.count + n;
        const code = yield* codeOf(core.mms.mremap(mm, 0x4000_0000n, PAGE, 4 * PAGE));
        injection.failAt = 0;
        if (code === 'none') return;
        failures++;
        expect(code).toBe('ENOMEM');
        expect(yield* load(core, mm, 0x40000)).toBe(5);
      });
    }
    // The split of the mapping, the new mapping, three tables.
    expect(failures).toBe(5);
  });
});
