import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, codeOf, filled, inSpace, load, PAGE, RW, ranges, store } from '../../test/address-space.js';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type Mm, MmService, PERM, VMA_FLAG } from '../index.js';

describe('fork', () => {
  it('gives the child the same memory, and each its own writes (MM-12)', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 3);
      const child = yield* core.mms.fork(mm);
      expect(ranges(child)).toEqual(ranges(mm));
      yield* store(core, child, first, 77);
      yield* store(core, mm, first + 1, 88);
      for (const [who, bytes] of [
        [mm, [1, 88, 3]],
        [child, [77, 2, 3]],
      ] as const) {
        for (let i = 0; i < 3; i++) expect(yield* load(core, who, first + i)).toBe(bytes[i]);
      }
      yield* core.mms.put(child);
      expect(yield* load(core, mm, first)).toBe(1);
    });
  });

  it('shares frames until somebody writes, and gives back what nobody has any more', () => {
    inSpace(function* ({ core, mm, small }) {
      const first = yield* filled(core, mm, 8);
      const before = small.bus.frames.inUse();
      const child = yield* core.mms.fork(mm);
      // Four tables.
      expect(small.bus.frames.inUse()).toBe(before + 4);
      yield* store(core, child, first, 9);
      expect(small.bus.frames.inUse()).toBe(before + 5);
      yield* core.mms.munmap(mm, at(first), 8 * PAGE);
      expect(core.pageFrames.more.size).toBe(0);
      yield* core.mms.put(child);
    });
  });

  it('makes the private writable pages of the parent read-only, before it tells (MM-12, MN-13)', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 1);
      let seen = -1;
      tlb.watch = () => {
        seen = tlb.look(first)!.perm;
      };
      yield* core.mms.put(yield* core.mms.fork(mm));
      expect(seen).toBe(PERM.READ);
    });
  });

  it('starts with no PASID and no listeners, and its end disturbs none of the parent (MM-12, IOASID-3)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener();
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      core.sva.allocPasid(mm, 1, 100);
      const child = yield* core.mms.fork(mm);
      expect([core.sva.hasPasid(child), child.subscriptions, child.users, child.count]).toEqual([false, [], 1, 1]);
      yield* core.mms.put(child);
      expect(listener.log).toEqual([]);
      expect([mm.pasid, mm.subscriptions.length, core.ioasid.inUse()]).toEqual([1, 1, 1]);
      core.sva.freePasid(mm);
      yield* core.mms.put(mm);
      core.notifiers.put(subscription);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it("believes that it is bound when the parent's PASID is not reset (L14)", () => {
    class CopiesPasid extends MmService {
      override resetPasid(): void {}
    }
    const small = smallKernel({ parts: { MmService: CopiesPasid } });
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      core.sva.allocPasid(mm, 1, 100);
      const child = yield* core.mms.fork(mm);
      expect(core.sva.hasPasid(child)).toBe(true);
    });
  });

  it("empties a list that is the parent's when notifiers are not reset (L14)", () => {
    class CopiesNotifiers extends MmService {
      override resetNotifiers(): void {}
    }
    const small = smallKernel({ parts: { MmService: CopiesNotifiers } });
    const { core } = small;
    const listener = new Listener();
    small.act(function* () {
      const mm = core.mms.create();
      yield* core.notifiers.get(listener, mm, listener.make);
      yield* core.mms.put(yield* core.mms.fork(mm));
      expect(listener.log).toEqual(['release mm:1']);
      expect(mm.subscriptions).toEqual([]);
    });
  });

  it('leaves shared memory shared, and registers mapped', () => {
    inSpace(function* ({ core, mm, small }) {
      small.bus.claim(0x1000_0000, PAGE, { read: (_at, _bytes, out) => out.set([0x55]), write: () => {} });
      const registers = yield* core.mappings.mmapDevice(mm, 0x1000_0000, PAGE, PERM.READ, null);
      const shared = Number((yield* core.mms.mmap(mm, 2 * PAGE, RW, null, { flags: VMA_FLAG.SHARED })) >> 12n);
      yield* store(core, mm, shared, 3);
      const child = yield* core.mms.fork(mm);
      yield* store(core, child, shared + 1, 4);
      expect(yield* load(core, mm, shared + 1)).toBe(4);
      expect(yield* load(core, child, shared)).toBe(3);
      const word = new Uint8Array(4);
      yield* core.cpu.load(child, registers, word);
      expect(word[0]).toBe(0x55);
      yield* core.mms.put(child);
      expect(yield* load(core, mm, shared + 1)).toBe(4);
    });
  });

  it('copies what is swapped out without bringing it in', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 2);
      yield* core.mms.reclaim(mm, first);
      const child = yield* core.mms.fork(mm);
      yield* core.mms.munmap(mm, at(first), PAGE);
      expect(core.swap.slots.size).toBe(1);
      expect(yield* load(core, child, first)).toBe(1);
      yield* core.mms.put(child);
      expect(core.swap.slots.size).toBe(0);
    });
  });

  it('shares the pages of a block, which the parent splits', () => {
    inSpace(function* ({ core, mm }) {
      const address = yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: 0x4000_0000n });
      const first = Number(address >> 12n);
      yield* store(core, mm, first + 5, 6);
      yield* core.mms.collapse(mm, first);
      const child = yield* core.mms.fork(mm);
      yield* store(core, child, first + 5, 7);
      expect(yield* load(core, mm, first + 5)).toBe(6);
      expect(yield* load(core, child, first + 5)).toBe(7);
      yield* core.mms.put(child);
    });
  });

  it('is all or nothing, whichever allocation fails', () => {
    let failures = 0;
    for (let n = 1; n < 20; n++) {
      inSpace(function* ({ core, mm, small }) {
        const first = yield* filled(core, mm, 2);
        const { injection } = small.kernel;
        injection.failAt = injection.state.count + n;
        let child: Mm | null = null;
        const code = yield* codeOf(
          (function* (): Coroutine<void> {
            child = yield* core.mms.fork(mm);
          })(),
        );
        injection.failAt = 0;
        if (code !== 'none') failures++;
        if (child !== null) yield* core.mms.put(child);
        yield* store(core, mm, first, 9);
        expect(yield* load(core, mm, first)).toBe(9);
      });
    }
    // The record, the top-level table, a mapping, three tables.
    expect(failures).toBe(6);
  });
});
