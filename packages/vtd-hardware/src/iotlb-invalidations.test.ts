import { describe, expect, it } from 'vitest';
import { Rig, SID } from '../test/rig.js';
import { spanOf } from './index.js';

const PAGE = 0x7f0000004;
const [OLD, NEW] = [0x40100, 0x40200];

/**
 * First-stage PASIDs 5 and 6 of DID 1, PASID 9 second-stage of DID 7, PASID 10 pass-through of DID 1. Pages PAGE and PAGE+4 of each
 * are cached as OLD, and mapped to NEW since.
 */
function cached(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  const directory = rig.context();
  const roots = new Map<number, number>();
  for (const pasid of [5, 6]) roots.set(pasid, rig.pasid(directory, pasid));
  roots.set(9, rig.pasid(directory, 9, 0n));
  rig.store(rig.pasidAt(directory, 9), BigInt(roots.get(9)!) | 0x89n, 0x80_0007n, 0n);
  for (const frames of [OLD, NEW]) {
    for (const pasid of [5, 6]) for (const n of [0, 4]) rig.map(roots.get(pasid)!, PAGE + n, frames + n);
    for (const n of [0, 4]) rig.mapSecond(roots.get(9)!, PAGE + n, frames + n);
    if (frames === OLD) for (const pasid of [5, 6, 9]) for (const n of [0, 4]) rig.translate(SID, pasid, PAGE + n);
  }
  return { rig, directory };
}
/** Which of the cached translations are gone: `pasid+n`. */
const gone = (rig: Rig) =>
  [5, 6, 9].flatMap((pasid) =>
    [0, 4].filter((n) => rig.translate(SID, pasid, PAGE + n) === NEW + n).map((n) => `${pasid}+${n}`),
  );
const ALL = ['5+0', '5+4', '6+0', '6+4', '9+0', '9+4'];

describe('IotlbInvalidations', () => {
  it('keeps translations until they are invalidated', () => {
    const { rig } = cached();
    expect(gone(rig)).toEqual([]);
  });

  it.each([
    ['type 2 global drops everything', [0xd2n], ALL],
    ['type 2 domain 7: second-stage', [0x700e2n], ['9+0', '9+4']],
    ['type 2 domain 1: first-stage too (3.2)', [0x100e2n], ['5+0', '5+4', '6+0', '6+4']],
    ['type 2 page: second-stage pages of the domain', [0x700f2n, 0x00007f0000004000n], ['9+0']],
    ['type 2 page: 16 pages by AM=4', [0x700f2n, 0x00007f0000004004n], ['9+0', '9+4']],
    [
      'type 2 page: every first-stage page of the domain, whatever the address',
      [0x100f2n, 0x1000n],
      ['5+0', '5+4', '6+0', '6+4'],
    ],
    ['type 2 of another domain', [0x800e2n], []],
    ['type 6 PASID-selective (golden)', [0x0000000500010026n], ['5+0', '5+4']],
    ['type 6 page-selective, 4 pages (golden)', [0x0000000500010036n, 0x00007f0000004002n], ['5+0']],
    ['type 6 page-selective, low AM bits ignored', [0x0000000500010036n, 0x00007f0000007002n], ['5+0']],
    ['type 6 page-selective, everything', [0x0000000500010036n, 52n], ['5+0', '5+4']],
    ['type 6 page-selective, AM=63', [0x0000000500010036n, 0xfffffffffffff03fn], ['5+0', '5+4']],
    ['type 6 page-selective with IH', [0x0000000500010036n, 0x00007f0000004042n], ['5+0']],
    ['type 6 of another domain', [0x0000000500020026n], []],
    ['type 6 leaves second-stage entries, which type 2 is for (VTD-17)', [0x0000000900070026n], []],
  ])('%s', (_name, words, expected) => {
    const { rig } = cached();
    rig.invalidate(words, rig.wait(0));
    expect([rig.iqei, rig.statusOf(0)]).toEqual([-1, 2]);
    expect(gone(rig)).toEqual(expected);
  });

  it('drops pass-through entries of a DID and PASID by type 6 PASID-selective (VTD-17)', () => {
    const { rig, directory } = cached();
    const at = rig.pasidAt(directory, 10);
    rig.store(at, 0x109n, 0x80_0001n, 0n);
    expect(rig.translate(SID, 10, 0x40000)).toBe(0x40000);
    rig.store(at, 0n);
    rig.invalidate([0x0000000a00010017n], [0x0000000a00010026n], rig.wait(0));
    expect(rig.translate(SID, 10, 0x40000)).toBe('fault 0x59');
  });

  it('computes spans in 64 bits (VTD-24, QE-22)', () => {
    expect(spanOf(0x7f0000007, 2)).toEqual({ first: 0x7f0000004, last: 0x7f0000007 });
    expect(spanOf(2 ** 51 + 5, 31)).toEqual({ first: 2 ** 51, last: 2 ** 51 + 2 ** 31 - 1 });
    expect(spanOf(2 ** 52 - 1, 52)).toEqual({ first: 0, last: 2 ** 52 - 1 });
    expect(spanOf(12345, 63)).toEqual({ first: 0, last: 2 ** 52 - 1 });
  });
});
