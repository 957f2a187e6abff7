import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, codeOf, filled, inSpace, PAGE, RW, ranges } from '../../test/address-space.js';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import {
  LifelongMmService,
  type LifelongPasids,
  lifelongPasids,
  type Mm,
  MmService,
  PERM,
  VMA_FLAG,
} from '../index.js';

describe('the end of an address space', () => {
  it('runs in the task that puts the last user, and then drops the one reference of all users (MM-2)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const tasks: string[] = [];
    kernel.trace.add({ event: ({ point, task }) => tasks.push(`${point.name} by ${task}`) });
    kernel.spawn('first', function* () {
      const mm = core.mms.create();
      yield* core.mms.get(mm);
      kernel.spawn('last', function* () {
        yield* kernel.clock.sleep(10);
        yield* core.mms.put(mm);
      });
      yield* core.mms.put(mm);
      expect([mm.users, mm.count]).toEqual([1, 1]);
    });
    expect(small.run().end).toBe('finished');
    expect(tasks).toEqual(['mm_exit_mmap by last', 'mm_free by last']);
  });

  it('begins with release: every entry, page and mapping is still there (MM-6)', () => {
    const seen: unknown[] = [];
    const looks = (parts: { MmService?: typeof MmService }): void => {
      const small = smallKernel({ parts });
      const { core, bus } = small;
      const listener = new Listener();
      listener.release = function* ({ mm }) {
        const found = core.leaves.find(mm, page);
        seen.push([found !== null, mm.vmas.length, found === null ? null : bus.frames.story(found.frame)]);
      };
      let page = 0;
      small.act(function* () {
        const mm = core.mms.create();
        const subscription = yield* core.notifiers.get(listener, mm, listener.make);
        page = yield* filled(core, mm, 1);
        yield* core.mms.put(mm);
        core.notifiers.put(subscription);
      });
    };
    /** The order of a drawing that has been passed around. */
    class ReleasesLast extends MmService {
      override *exitMmap(mm: Mm): Coroutine<void> {
        const gather = { pages: [], dirty: [], tables: [], first: Number.POSITIVE_INFINITY, end: 0 };
        yield* this.unmapVmas(mm, gather);
        yield* this.freePageTables(mm, gather);
        yield* this.finishGather(mm, gather);
        yield* this.notifyRelease(mm);
        yield* this.removeVmas(mm);
      }
    }
    looks({});
    looks({ MmService: ReleasesLast });
    expect(seen).toEqual([
      [true, 1, null],
      [false, 1, null],
    ]);
  });

  it('keeps its PASID until the record goes, where PASIDs are lifelong (MM-3, SVA-15, L09)', () => {
    /** As kernels before 5.18 did. */
    class DropsAtLastUser extends LifelongMmService {
      override *lastUser(mm: Mm): Coroutine<void> {
        (this.core.sva as LifelongPasids).mmFreed(mm);
        yield* super.lastUser(mm);
      }
    }
    const second = (parts: { MmService?: typeof MmService }): number => {
      const small = smallKernel({ parts: { ...lifelongPasids, ...parts } });
      const { core } = small;
      let pasid = 0;
      small.act(function* () {
        const mm = core.mms.create();
        core.sva.allocPasid(mm, 1, 100);
        core.mms.grab(mm);
        yield* core.mms.put(mm);
        const other = core.mms.create();
        pasid = core.sva.allocPasid(other, 1, 100);
        yield* core.mms.put(other);
        core.mms.drop(mm);
      });
      return pasid;
    };
    expect(second({})).toBe(2);
    expect(second({ MmService: DropsAtLastUser })).toBe(1);
  });
});

describe('a machine at rest', () => {
  it('is as it was after boot, whatever memory the last run left behind', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const content = core.pageCache.create('data', 2 * PAGE);
    const checkpoint = kernel.checkpoints.take();
    const traces: string[][] = [];
    kernel.trace.add({
      event: ({ point, record, task, step }) =>
        traces.at(-1)!.push(`${step} ${task} ${point.name} ${point.format(record)}`),
    });
    for (let i = 0; i < 2; i++) {
      checkpoint.restore();
      expect(census(core)).toEqual(small.baseline);
      expect([content.bytes, content.cached.size, content.openers]).toEqual([2 * PAGE, 0, 0]);
      traces.push([]);
      // Left behind on purpose: two address spaces that share pages, one in swap, zeros, a block and a file.
      small.act(function* () {
        const mm = core.mms.create();
        const first = yield* filled(core, mm, 3);
        yield* core.mms.fork(mm);
        yield* core.mms.reclaim(mm, first);
        yield* core.mms.migrate(mm, first + 1);
        yield* core.cpu.load(mm, yield* core.mms.mmap(mm, PAGE, RW), new Uint8Array(1));
        yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: 0x4000_0000n });
        yield* core.cpu.store(mm, 0x4000_0000n, Uint8Array.of(1));
        yield* core.mms.collapse(mm, 0x40000);
        const file = core.files.newContent(content);
        yield* core.cpu.store(
          mm,
          yield* core.mms.mmap(mm, PAGE, RW, file, { flags: VMA_FLAG.SHARED }),
          Uint8Array.of(1),
        );
        yield* core.truncation.truncate(content, PAGE);
        yield* core.mms.oomReap(mm);
      });
    }
    expect(traces[0]).not.toEqual([]);
    expect(traces[1]).toEqual(traces[0]);
    checkpoint.restore();
    expect(census(core)).toEqual(small.baseline);
    expect([core.pageFrames.more.size, core.pageFrames.blocks.size, core.mms.live.size]).toEqual([0, 0, 0]);
    expect(core.pageFrames.state.zero).toBe(-1);
  });
});

describe('mappings', () => {
  it('are whole pages, never overlap, and keep what they were made with (VMA-1)', () => {
    inSpace(function* ({ core, mm }) {
      const { mms } = core;
      yield* mms.mmap(mm, PAGE + 1, RW, null, { at: 0x10_0000n });
      yield* mms.mmap(mm, PAGE, PERM.READ | PERM.EXEC, null, { at: 0x10_3000n, flags: VMA_FLAG.GROWSDOWN });
      expect(ranges(mm)).toEqual(['100-102 3', '103-104 5']);
      expect(mm.vmas.map(({ flags }) => flags)).toEqual([0, VMA_FLAG.GROWSDOWN]);
      for (const [address, bytes] of [
        [0x10_1000n, PAGE],
        [0xf_f000n, 2 * PAGE],
        [0xf_0000n, 0x2_0000],
      ] as const) {
        expect(yield* codeOf(mms.mmap(mm, bytes, RW, null, { at: address }))).toBe('EEXIST');
      }
      for (const address of [0x10_2001n, 0n, 1n << 48n]) {
        expect(yield* codeOf(mms.mmap(mm, PAGE, RW, null, { at: address }))).toBe('EINVAL');
      }
      expect(ranges(mm)).toEqual(['100-102 3', '103-104 5']);
    });
  });

  it('of a shared kind are not merged with private ones, nor with other rights (VMA-2)', () => {
    inSpace(function* ({ core, mm }) {
      const { mms } = core;
      yield* mms.mmap(mm, PAGE, RW, null, { at: 0x10_0000n });
      yield* mms.mmap(mm, PAGE, RW, null, { at: 0x10_1000n, flags: VMA_FLAG.SHARED });
      yield* mms.mmap(mm, PAGE, PERM.READ, null, { at: 0x10_2000n });
      yield* mms.mmap(mm, PAGE, PERM.READ, null, { at: 0x10_3000n });
      expect(ranges(mm)).toEqual(['100-101 3', '101-102 3', '102-104 1']);
    });
  });

  it('of one file are merged where its pages follow one another (VMA-2, VMA-4)', () => {
    inSpace(function* ({ core, mm }) {
      const file = core.files.newContent(core.pageCache.create('data', 8 * PAGE));
      const map = (page: number, offset: number): Coroutine<bigint> =>
        core.mms.mmap(mm, PAGE, RW, file, { at: at(page), offset: offset * PAGE });
      yield* map(0x100, 0);
      yield* map(0x101, 1);
      yield* map(0x102, 5);
      expect(ranges(mm)).toEqual(['100-102 3', '102-103 3']);
      expect(file.refs).toBe(3);
      yield* core.mms.munmap(mm, at(0x101), PAGE);
      expect(mm.vmas.map(({ offset }) => offset)).toEqual([0, 5]);
      core.files.put(file);
    });
  });

  it('are as large as the CPU says: 64 KiB pages are 16 page numbers (VMA-1)', () => {
    inSpace(
      function* ({ core, mm, small }) {
        const address = yield* core.mms.mmap(mm, PAGE, RW);
        expect(address % 0x1_0000n).toBe(0n);
        expect(ranges(mm)).toEqual([`${(address >> 12n).toString(16)}-${((address >> 12n) + 16n).toString(16)} 3`]);
        const before = small.bus.frames.inUse();
        yield* core.cpu.fill(mm, address, 0x1_0000, (i) => i >> 12);
        // Two tables of 16 frames below the top one, and one page.
        expect(small.bus.frames.inUse() - before).toBe(48);
        expect(yield* codeOf(core.mms.munmap(mm, address + 0x1000n, PAGE))).toBe('EINVAL');
      },
      { settings: { 'cpu-page': '64K' } },
    );
  });
});
