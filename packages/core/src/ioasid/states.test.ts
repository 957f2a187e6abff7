import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import type { Ioasid, IoasidSet } from './ioasid.js';
import { IoasidAllocator } from './ioasid-allocator.js';

const SET: IoasidSet = { name: 'test' };

/** Runs `body` on an allocator and expects no violation. */
function using(body: (ioasid: IoasidAllocator) => Coroutine<void>, part = IoasidAllocator): SmallKernel {
  const small = smallKernel({ parts: { IoasidAllocator: part } });
  small.act(() => body(small.core.ioasid));
  return small;
}

/** A number with two references, freed by the one who allocated it. */
function freedWithHolder(ioasid: IoasidAllocator): number {
  const id = ioasid.alloc(SET, 1, 9, 'owner');
  ioasid.get(id);
  ioasid.free(id);
  return id;
}

describe('a number that is freed with references left (IOASID-13)', () => {
  it('stays out of the pool until the last holder puts it', () => {
    using(function* (ioasid) {
      const id = freedWithHolder(ioasid);
      expect(id).toBe(1);
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(2);
      expect(ioasid.alloc(SET, 1, 1, null)).toBe(0xffff_ffff);
      expect(ioasid.put(1)).toBe(true);
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(1);
    });
  });

  it('accepts no new holder', () => {
    using(function* (ioasid) {
      const id = freedWithHolder(ioasid);
      expect(() => ioasid.get(id)).toThrowError(expect.objectContaining({ code: 'ENOENT', rule: 'IOASID-13' }));
      expect(ioasid.put(id)).toBe(true);
      expect(ioasid.inUse()).toBe(0);
    });
  });

  it('is not freed a second time', () => {
    using(function* (ioasid) {
      const id = freedWithHolder(ioasid);
      ioasid.free(id);
      expect(ioasid.inUse()).toBe(1);
      expect(ioasid.put(id)).toBe(true);
    });
  });

  it('counts down over as many holders as there are', () => {
    using(function* (ioasid) {
      const id = ioasid.alloc(SET, 1, 9, null);
      for (let i = 0; i < 3; i++) ioasid.get(id);
      ioasid.free(id);
      expect([1, 2, 3].map(() => ioasid.put(id))).toEqual([false, false, true]);
    });
  });

  it('never was, without other references: free gives the number back at once', () => {
    using(function* (ioasid) {
      const id = ioasid.alloc(SET, 1, 9, null);
      ioasid.free(id);
      expect(ioasid.inUse()).toBe(0);
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(id);
    });
  });

  it('can get new references while it is in use, and put drops them without freeing (IOASID-10, IOASID-12)', () => {
    using(function* (ioasid) {
      const id = ioasid.alloc(SET, 1, 9, null);
      ioasid.get(id);
      expect(ioasid.put(id)).toBe(false);
      ioasid.get(id);
      expect(ioasid.put(id)).toBe(false);
      expect(ioasid.put(id)).toBe(true);
    });
  });
});

it.each(['get', 'put', 'free', 'bind', 'unbind'] as const)(
  '%s of a number that is not allocated is reported and has no effect (IOASID-10, IOASID-11, IOASID-13)',
  (operation) => {
    const small = smallKernel();
    small.kernel.spawn('stray', function* () {
      small.core.ioasid.alloc(SET, 1, 9, null);
      small.core.ioasid[operation](2);
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
    expect(small.core.ioasid.inUse()).toBe(1);
  },
);

it('a caller without a reference cannot tell its number from a later one: only a reference can (IOASID-14)', () => {
  using(function* (ioasid) {
    const first = ioasid.alloc(SET, 1, 9, 'first');
    ioasid.put(first);
    const second = ioasid.alloc(SET, 1, 9, 'second');
    expect(second).toBe(first);
    expect(yield* ioasid.find(SET, first)).toBe('second');
    ioasid.get(second);
    ioasid.put(second);
    ioasid.put(second);
    expect(ioasid.inUse()).toBe(0);
  });
});

describe('broken states', () => {
  it('a get that ignores INACTIVE keeps the number for ever (broken IOASID-13)', () => {
    class GetIgnoresInactive extends IoasidAllocator {
      override checkGettable(): void {}
    }
    using(function* (ioasid) {
      const id = freedWithHolder(ioasid);
      ioasid.get(id);
      expect(ioasid.put(id)).toBe(false);
      expect(ioasid.inUse()).toBe(1);
    }, GetIgnoresInactive);
  });

  it('a free that ignores references hands the number to somebody else (broken IOASID-13)', () => {
    class FreeIgnoresReferences extends IoasidAllocator {
      override dropFreed(record: Ioasid): void {
        this.reclaim(record);
      }
    }
    const small = smallKernel({ parts: { IoasidAllocator: FreeIgnoresReferences } });
    small.kernel.spawn('owner', function* () {
      freedWithHolder(small.core.ioasid);
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-4' } });
  });

  it("a second free that counts drops the holder's reference (broken IOASID-13)", () => {
    class FreeTwiceDecrements extends IoasidAllocator {
      override freedAgain(record: Ioasid): void {
        this.drop(record);
      }
    }
    using(function* (ioasid) {
      const id = freedWithHolder(ioasid);
      ioasid.free(id);
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(id);
    }, FreeTwiceDecrements);
  });
});
