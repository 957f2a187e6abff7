import { describe, expect, it } from 'vitest';
import { interrupting } from '../test/interrupting.js';
import { Rig } from '../test/rig.js';
import { type SmmuV3Parts, type TableWalk, Walker } from './index.js';

const PAGE = 0x7f1234567;
const [READ, WRITE, PRIVILEGED] = [1, 2, 8];
const HA = 1n << 43n;
const HD = 1n << 42n;
const DBM = 1n << 51n;
/** Low bits of a page: valid, user, nG; AF; AP[2]. */
const YOUNG = 0x843n;
const OLD = 0xc43n;
const RO = 0x80n;
const FRAME = 0x40100n << 12n;

/** SID 0x42, PASID 5, one page with `leaf`; `or` is added to CD dw0. */
function rigged(leaf: bigint, or: bigint, gait = 'atomic', parts: Partial<SmmuV3Parts> = {}) {
  const rig = new Rig({ httu: 'dirty', gait }, {}, parts).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12, or));
  rig.map(root, PAGE, 0x40100, leaf);
  let at = root;
  for (const shift of [27, 18, 9])
    at = Number(rig.load(at + (Math.floor(PAGE / 2 ** shift) % 512) * 8) & 0xffff_ffff_f000n);
  const slot = at + (PAGE % 512) * 8;
  const ask = (want: number) => rig.translate(0x42, 5, PAGE, want);
  const ats = (over: object) => {
    const link = rig.link(0x42);
    const base = { kind: 'translation-request', tag: 9, pasid: 5, page: PAGE, count: 1, exec: false, priv: false };
    rig.deliver(link, { ...base, noWrite: false, ...over } as never);
    const [tlp] = link.sent;
    return tlp?.kind === 'translation-completion' ? tlp.entries[0] & 0xfff : -1;
  };
  return { rig, ask, ats, slot, leaf: () => rig.load(slot) };
}

describe('hardware update of flags (smmuv3.md 3.5)', () => {
  it.each<[string, bigint, bigint, number, number | string, bigint]>([
    ['sets AF where a request would fault', YOUNG, HA, READ, 0x40100, OLD],
    ['faults without HA', YOUNG, 0n, READ, 'event 0x12', YOUNG],
    ['takes HD without HA for off', YOUNG | RO | DBM, HD, WRITE, 'event 0x12', YOUNG | RO | DBM],
    ['sets neither flag where AF does not fault (AFFD)', YOUNG, HA | (1n << 35n), READ, 0x40100, YOUNG],
    ['makes a clean page dirty for a write', OLD | RO | DBM, HA | HD, WRITE, 0x40100, OLD | DBM],
    ['sets both flags in one step', YOUNG | RO | DBM, HA | HD, WRITE, 0x40100, OLD | DBM],
    ['leaves a clean page clean for a read', OLD | RO | DBM, HA | HD, READ, 0x40100, OLD | RO | DBM],
    ['refuses to write a read-only page', OLD | RO, HA | HD, WRITE, 'event 0x13', OLD | RO],
    ['does not manage dirty state without HD', OLD | RO | DBM, HA, WRITE, 'event 0x13', OLD | RO | DBM],
    [
      'sets nothing for who has no rights',
      (YOUNG | RO | DBM) & ~0x40n,
      HA | HD,
      WRITE,
      'event 0x13',
      (YOUNG | RO | DBM) & ~0x40n,
    ],
    [
      'manages privileged writes too',
      (OLD | RO | DBM) & ~0x40n,
      HA | HD,
      WRITE | PRIVILEGED,
      0x40100,
      (OLD | DBM) & ~0x40n,
    ],
  ])('%s', (_name, leaf, or, want, answer, after) => {
    for (const gait of ['atomic', 'stepwise']) {
      const t = rigged(leaf, or, gait);
      expect([gait, t.ask(want), t.leaf()]).toEqual([gait, answer, FRAME | after]);
    }
  });

  it('looks into memory again before a write through the line of a clean page (3.4)', () => {
    const { rig, ask, slot, leaf } = rigged(OLD | RO | DBM, HA | HD);
    expect(ask(READ)).toBe(0x40100);
    expect(ask(WRITE)).toBe(0x40100);
    expect(leaf()).toBe(FRAME | OLD | DBM);
    // Software cleaned it and invalidated; then it took the right to write away, which the clean line does not know.
    rig.store(slot, FRAME | OLD | RO | DBM);
    rig.command(0x0012000000000012n, BigInt(PAGE) << 12n);
    expect(ask(READ)).toBe(0x40100);
    rig.store(slot, FRAME | OLD | RO);
    expect(ask(WRITE)).toBe('event 0x13');
    expect(leaf()).toBe(FRAME | OLD | RO);
  });

  it('does not let any right depend on the dirty state: with WXN a clean page is not executable', () => {
    const { ask } = rigged(OLD | RO | DBM, HA | HD | (1n << 36n));
    expect(ask(4)).toBe('event 0x13');
  });

  it('sets AF for ATS when a translation is granted, and the dirty state only with NW=0 (3.5, pcie-ats.md 2.4)', () => {
    for (const gait of ['atomic', 'stepwise']) {
      const clean = rigged(YOUNG | RO | DBM, HA | HD, gait);
      expect([clean.ats({ noWrite: true }), clean.leaf()]).toEqual([1, FRAME | OLD | RO | DBM]);
      expect([clean.ats({ noWrite: false }), clean.leaf()]).toEqual([3, FRAME | OLD | DBM]);
      expect(clean.ats({ noWrite: true })).toBe(3);
      const fixed = rigged(YOUNG | RO, HA | HD, gait);
      expect([fixed.ats({}), fixed.leaf()]).toEqual([1, FRAME | OLD | RO]);
      const denied = rigged(YOUNG & ~0x40n, HA | HD, gait);
      expect([denied.ats({}), denied.leaf()]).toEqual([0, FRAME | (YOUNG & ~0x40n)]);
    }
  });

  it('sets no flag for a hint', () => {
    const { rig, leaf } = rigged(YOUNG, HA);
    rig.smmu.translator.prefetch(0x42, 5, PAGE);
    expect(leaf()).toBe(FRAME | YOUNG);
  });

  /** The mutant of PF-10: fetch and store are two steps. */
  class StoresBlindly extends Walker {
    override update(walk: TableWalk): number {
      this.smmu.memory.store64(walk.address, walk.lo >>> 0, walk.hi >>> 0);
      return super.update(walk);
    }
  }

  /** What is in the table when software removed the mapping between a device's fetch and its update of the flags. */
  function removedBetween(parts: Partial<SmmuV3Parts>): bigint {
    const { rig, leaf, slot } = rigged(YOUNG | RO | DBM, HA | HD, 'stepwise', parts);
    const link = rig.link(0x42);
    rig.kernel.spawn('lane', function* () {
      const data = Uint8Array.of(1);
      yield* rig.smmu.receive(link, { kind: 'write', at: 0, pasid: 5, page: PAGE, offset: 0, data, witness: 0 });
    });
    rig.kernel.spawn('reclaim', function* () {
      yield* rig.kernel.point(slot / 8, true);
      rig.store(slot, 0n);
    });
    // The second time that the lane is at the leaf it is about to update it.
    rig.kernel.begin(interrupting('lane', slot / 8, 2, 'reclaim'));
    expect(rig.kernel.run().end).toBe('finished');
    return leaf();
  }

  it('sets flags by one compare-and-swap: a mapping that is gone does not come back (PF-10)', () => {
    expect(removedBetween({})).toBe(0n);
    expect(removedBetween({ Walker: StoresBlindly })).not.toBe(0n);
  });
});
