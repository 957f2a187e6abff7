import { describe, expect, it } from 'vitest';
import { census, smallKernel } from '../../test/small-kernel.js';
import type { Mm } from '../mm/mm.js';
import { Sva } from './sva.js';

const withCode = (code: string): unknown => expect.objectContaining({ code });

describe('Sva', () => {
  it('gives an address space one PASID, counted, and takes it back with the last reference (SVA-2, SVA-15)', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      const other = core.mms.create();
      expect(core.sva.allocPasid(mm, 1, 0xfffff)).toBe(1);
      expect(core.sva.allocPasid(mm, 1, 0xff)).toBe(1);
      expect(core.sva.allocPasid(other, 1, 0xfffff)).toBe(2);
      core.sva.freePasid(mm);
      expect(mm.pasid).toBe(1);
      core.sva.freePasid(mm);
      expect(mm.pasid).toBe(0);
      expect(core.sva.allocPasid(mm, 1, 3)).toBe(1);
      core.sva.freePasid(mm);
      core.sva.freePasid(other);
      yield* core.mms.put(mm);
      yield* core.mms.put(other);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('refuses ranges with PASID 0 or the failure value (IOASID-2)', () => {
    const { core } = smallKernel();
    const mm = core.mms.create();
    for (const [min, max] of [
      [0, 5],
      [1, 0xffff_ffff],
      [6, 5],
    ] as const) {
      expect(() => core.sva.allocPasid(mm, min, max)).toThrowError(withCode('EINVAL'));
    }
    expect(mm.pasid).toBe(0);
  });

  it('lets a second device use the PASID at both ends of its range, and no further (IOASID-19)', () => {
    const { core } = smallKernel();
    const mm = core.mms.create();
    expect(core.sva.allocPasid(mm, 15, 20)).toBe(15);
    expect(core.sva.allocPasid(mm, 1, 15)).toBe(15);
    expect(core.sva.allocPasid(mm, 15, 15)).toBe(15);
    expect(() => core.sva.allocPasid(mm, 1, 14)).toThrowError(withCode('EOVERFLOW'));
    expect(() => core.sva.allocPasid(mm, 16, 20)).toThrowError(withCode('EOVERFLOW'));
  });

  it('throws when no PASID is free, or no memory for one: never a number (IOASID-20)', () => {
    const { core, kernel } = smallKernel();
    const [a, b] = [core.mms.create(), core.mms.create()];
    kernel.injection.failAt = kernel.injection.state.count + 1;
    expect(() => core.sva.allocPasid(a, 1, 1)).toThrowError(withCode('ENOSPC'));
    expect(core.sva.allocPasid(a, 1, 1)).toBe(1);
    expect(() => core.sva.allocPasid(b, 1, 1)).toThrowError(withCode('ENOSPC'));
    expect(b.pasid).toBe(0);
  });

  it('finds a live address space with a user, a dying one never, an unknown PASID as an error (IOASID-8)', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      core.sva.allocPasid(mm, 1, 3);
      core.mms.grab(mm);
      expect(yield* core.sva.find(1)).toBe(mm);
      expect(mm.users).toBe(2);
      yield* core.mms.put(mm);
      yield* core.mms.put(mm);
      expect(yield* core.sva.find(1)).toBe(null);
      expect(yield* core.sva.findOrNull(2)).toBe(null);
      let code = '';
      try {
        yield* core.sva.find(2);
      } catch (error) {
        ({ code } = error as { code: string });
      }
      expect(code).toBe('ENOENT');
      core.sva.freePasid(mm);
      core.mms.drop(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('does not take a number of another set for an address space (IOASID-7)', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      core.ioasid.alloc({ name: 'guest' }, 1, 9, { not: 'an mm' });
      expect(yield* core.sva.findOrNull(1)).toBe(null);
    });
  });

  it('reports a PASID that is freed without having been allocated', () => {
    const small = smallKernel();
    small.kernel.spawn('stray', function* () {
      small.core.sva.freePasid(small.core.mms.create());
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it.each([
    ['zero', 0],
    ['all-ones', 0xffff_ffff],
  ])('with sentinel=%s an mm without a PASID has 0x%x in its field, before and after (IOASID-3)', (sentinel, unset) => {
    const small = smallKernel({ settings: { sentinel } });
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      expect(mm.pasid).toBe(unset);
      expect(core.sva.hasPasid(mm)).toBe(false);
      expect(core.sva.allocPasid(mm, 1, 9)).toBe(1);
      expect(core.sva.hasPasid(mm)).toBe(true);
      core.sva.freePasid(mm);
      expect(mm.pasid).toBe(unset);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('takes an unbound mm for one that has a PASID if it tests for the other sentinel (broken IOASID-3)', () => {
    class TestsForAllOnes extends Sva {
      override hasPasid(mm: Mm): boolean {
        return mm.pasid !== 0xffff_ffff;
      }
    }
    const { core } = smallKernel({ parts: { Sva: TestsForAllOnes } });
    expect(() => core.sva.allocPasid(core.mms.create(), 1, 9)).toThrowError(withCode('EOVERFLOW'));
    expect(core.ioasid.inUse()).toBe(0);
  });

  it('binds PASID 0 if it lets a range begin there (broken IOASID-2)', () => {
    class FromZero extends Sva {
      override newPasid(mm: Mm, _min: number, max: number): number {
        return super.newPasid(mm, 0, max);
      }
    }
    const { core } = smallKernel({ parts: { Sva: FromZero } });
    expect(core.sva.allocPasid(core.mms.create(), 1, 9)).toBe(0);
  });

  it('refuses a PASID equal to the maximum, or takes any, with another comparison (broken IOASID-19)', () => {
    class Exclusive extends Sva {
      override fits(pasid: number, min: number, max: number): boolean {
        return pasid >= min && pasid < max;
      }
    }
    class Unchecked extends Sva {
      override fits(): boolean {
        return true;
      }
    }
    const reuse = (part: typeof Sva, max: number): number => {
      const { core } = smallKernel({ parts: { Sva: part } });
      const mm = core.mms.create();
      core.sva.allocPasid(mm, 15, 20);
      return core.sva.allocPasid(mm, 1, max);
    };
    expect(() => reuse(Exclusive, 15)).toThrowError(withCode('EOVERFLOW'));
    expect(reuse(Unchecked, 14)).toBe(15);
  });

  it('gives no PASID to a new device once it is freed under its holders (IOASID-13)', () => {
    const { core } = smallKernel();
    const mm = core.mms.create();
    core.sva.allocPasid(mm, 1, 9);
    core.sva.allocPasid(mm, 1, 9);
    core.ioasid.free(1);
    expect(() => core.sva.allocPasid(mm, 1, 9)).toThrowError(withCode('ENOENT'));
  });

  it('touches a freed struct when it looks a PASID up without a getter (broken IOASID-8)', () => {
    class NoGetter extends Sva {
      override getter(): undefined {}
    }
    const ends = [Sva, NoGetter].map((part) => {
      const small = smallKernel({ parts: { Sva: part } });
      const { core, kernel } = small;
      kernel.spawn('worker', function* () {
        const mm = core.mms.create();
        core.sva.allocPasid(mm, 1, 9);
        core.mms.grab(mm);
        yield* core.mms.put(mm);
        const found = yield* core.sva.find(1);
        core.sva.freePasid(mm);
        core.mms.drop(mm);
        expect(found?.users).toBeUndefined();
      });
      return small.run();
    });
    expect(ends).toMatchObject([{ end: 'finished' }, { end: 'violation', violation: { invariant: 'INV-9' } }]);
  });
});
