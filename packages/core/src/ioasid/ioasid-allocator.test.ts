import { describe, expect, it } from 'vitest';
import { smallKernel } from '../../test/small-kernel.js';
import { INVALID_IOASID, type IoasidSet } from './ioasid.js';

const SET: IoasidSet = { name: 'test' };

describe('IoasidAllocator', () => {
  it('hands out the lowest free number of the range, both ends included (IOASID-4)', () => {
    const { ioasid } = smallKernel().core;
    expect([1, 2, 3].map(() => ioasid.alloc(SET, 1, 3, null))).toEqual([1, 2, 3]);
    expect(ioasid.put(2)).toBe(true);
    expect(ioasid.put(1)).toBe(true);
    expect(ioasid.alloc(SET, 2, 3, null)).toBe(2);
    expect(ioasid.alloc(SET, 1, 3, null)).toBe(1);
    expect(ioasid.alloc(SET, 7, 7, null)).toBe(7);
    expect(ioasid.alloc(SET, 1, 9, null)).toBe(4);
  });

  it('returns all ones when the range is exhausted or the record finds no memory (IOASID-5)', () => {
    const { core, kernel } = smallKernel();
    expect(core.ioasid.alloc(SET, 5, 5, null)).toBe(5);
    expect(core.ioasid.alloc(SET, 5, 5, null)).toBe(INVALID_IOASID);
    expect(INVALID_IOASID).toBe(0xffff_ffff);
    kernel.injection.failAt = kernel.injection.state.count + 1;
    expect(core.ioasid.alloc(SET, 1, 9, null)).toBe(0xffff_ffff);
    expect(core.ioasid.inUse()).toBe(1);
    expect(core.ioasid.alloc(SET, 1, 9, null)).toBe(1);
  });

  it('frees a number with its last reference only (IOASID-6, IOASID-11)', () => {
    const { ioasid } = smallKernel().core;
    const id = ioasid.alloc(SET, 1, 9, null);
    ioasid.get(id);
    expect(ioasid.put(id)).toBe(false);
    expect(ioasid.inUse()).toBe(1);
    expect(ioasid.put(id)).toBe(true);
    expect(ioasid.inUse()).toBe(0);
  });

  it('reports a reference to a number that is not allocated (IOASID-10, IOASID-11)', () => {
    const small = smallKernel();
    small.kernel.spawn('stray', function* () {
      expect(small.core.ioasid.put(3)).toBe(false);
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it('frees the record after a grace period, the number at once', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid, kernel } = small.core;
      const id = ioasid.alloc(SET, 1, 9, null);
      kernel.rcu.readLock();
      ioasid.put(id);
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(id);
      expect(ioasid.slab.live()).toBe(2);
      kernel.rcu.readUnlock();
    });
    expect(small.core.ioasid.slab.live()).toBe(1);
  });

  it('restores numbers and the place where it searches with a checkpoint', () => {
    const small = smallKernel();
    const { ioasid } = small.core;
    ioasid.alloc(SET, 1, 9, null);
    const checkpoint = small.kernel.checkpoints.take();
    ioasid.alloc(SET, 1, 9, null);
    ioasid.put(1);
    checkpoint.restore();
    expect(ioasid.inUse()).toBe(1);
    expect(ioasid.alloc(SET, 1, 9, null)).toBe(2);
  });

  it('allocates and counts in atomic context, where nothing may sleep (IOASID-15)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid, kernel } = small.core;
      kernel.rcu.readLock();
      const id = ioasid.alloc(SET, 1, 9, null);
      ioasid.get(id);
      ioasid.free(id);
      ioasid.put(id);
      kernel.rcu.readUnlock();
      yield* ioasid.lock.turn();
    });
    expect(small.core.ioasid.inUse()).toBe(0);
  });
});
