import { type Coroutine, type Kernel, RandomChooser, UseAfterFree } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import type { Ioasid, IoasidGetter, IoasidSet } from './ioasid.js';
import { IoasidAllocator } from './ioasid-allocator.js';

const SET: IoasidSet = { name: 'test' };

/** What a coroutine throws, by its code, or what it returns. */
function* outcomeOf(routine: Coroutine<unknown>): Coroutine<unknown> {
  try {
    return yield* routine;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('IoasidAllocator.find', () => {
  it('finds by number and set; no set matches any (IOASID-7)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      const owner = { mine: true };
      const id = ioasid.alloc(SET, 1, 9, owner);
      expect(yield* ioasid.find(SET, id)).toBe(owner);
      expect(yield* ioasid.find(null, id)).toBe(owner);
      expect(yield* outcomeOf(ioasid.find({ name: 'test' }, id))).toBe('EACCES');
      expect(yield* outcomeOf(ioasid.find(SET, 8))).toBe('ENOENT');
    });
  });

  it('tells a getter that declines from an unknown number: null, and no error (IOASID-8)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      const owner = { mine: true };
      const id = ioasid.alloc(SET, 1, 9, owner);
      const seen: unknown[] = [];
      const getter = (answer: boolean): IoasidGetter =>
        function* (found) {
          seen.push(found);
          return answer;
        };
      expect(yield* ioasid.find(SET, id, getter(true))).toBe(owner);
      expect(yield* ioasid.find(SET, id, getter(false))).toBe(null);
      expect(seen).toEqual([owner, owner]);
      expect(yield* outcomeOf(ioasid.find({ name: 'other' }, id, getter(true)))).toBe('EACCES');
      expect(seen).toHaveLength(2);
    });
  });

  it('takes neither the lock nor a reference, and leaves its read section whatever happens (IOASID-8, IOASID-15)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid, kernel } = small.core;
      const id = ioasid.alloc(SET, 1, 9, null);
      yield* ioasid.lock.acquire();
      yield* ioasid.find(SET, id);
      ioasid.lock.leave();
      expect(recordOf(ioasid, id).refs).toBe(1);
      expect(yield* outcomeOf(ioasid.find(SET, 5))).toBe('ENOENT');
      expect(kernel.current?.atomic).toBe(0);
      expect(ioasid.put(id)).toBe(true);
    });
  });

  it('calls the getter inside the read section: it must not sleep there (IOASID-8)', () => {
    const small = smallKernel();
    small.kernel.spawn('sleeper', function* () {
      const { ioasid, kernel } = small.core;
      yield* ioasid.find(SET, ioasid.alloc(SET, 1, 9, null), function* () {
        kernel.mightSleep('a getter');
        return true;
      });
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10' } });
  });

  it.each([
    ['error', 'ENOENT'],
    ['ok', 'the owner'],
  ])('with find-inactive=%s a freed number gives %s until its last reference is put (IOASID-13)', (value, result) => {
    const small = smallKernel({ settings: { 'find-inactive': value } });
    small.act(function* () {
      const { ioasid } = small.core;
      const id = ioasid.alloc(SET, 1, 9, 'the owner');
      ioasid.get(id);
      ioasid.free(id);
      expect(yield* outcomeOf(ioasid.find(SET, id))).toBe(result);
      ioasid.put(id);
      expect(yield* outcomeOf(ioasid.find(SET, id))).toBe('ENOENT');
    });
  });

  it('resolves a number of another kind to what it stands for when the set is not compared (broken IOASID-7)', () => {
    class IgnoresSet extends IoasidAllocator {
      override checkSet(): void {}
    }
    const small = smallKernel({ parts: { IoasidAllocator: IgnoresSet } });
    small.act(function* () {
      const { core } = small;
      const notAnMm = { owner: 'a guest' };
      const id = core.ioasid.alloc(SET, 1, 9, notAnMm);
      expect(yield* outcomeOf(core.ioasid.find({ name: 'sva' }, id))).toBe(notAnMm);
    });
  });

  it('hands out what dies when a refusal of the getter is not reported (broken IOASID-8)', () => {
    class ReturnsDeclined extends IoasidAllocator {
      override declined(owner: unknown): unknown {
        return owner;
      }
    }
    const run = (parts: { IoasidAllocator?: typeof IoasidAllocator }): unknown => {
      const small = smallKernel({ parts });
      let found: unknown;
      small.act(function* () {
        const { core } = small;
        const mm = core.mms.create();
        core.sva.allocPasid(mm, 1, 3);
        core.mms.grab(mm);
        yield* core.mms.put(mm);
        found = (yield* core.sva.find(1)) === mm;
        core.sva.freePasid(mm);
        core.mms.drop(mm);
      });
      return found;
    };
    expect(run({})).toBe(false);
    expect(run({ IoasidAllocator: ReturnsDeclined })).toBe(true);
  });
});

function recordOf(ioasid: IoasidAllocator, id: number): Ioasid {
  return [...ioasid.records()].find((record) => record.id === id)!;
}

describe('IoasidAllocator.setData', () => {
  it('replaces the owner; an unknown number is an error without a wait (IOASID-9)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid, kernel } = small.core;
      const id = ioasid.alloc(SET, 1, 9, 'old');
      yield* ioasid.setData(id, 'new');
      expect(yield* ioasid.find(SET, id)).toBe('new');
      expect(yield* outcomeOf(ioasid.setData(7, 'new'))).toBe('ENOENT');
      expect(kernel.rcu.pending()).toBe(0);
    });
  });

  it('must not be called in atomic context, known number or not (IOASID-9)', () => {
    for (const id of [1, 7]) {
      const small = smallKernel();
      small.kernel.spawn('atomic', function* () {
        const { ioasid, kernel } = small.core;
        ioasid.alloc(SET, 1, 1, 'old');
        kernel.rcu.readLock();
        yield* outcomeOf(ioasid.setData(id, 'new'));
        kernel.rcu.readUnlock();
      });
      expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10' } });
    }
  });

  it('lets the caller free the old owner when it returns, whoever looks it up meanwhile (IOASID-9)', () => {
    expect(swaps({}, 400)).toEqual(new Set(['finished']));
  });

  it('loses the old owner under a lookup without the grace period (broken IOASID-9)', () => {
    class DoesNotWait extends IoasidAllocator {
      override *awaitLookups(): Coroutine<void> {}
    }
    expect(swaps({ IoasidAllocator: DoesNotWait }, 400)).toContain('violation INV-9');
  });
});

/** One task replaces and frees what another one looks up, under `runs` random schedules: every end that was seen. */
function swaps(parts: { IoasidAllocator?: typeof IoasidAllocator }, runs: number): Set<string> {
  const ends = new Set<string>();
  const small: SmallKernel = smallKernel({ parts });
  const { core } = small;
  const kernel: Kernel = core.kernel;
  const owners = kernel.slab<{ holds: number }>('owner', { holds: 0 });
  const word = kernel.footprint();
  const first = owners.alloc();
  const id = core.ioasid.alloc(SET, 1, 9, first);
  const checkpoint = kernel.checkpoints.take();
  const hold: IoasidGetter = function* (found) {
    yield* kernel.point(word, true);
    (found as { holds: number }).holds++;
    return true;
  };
  for (let seed = 1; seed <= runs; seed++) {
    checkpoint.restore();
    kernel.spawn('finder', function* () {
      for (let i = 0; i < 3; i++) {
        try {
          yield* core.ioasid.find(SET, id, hold);
        } catch (error) {
          if (error instanceof UseAfterFree) return;
          throw error;
        }
      }
    });
    kernel.spawn('owner', function* () {
      yield* core.ioasid.setData(id, owners.alloc());
      owners.free(first);
    });
    const outcome = small.run(new RandomChooser(seed));
    ends.add(outcome.end === 'violation' ? `violation ${outcome.violation.invariant}` : outcome.end);
  }
  return ends;
}
