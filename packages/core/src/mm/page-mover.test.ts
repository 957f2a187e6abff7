import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, codeOf, filled, inSpace, load, PAGE, RW, store } from '../../test/address-space.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type Mm, PERM, Reclaim, VMA_FLAG } from '../index.js';

describe('migration', () => {
  it('moves a page to another frame, in every address space that maps it (MN-13)', () => {
    inSpace(function* ({ core, mm, tlb, small }) {
      const first = yield* filled(core, mm, 1);
      const child = yield* core.mms.fork(mm);
      const old = tlb.translate(first);
      expect(yield* core.mms.migrate(child, first)).toBe(true);
      expect(tlb.stale()).toEqual([]);
      const now = tlb.translate(first);
      expect(now).not.toBe(old);
      expect(core.leaves.find(child, first)?.frame).toBe(now);
      expect(small.bus.frames.story(old)).toContain('it was freed');
      expect([yield* load(core, mm, first), yield* load(core, child, first)]).toEqual([1, 1]);
      yield* store(core, child, first, 5);
      expect(yield* load(core, mm, first)).toBe(1);
      yield* core.mms.put(child);
    });
  });

  it('copies when nobody can write any more: absent, flushed, and told (MN-18)', () => {
    inSpace(function* ({ core, mm, tlb, small }) {
      const first = yield* filled(core, mm, 1);
      const frame = tlb.translate(first);
      tlb.watch = () => {
        expect(tlb.look(first)).toBe(null);
        // A device's last write by the old translation.
        small.bus.write8(frame * 4096, 0x77);
      };
      yield* core.mms.migrate(mm, first);
      expect(yield* load(core, mm, first)).toBe(0x77);
    });
  });

  it('leaves alone what is absent, registers, zeros, and what somebody is about to copy', () => {
    inSpace(function* ({ core, mm, small }) {
      small.bus.claim(0x1000_0000, PAGE, { read: () => {}, write: () => {} });
      const registers = yield* core.mappings.mmapDevice(mm, 0x1000_0000, PAGE, RW, null);
      const first = yield* filled(core, mm, 1);
      const untouched = Number((yield* core.mms.mmap(mm, PAGE, RW)) >> 12n);
      expect(yield* core.mms.migrate(mm, Number(registers >> 12n))).toBe(false);
      expect(yield* core.mms.migrate(mm, untouched)).toBe(false);
      yield* load(core, mm, untouched);
      expect(yield* core.mms.migrate(mm, untouched)).toBe(false);
      const { frame } = core.leaves.find(mm, first)!;
      core.pageFrames.get(frame);
      expect(yield* core.mms.migrate(mm, first)).toBe(false);
      core.pageFrames.put(frame);
      expect(yield* core.mms.migrate(mm, first)).toBe(true);
    });
  });

  it('takes a single page out of a block', () => {
    inSpace(function* ({ core, mm }) {
      yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: 0x4000_0000n });
      yield* store(core, mm, 0x40003, 4);
      yield* core.mms.collapse(mm, 0x40000);
      const before = core.leaves.find(mm, 0x40003)!.frame;
      expect(yield* core.mms.migrate(mm, 0x40003)).toBe(true);
      expect(core.leaves.find(mm, 0x40003)!.frame).not.toBe(before);
      expect(yield* load(core, mm, 0x40003)).toBe(4);
    });
  });
});

describe('reclaim', () => {
  it('puts an anonymous page into swap, and a fault brings it back (PF-5b)', () => {
    inSpace(function* ({ core, mm, small }) {
      const first = yield* filled(core, mm, 2);
      const before = small.bus.frames.inUse();
      expect(yield* core.mms.reclaim(mm, first)).toBe(true);
      expect([small.bus.frames.inUse(), core.swap.slots.size]).toEqual([before - 1, 1]);
      expect(yield* load(core, mm, first)).toBe(1);
      expect(small.log.at(-1)).toContain('result=4');
      yield* store(core, mm, first, 2);
      expect(yield* load(core, mm, first)).toBe(2);
      expect(yield* core.mms.reclaim(mm, first)).toBe(true);
      expect(yield* core.mms.reclaim(mm, first)).toBe(false);
      expect(yield* load(core, mm, first)).toBe(2);
    });
  });

  it('writes nothing for a page that still equals its slot (PF-10)', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 1);
      yield* core.mms.reclaim(mm, first);
      yield* load(core, mm, first);
      const slot = core.swap.copyOf(core.leaves.find(mm, first)!.frame);
      expect(slot).not.toBe(null);
      yield* core.mms.reclaim(mm, first);
      expect([...core.swap.slots.values()]).toEqual([slot]);
      expect(yield* load(core, mm, first)).toBe(1);
    });
  });

  /** A page comes back clean, hardware marks it dirty, it goes again, and comes back. */
  function dirtied(ReclaimClass: typeof Reclaim): number {
    let byte = -1;
    inSpace(
      function* ({ core, mm, small }) {
        const first = yield* filled(core, mm, 1);
        yield* core.mms.reclaim(mm, first);
        yield* load(core, mm, first);
        // As an IOMMU does that writes for a device.
        const { at: entry, entry: word } = core.pageTables.find(mm, first);
        expect(core.format.markUsed(word, true)).toBe(true);
        small.bus.store64(entry, word[0]!, word[1]!);
        small.bus.write8(core.leaves.find(mm, first)!.frame * 4096, 0x99);
        yield* core.mms.reclaim(mm, first);
        byte = yield* load(core, mm, first);
      },
      { settings: { 'hw-af-dirty': 'on' }, parts: { Reclaim: ReclaimClass } },
    );
    return byte;
  }

  it('honours what hardware marked dirty (PF-10)', () => {
    class TakesForClean extends Reclaim {
      override isDirty(): boolean {
        return false;
      }
    }
    expect(dirtied(Reclaim)).toBe(0x99);
    expect(dirtied(TakesForClean)).toBe(1);
  });

  it('drops a clean page of a file, and writes a dirty one back', () => {
    inSpace(function* ({ core, mm }) {
      const content = core.pageCache.create('data', 2 * PAGE);
      content.stored.set(0, new Uint8Array(PAGE).fill(7));
      const file = core.files.newContent(content);
      const first = Number((yield* core.mms.mmap(mm, 2 * PAGE, RW, file, { flags: VMA_FLAG.SHARED })) >> 12n);
      core.files.put(file);
      expect(yield* load(core, mm, first)).toBe(7);
      yield* store(core, mm, first + 1, 8);
      for (let i = 0; i < 2; i++) expect(yield* core.mms.reclaim(mm, first + i)).toBe(true);
      expect([content.cached.size, content.stored.size, content.stored.get(1)![0]]).toEqual([0, 2, 8]);
      expect([yield* load(core, mm, first), yield* load(core, mm, first + 1)]).toEqual([7, 8]);
    });
  });

  it('reaches an address space whose last user is gone, until its mappings are (MM-10)', () => {
    const done: boolean[] = [];
    const space: { mm: Mm | null; first: number } = { mm: null, first: 0 };
    const small = smallKernel();
    const { core } = small;
    const listener = {
      *release(): Coroutine<void> {
        done.push(yield* core.mms.reclaim(space.mm!, space.first));
      },
      *invalidateRange(): Coroutine<void> {
        done.push(space.mm!.users === 0);
      },
    };
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, function* () {});
      space.mm = mm;
      space.first = yield* filled(core, mm, 1);
      yield* core.mms.put(mm);
      core.notifiers.put(subscription);
    });
    // It was told, although the last user was gone: the list is emptied only after release.
    expect(done).toEqual([true, true]);
    expect(census(core)).toEqual(small.baseline);
  });

  it('changes nothing when there is no memory', () => {
    inSpace(function* ({ core, mm, small }) {
      const first = yield* filled(core, mm, 1);
      const { injection } = small.kernel;
      for (const what of ['reclaim', 'migrate'] as const) {
        injection.failAt = injection.state.count + 1;
        expect(yield* codeOf(core.mms[what](mm, first))).toBe('ENOMEM');
      }
      injection.failAt = 0;
      expect(yield* load(core, mm, first)).toBe(1);
    });
  });

  it('puts every entry back when a block cannot be split', () => {
    inSpace(function* ({ core, mm, small }) {
      yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: 0x4000_0000n });
      yield* store(core, mm, 0x40003, 4);
      yield* core.mms.collapse(mm, 0x40000);
      const { injection } = small.kernel;
      injection.only = 'frame';
      // The frame to move to is there, the table is not.
      injection.failAt = injection.state.count + 2;
      expect(yield* codeOf(core.mms.migrate(mm, 0x40003))).toBe('ENOMEM');
      injection.failAt = 0;
      expect(yield* load(core, mm, 0x40003)).toBe(4);
      expect(mm.placeholders).toBe(0);
    });
  });
});

describe('reclaim and migration, while two processes use the page', () => {
  it('lose no write and leave nothing behind, under any schedule', () => {
    const kinds = new Set<string>();
    for (let seed = 1; seed <= 150; seed++) {
      const small = smallKernel({ settings: seed % 2 === 0 ? { 'hw-af-dirty': 'on' } : {} });
      const { core, kernel } = small;
      kernel.spawn('main', function* () {
        const mm = core.mms.create();
        const first = yield* filled(core, mm, 1);
        const child = yield* core.mms.fork(mm);
        let running = 0;
        for (const [i, who] of [mm, child, mm].entries()) {
          yield* core.mms.get(who);
          running++;
          kernel.spawn(`user-${i}`, function* () {
            const place = at(first) + BigInt(8 + i);
            for (let value = 1; value <= 3; value++) {
              yield* core.cpu.store(who, place, Uint8Array.of(value));
              const into = new Uint8Array(1);
              yield* core.cpu.load(who, place, into);
              expect(into[0]).toBe(value);
            }
            yield* core.mms.put(who);
            running--;
          });
        }
        for (const what of ['reclaim', 'migrate'] as const) {
          core.mms.grab(mm);
          running++;
          kernel.spawn(what, function* () {
            for (let i = 0; i < 3; i++) kinds.add(`${what} ${yield* core.mms[what](mm, first)}`);
            core.mms.drop(mm);
            running--;
          });
        }
        while (running > 0) yield* kernel.clock.sleep(1000);
        expect([yield* load(core, mm, first), yield* load(core, child, first)]).toEqual([1, 1]);
        yield* core.mms.put(child);
        yield* core.mms.put(mm);
      });
      expect(small.run(new RandomChooser(seed))).toMatchObject({ end: 'finished' });
      expect(census(core)).toEqual(small.baseline);
    }
    expect([...kinds].sort()).toEqual(['migrate false', 'migrate true', 'reclaim false', 'reclaim true']);
  });

  it('leave nothing behind when a process unmaps, moves or forks meanwhile, under any schedule', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const small = smallKernel();
      const { core, kernel } = small;
      kernel.spawn('main', function* () {
        const mm = core.mms.create();
        const first = yield* filled(core, mm, 3);
        for (const what of ['reclaim', 'migrate'] as const) {
          core.mms.grab(mm);
          kernel.spawn(what, function* () {
            for (let i = 0; i < 3; i++) yield* core.mms[what](mm, first + i);
            core.mms.drop(mm);
          });
        }
        const child = yield* core.mms.fork(mm);
        yield* core.mms.mprotect(mm, at(first + 1), PAGE, PERM.READ);
        yield* core.mms.mmap(mm, PAGE, PERM.READ, null, { at: at(first + 3) });
        const moved = Number((yield* core.mms.mremap(mm, at(first), PAGE, 2 * PAGE)) >> 12n);
        expect(yield* load(core, mm, moved)).toBe(1);
        expect(yield* codeOf(store(core, mm, first + 1, 9))).toBe('EFAULT');
        yield* core.mms.munmap(mm, at(first + 2), PAGE);
        for (let i = 0; i < 3; i++) expect(yield* load(core, child, first + i)).toBe(i + 1);
        yield* core.mms.put(mm);
        yield* core.mms.put(child);
      });
      expect(small.run(new RandomChooser(seed))).toMatchObject({ end: 'finished' });
      expect(census(core)).toEqual(small.baseline);
    }
  });
});
