import { describe, expect, it } from 'vitest';
import { census, smallKernel } from '../../test/small-kernel.js';
import type { LifelongPasids } from './lifelong-pasids.js';
import { lifelongPasids } from './lifelong-pasids.js';

const withCode = (code: string): unknown => expect.objectContaining({ code });

describe('lifelongPasids', () => {
  it('keeps the PASID of an mm until its record is freed, whoever unbinds (IOASID-18, MM-3)', () => {
    const small = smallKernel({ parts: lifelongPasids });
    const { core } = small;
    small.act(function* () {
      const [mm, other] = [core.mms.create(), core.mms.create()];
      expect(core.sva.allocPasid(mm, 1, 15)).toBe(1);
      expect(core.sva.allocPasid(mm, 1, 15)).toBe(1);
      core.sva.freePasid(mm);
      core.sva.freePasid(mm);
      expect(mm.pasid).toBe(1);
      core.mms.grab(mm);
      yield* core.mms.put(mm);
      expect(core.sva.allocPasid(other, 1, 15)).toBe(2);
      expect(yield* core.sva.find(1)).toBe(null);
      core.mms.drop(mm);
      expect(yield* core.sva.findOrNull(1)).toBe(null);
      expect(core.sva.allocPasid(core.mms.create(), 1, 15)).toBe(1);
      expect(yield* core.sva.find(2)).toBe(other);
    });
  });

  it('begins at 1, ends with the range, and checks the range on reuse (IOASID-2, IOASID-18, IOASID-19)', () => {
    const { core } = smallKernel({ parts: lifelongPasids });
    const mm = core.mms.create();
    expect(() => core.sva.allocPasid(mm, 0, 15)).toThrowError(withCode('EINVAL'));
    expect(core.sva.allocPasid(mm, 15, 15)).toBe(15);
    expect(() => core.sva.allocPasid(core.mms.create(), 15, 15)).toThrowError(withCode('ENOSPC'));
    expect(() => core.sva.allocPasid(mm, 1, 14)).toThrowError(withCode('EOVERFLOW'));
  });

  it('leaves nothing behind', () => {
    const small = smallKernel({ parts: lifelongPasids });
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      core.sva.allocPasid(mm, 1, 15);
      core.sva.freePasid(mm);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
    expect((core.sva as LifelongPasids).ids.used.size).toBe(0);
    expect((core.sva as LifelongPasids).mms.size).toBe(0);
  });
});
