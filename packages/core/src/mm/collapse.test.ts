import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, codeOf, filled, inSpace, load, PAGE, RW, type Space, store } from '../../test/address-space.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { Collapse, ENTRY, PERM, VMA_FLAG } from '../index.js';

const FIRST = 0x40000;

/** 2 MiB, of which a few pages were touched. */
function* mapped({ core, mm }: Space): ReturnType<typeof store> {
  yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: at(FIRST) });
  for (const i of [0, 7, 511]) yield* store(core, mm, FIRST + i, i % 251);
}

describe('collapse', () => {
  it('puts one block in the place of a table and its pages', () => {
    inSpace(function* (space) {
      const { core, mm, small, tlb } = space;
      yield* mapped(space);
      yield* load(core, mm, FIRST + 8);
      const before = small.bus.frames.inUse();
      const old = tlb.translate(FIRST + 7);
      expect(yield* core.mms.collapse(mm, FIRST + 100)).toBe(true);
      const look = core.pageTables.find(mm, FIRST);
      expect([look.kind, look.level]).toEqual([ENTRY.LEAF, 2]);
      expect(small.bus.frames.story(old)).toContain('it was freed');
      // Three pages, the zeros and the table went.
      expect(small.bus.frames.inUse()).toBe(before + 512 - 5);
      for (const i of [0, 7, 511]) expect(yield* load(core, mm, FIRST + i)).toBe(i % 251);
      expect(yield* load(core, mm, FIRST + 8)).toBe(0);
      yield* store(core, mm, FIRST + 9, 1);
      expect(yield* core.mms.collapse(mm, FIRST)).toBe(false);
    });
  });

  it('copies when nobody can write any more (MN-18)', () => {
    inSpace(function* (space) {
      const { core, mm, small, tlb } = space;
      yield* mapped(space);
      const frame = tlb.translate(FIRST + 7);
      tlb.watch = () => {
        expect(tlb.look(FIRST + 7)).toBe(null);
        small.bus.write8(frame * 4096, 0x66);
      };
      yield* core.mms.collapse(mm, FIRST);
      expect(yield* load(core, mm, FIRST + 7)).toBe(0x66);
    });
  });

  it('frees a page that a device still reaches when nobody is told (L43)', () => {
    class Silent extends Collapse {
      override *notifyOld(): ReturnType<Collapse['notifyOld']> {}
    }
    inSpace(
      function* (space) {
        const { core, mm, small, tlb } = space;
        yield* mapped(space);
        const frame = tlb.translate(FIRST + 7);
        yield* core.mms.collapse(mm, FIRST);
        expect(tlb.lines.get(FIRST + 7)?.frame).toBe(frame);
        expect(small.bus.frames.story(frame)).toContain('it was freed');
      },
      { parts: { Collapse: Silent } },
    );
  });

  it('gives the block back with the last of its pages, however they go', () => {
    inSpace(function* (space) {
      const { core, mm, small } = space;
      yield* mapped(space);
      yield* core.mms.collapse(mm, FIRST);
      const inUse = small.bus.frames.inUse();
      yield* core.mms.munmap(mm, at(FIRST), 100 * PAGE);
      // The block stays whole while a page of it is used, and there is a table again.
      expect(small.bus.frames.inUse()).toBe(inUse + 1);
      yield* core.mms.madviseDontneed(mm, at(FIRST + 100), 412 * PAGE);
      expect(small.bus.frames.inUse()).toBe(inUse + 1 - 512);
      expect(core.pageFrames.blocks.size).toBe(0);
    });
  });

  it('changes rights of part of a block', () => {
    inSpace(function* (space) {
      const { core, mm } = space;
      yield* mapped(space);
      yield* core.mms.collapse(mm, FIRST);
      yield* core.mms.mprotect(mm, at(FIRST + 7), PAGE, PERM.READ);
      expect(yield* codeOf(store(core, mm, FIRST + 7, 1))).toBe('EFAULT');
      yield* store(core, mm, FIRST + 8, 1);
      expect(yield* load(core, mm, FIRST + 7)).toBe(7);
    });
  });

  it('leaves alone pages that are shared, elsewhere, of a file, or not a whole table', () => {
    inSpace(function* (space) {
      const { core, mm } = space;
      yield* mapped(space);
      const child = yield* core.mms.fork(mm);
      expect(yield* core.mms.collapse(mm, FIRST)).toBe(false);
      yield* core.mms.put(child);
      yield* core.mms.reclaim(mm, FIRST + 7);
      expect(yield* core.mms.collapse(mm, FIRST)).toBe(false);
      yield* load(core, mm, FIRST + 7);
      const lone = yield* filled(core, mm, 1);
      expect(yield* core.mms.collapse(mm, lone)).toBe(false);
      yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: at(2 * FIRST), flags: VMA_FLAG.SHARED });
      yield* store(core, mm, 2 * FIRST, 1);
      expect(yield* core.mms.collapse(mm, 2 * FIRST)).toBe(false);
      expect(yield* core.mms.collapse(mm, 3 * FIRST)).toBe(false);
      expect(yield* core.mms.collapse(mm, FIRST)).toBe(true);
    });
  });

  it('makes blocks of 32 MiB of 16 KiB pages, where there is room', () => {
    inSpace(
      function* ({ core, mm }) {
        yield* core.mms.mmap(mm, 2 ** 25, RW, null, { at: 0x4000_0000n });
        yield* store(core, mm, FIRST, 1);
        expect(yield* codeOf(core.mms.collapse(mm, FIRST))).toBe('ENOMEM');
        expect(yield* load(core, mm, FIRST)).toBe(1);
      },
      { settings: { 'cpu-page': '16K' } },
    );
  });

  it('keeps every byte while threads write and pages move, under any schedule', () => {
    let collapsed = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const small = smallKernel();
      const { core, kernel } = small;
      kernel.spawn('main', function* () {
        const mm = core.mms.create();
        yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: at(FIRST) });
        let running = 2;
        kernel.spawn('writer', function* () {
          for (let value = 1; value <= 3; value++) {
            yield* store(core, mm, FIRST + 3, value);
            expect(yield* load(core, mm, FIRST + 3)).toBe(value);
          }
          running--;
        });
        kernel.spawn('mover', function* () {
          for (let i = 0; i < 2; i++) yield* core.mms.migrate(mm, FIRST + 3);
          running--;
        });
        if (yield* core.mms.collapse(mm, FIRST)) collapsed++;
        while (running > 0) yield* kernel.clock.sleep(1000);
        if (yield* core.mms.collapse(mm, FIRST)) collapsed++;
        expect(yield* load(core, mm, FIRST + 3)).toBe(3);
        yield* core.mms.put(mm);
      });
      expect(small.run(new RandomChooser(seed))).toMatchObject({ end: 'finished' });
      expect(census(core)).toEqual(small.baseline);
    }
    expect(collapsed).toBeGreaterThan(20);
  });
});
