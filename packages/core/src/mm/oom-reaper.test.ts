import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, codeOf, filled, inSpace, load, PAGE, RW, store } from '../../test/address-space.js';
import { FAULT_FLAG, FAULT_RESULT, type MmuNotifierOps, PageFaults, PERM, VMA_FLAG } from '../index.js';

describe('the OOM reaper', () => {
  it('takes private pages, and leaves shared ones and registers (MM-14)', () => {
    inSpace(function* ({ core, mm, small }) {
      small.bus.claim(0x1000_0000, PAGE, { read: (_at, _bytes, out) => out.set([0x55]), write: () => {} });
      const registers = yield* core.mappings.mmapDevice(mm, 0x1000_0000, PAGE, PERM.READ, null);
      const first = yield* filled(core, mm, 3);
      yield* core.mms.reclaim(mm, first);
      const shared = Number((yield* core.mms.mmap(mm, PAGE, RW, null, { flags: VMA_FLAG.SHARED })) >> 12n);
      yield* store(core, mm, shared, 7);
      const before = small.bus.frames.inUse();
      expect(yield* core.mms.oomReap(mm)).toBe(true);
      expect([small.bus.frames.inUse(), core.swap.slots.size]).toEqual([before - 2, 0]);
      expect(yield* load(core, mm, shared)).toBe(7);
      const word = new Uint8Array(4);
      yield* core.cpu.load(mm, registers, word);
      expect(word[0]).toBe(0x55);
      // What is gone does not come back as zeros.
      expect(yield* codeOf(load(core, mm, first))).toBe('EFAULT');
    });
  });

  it('lets a fault of a device end in a bus error, also one of a file that is mapped private (MM-14, L43)', () => {
    const results = (parts: { PageFaults?: typeof PageFaults }): number[] => {
      const seen: number[] = [];
      inSpace(
        function* ({ core, mm }) {
          const file = core.files.newContent(core.pageCache.create('data', PAGE));
          yield* core.mms.mmap(mm, PAGE, RW, file);
          core.files.put(file);
          yield* core.mms.mmap(mm, PAGE, RW, null);
          for (const { first } of mm.vmas) yield* store(core, mm, first, 1);
          yield* core.mms.oomReap(mm);
          const lock = yield* mm.mmapLock.read();
          for (const vma of mm.vmas) {
            seen.push(yield* core.pageFaults.handleMmFault(mm, vma, vma.first, FAULT_FLAG.REMOTE));
          }
          lock.release();
        },
        { parts },
      );
      return seen;
    };
    class MapsZeros extends PageFaults {
      override mayMapFresh(): boolean {
        return true;
      }
    }
    expect(results({})).toEqual([FAULT_RESULT.SIGBUS, FAULT_RESULT.SIGBUS]);
    expect(results({ PageFaults: MapsZeros })).toEqual([0, 0]);
  });

  it('skips an area whose listener would have to sleep, and tries again (MM-14, MN-10)', () => {
    const log: string[] = [];
    let patience = 2;
    const ops: MmuNotifierOps = {
      *release() {},
      *invalidateRange() {
        log.push('invalidate');
      },
      *rangeStart(_subscription, _start, _end, blockable): Coroutine<boolean> {
        log.push(`start ${blockable}`);
        return blockable || --patience < 0;
      },
      *rangeEnd() {
        log.push('end');
      },
    };
    inSpace(
      function* ({ core, mm }) {
        const first = yield* filled(core, mm, 1);
        const subscription = yield* core.notifiers.get(ops, mm, function* () {});
        expect(yield* core.mms.oomReap(mm)).toBe(true);
        expect(yield* codeOf(load(core, mm, first))).toBe('EFAULT');
        expect(log).toEqual(['start false', 'start false', 'start false', 'end', 'invalidate']);
        patience = 100;
        yield* core.mms.mmap(mm, PAGE, RW);
        expect(yield* core.mms.oomReap(mm)).toBe(false);
        core.notifiers.put(subscription);
      },
      { settings: { 'mn.duplicate': 'off' } },
    );
  });

  it('does nothing to an address space that is dying anyway (MM-9)', () => {
    inSpace(function* ({ core }) {
      const mm = core.mms.create();
      core.mms.grab(mm);
      yield* core.mms.put(mm);
      expect(yield* core.mms.oomReap(mm)).toBe(false);
      expect(mm.unstable).toBe(false);
      core.mms.drop(mm);
    });
  });

  it('leaves a child of the victim without zeros too (MM-14, MM-12)', () => {
    inSpace(function* ({ core, mm }) {
      const first = yield* filled(core, mm, 1);
      yield* core.mms.oomReap(mm);
      const child = yield* core.mms.fork(mm);
      expect(yield* codeOf(load(core, child, first))).toBe('EFAULT');
      yield* core.mms.put(child);
    });
  });

  it('marks first, then takes: no fault in between finds zeros (MM-14)', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 1);
      let unstable = false;
      tlb.watch = () => {
        ({ unstable } = mm);
      };
      yield* core.mms.oomReap(mm);
      expect(unstable).toBe(true);
      expect(yield* codeOf(core.cpu.load(mm, at(first), new Uint8Array(1)))).toBe('EFAULT');
    });
  });
});
