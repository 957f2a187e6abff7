import { describe, expect, it } from 'vitest';
import { at, codeOf, filled, inSpace, load, PAGE, RW, ranges, store } from '../../test/address-space.js';
import { PERM } from '../index.js';

describe('mprotect', () => {
  it('splits mappings, and merges them again when they are alike (VMA-2)', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 4);
      const name = (page: number): string => page.toString(16);
      yield* core.mms.mprotect(mm, at(first + 1), PAGE, PERM.READ);
      expect(ranges(mm)).toEqual([
        `${name(first)}-${name(first + 1)} 3`,
        `${name(first + 1)}-${name(first + 2)} 1`,
        `${name(first + 2)}-${name(first + 4)} 3`,
      ]);
      expect(yield* codeOf(store(core, mm, first + 1, 9))).toBe('EFAULT');
      yield* core.mms.mprotect(mm, at(first + 1), PAGE, RW);
      expect(ranges(mm)).toEqual([`${name(first)}-${name(first + 4)} 3`]);
      yield* store(core, mm, first + 1, 9);
      expect(yield* load(core, mm, first + 1)).toBe(9);
    });
  });

  it('takes every right away, and gives the same page back', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 1);
      const frame = tlb.translate(first);
      yield* core.mms.mprotect(mm, at(first), PAGE, 0);
      expect(yield* codeOf(load(core, mm, first))).toBe('EFAULT');
      yield* core.mms.mprotect(mm, at(first), PAGE, RW);
      yield* store(core, mm, first, 2);
      expect(tlb.translate(first)).toBe(frame);
    });
  });

  it('makes no page writable that is shared: the write copies it (PF-5c)', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 1);
      yield* core.mms.mprotect(mm, at(first), PAGE, PERM.READ);
      const child = yield* core.mms.fork(mm);
      yield* core.mms.mprotect(child, at(first), PAGE, RW);
      yield* store(core, child, first, 7);
      expect(yield* load(core, mm, first)).toBe(1);
      // Nor the page of zeros.
      const other = yield* core.mms.mmap(child, PAGE, PERM.READ);
      yield* load(core, child, Number(other >> 12n));
      yield* core.mms.mprotect(child, other, PAGE, RW);
      yield* store(core, child, Number(other >> 12n), 1);
      yield* core.mms.put(child);
      expect(core.pageFrames.state.zero).toBe(-1);
    });
  });

  it('is told even where no page is present, since caches may hold more than tables (MN-13)', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const address = yield* core.mms.mmap(mm, 2 * PAGE, RW);
      yield* core.mms.mprotect(mm, address, 2 * PAGE, PERM.READ);
      expect(tlb.log).toHaveLength(1);
      yield* core.mms.mprotect(mm, address, 2 * PAGE, PERM.READ);
      expect(tlb.log).toHaveLength(1);
    });
  });

  it('refuses a hole, and what is not whole pages, and then changes nothing', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 2);
      const before = ranges(mm);
      expect(yield* codeOf(core.mms.mprotect(mm, at(first - 1), 2 * PAGE, PERM.READ))).toBe('ENOMEM');
      expect(yield* codeOf(core.mms.mprotect(mm, at(first), 3 * PAGE, PERM.READ))).toBe('ENOMEM');
      expect(yield* codeOf(core.mms.mprotect(mm, at(first) + 8n, PAGE, PERM.READ))).toBe('EINVAL');
      expect(ranges(mm)).toEqual(before);
    });
  });
});

describe('madvise(DONTNEED)', () => {
  it('drops pages and keeps the mapping: what comes next is zeros', () => {
    inSpace(function* ({ core, mm, small }) {
      const first = yield* filled(core, mm, 3);
      yield* core.mms.reclaim(mm, first + 1);
      const before = small.bus.frames.inUse();
      yield* core.mms.madviseDontneed(mm, at(first), 2 * PAGE);
      expect(small.bus.frames.inUse()).toBe(before - 1);
      expect(core.swap.slots.size).toBe(0);
      expect([yield* load(core, mm, first), yield* load(core, mm, first + 1)]).toEqual([0, 0]);
      expect(yield* load(core, mm, first + 2)).toBe(3);
    });
  });

  it('drops what is mapped of a range with a hole, and says so', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 1);
      expect(yield* codeOf(core.mms.madviseDontneed(mm, at(first), 2 * PAGE))).toBe('ENOMEM');
      expect(yield* load(core, mm, first)).toBe(0);
    });
  });
});
