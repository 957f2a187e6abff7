import { describe, expect, it } from 'vitest';
import { census, smallKernel } from '../../test/small-kernel.js';

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
});
