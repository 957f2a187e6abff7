import { describe, expect, it } from 'vitest';
import { hex, Rig, SID } from '../test/rig.js';

const PAGE = 0x7f0000004;
const [OLD, NEW] = [0x40100, 0x40200];
const GLOBAL = 0x107n;

/**
 * The extended-context mode: SID has DID 1, PGE, and PASIDs 5 and 6, each with a page (+0) and a global page (+4) that are cached as
 * OLD and mapped to NEW since.
 */
function cached() {
  const rig = new Rig({ ecs: true }).enable(2);
  const pasids = rig.frames(0);
  const at = rig.contextAt(SID);
  rig.store(at + 8, 0x10an, BigInt(pasids), BigInt(rig.frames(0)));
  rig.store(at, BigInt(rig.frames(0)) | 0xa15n);
  const roots = [5, 6].map((pasid) => {
    const root = rig.frames(0);
    rig.store(pasids + pasid * 8, BigInt(root) | 1n);
    return root;
  });
  const map = (frame: number) => {
    for (const root of roots) {
      rig.map(root, PAGE, frame);
      rig.map(root, PAGE + 4, frame + 4, GLOBAL);
    }
  };
  map(OLD);
  for (const pasid of [5, 6]) for (const n of [0, 4]) expect(rig.translate(SID, pasid, PAGE + n)).toBe(OLD + n);
  map(NEW);
  return { rig, pasids, roots };
}
const gone = (rig: Rig) =>
  [5, 6].flatMap((pasid) =>
    [0, 4].filter((n) => rig.translate(SID, pasid, PAGE + n) === NEW + n).map((n) => `${pasid}+${n}`),
  );

describe('the invalidation queue in the extended-context mode (vtd.md 3.6 to 3.8, VTD-47)', () => {
  it.each([
    ['all PASIDs, global pages too: G=0', 0x0000000000010006n, 0n, ['5+0', '5+4', '6+0', '6+4']],
    ['all PASIDs, without global pages: G=1', 0x0000000000010016n, 0n, ['5+0', '6+0']],
    ['one PASID, without global pages: G=2', 0x0000000500010026n, 0n, ['5+0']],
    ['8 pages of a PASID: G=3', 0x0000000500010036n, 0x00007f0000000003n, ['5+0']],
    ['16 pages of a PASID without GL', 0x0000000500010036n, 0x00007f0000000004n, ['5+0']],
    ['16 pages of a PASID with GL', 0x0000000500010036n, 0x00007f0000000084n, ['5+0', '5+4']],
    ['nothing of another domain', 0x0000000000020006n, 0n, []],
  ])('drops translations of %s', (_name, qw0, qw1, expected) => {
    const { rig } = cached();
    rig.invalidate([qw0, qw1], rig.wait(0));
    expect([rig.iqei, rig.statusOf(0)]).toEqual([-1, 2]);
    expect(gone(rig)).toEqual(expected);
  });

  it.each([
    ['one PASID', 0x0000000500010017n, ['5']],
    ['a domain', 0x0000000000010007n, ['5', '6']],
  ])('drops cached PASID entries of %s', (_name, qw0, expected) => {
    const { rig, pasids } = cached();
    for (const pasid of [5, 6]) rig.store(pasids + pasid * 8, 0n);
    rig.invalidate([qw0, 0n], [0x0000000000010006n, 0n], rig.wait(0));
    expect(rig.statusOf(0)).toBe(2);
    const absent = [5, 6].filter((pasid) => typeof rig.translate(SID, pasid, PAGE) === 'string');
    expect(absent.map(String)).toEqual(expected);
  });

  it('has no global PASID-cache invalidation (3.7): IQEI 4', () => {
    const { rig } = cached();
    expect(rig.verdict(0x37n, 0n)).toBe(4);
    expect(rig.verdict(0x27n, 0n)).toBe(4);
  });

  it('sends extended device-TLB invalidations, of one PASID or with GLOB of all', () => {
    const { rig } = cached();
    rig.frozen = true;
    const link = rig.link();
    rig.invalidate([0x0000000501000008n, 0x000000012345f800n], [0x0000000501000008n, 0x7ffffffffffff801n]);
    const bodies = link.sent.map((tlp) =>
      tlp.kind === 'invalidate-request' ? [tlp.pasid, hex((BigInt(tlp.hi) << 32n) | BigInt(tlp.lo))] : [],
    );
    expect(bodies).toEqual([
      [5, '0x000000012345f800'],
      [5, '0x7ffffffffffff801'],
    ]);
  });

  it('has descriptors of 128 bits only, and stops at reserved bits', () => {
    const { rig } = cached();
    expect(rig.verdict(0x0000000500010026n | (1n << 63n), 0n)).toBe(4);
    expect(rig.verdict(0x0000000501000019n | (1n << 9n), 0n)).toBe(4);
    expect(rig.verdict(0xbn, 0n)).toBe(3);
    rig.write64(0x90, BigInt(rig.queue) | 0x800n);
    expect(rig.verdict(5n, 0n)).toBe(5);
  });
});
