import type { Setting } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { hex, Rig, SID } from '../test/rig.js';

const PAGE = 0x7f0000001;
const ECS = 2;

/** Where the rig's extended structures lie. */
interface Extended {
  readonly rig: Rig;
  readonly context: number;
  readonly second: number;
  readonly pasids: number;
  readonly states: number;
}

/**
 * The extended-context mode (2.3 to 2.6): requester 0x100, DID 1, a second stage of 4 levels, PASIDs 0 to 511. `qw0` 0xa05: P, TT 1,
 * PRE, PASIDE.
 */
function extended(has: Record<string, Setting> = {}, qw0 = 0xa05n, qw1 = 0x102n): Extended {
  const rig = new Rig({ ecs: true, dis: true, smts: false, ...has });
  const [second, pasids, states] = [rig.frames(0), rig.frames(0), rig.frames(0)];
  const context = rig.contextAt(SID);
  rig.store(context, BigInt(second) | qw0, qw1, BigInt(pasids) | 4n, BigInt(states));
  rig.enable(ECS);
  return { rig, context, second, pasids, states };
}

/** A first stage of a PASID. `or`: SRE 0x800, FLPM 0x200. */
function bind({ rig, pasids }: Extended, pasid: number, or = 0n): number {
  const root = rig.frames(0);
  rig.store(pasids + pasid * 8, BigInt(root) | 1n | or);
  return root;
}

describe('the extended-context mode', () => {
  it('translates requests with PASID by the PASID table, and those without by the second stage (2.4, 2.5)', () => {
    const e = extended();
    const root = bind(e, 5);
    e.rig.map(root, PAGE, 0x40100);
    e.rig.mapSecond(e.second, PAGE, 0x40200);
    expect([e.rig.translate(SID, 5, PAGE), e.rig.translate(SID, -1, PAGE)]).toEqual([0x40100, 0x40200]);
    // PASID 0 is one like any other (VTD-40).
    e.rig.map(bind(e, 0), PAGE, 0x40300);
    expect(e.rig.translate(SID, 0, PAGE)).toBe(0x40300);
  });

  it('has numbers of its own era for what is wrong with context and second stage, those of scalable mode for the rest (D-12)', () => {
    const e = extended();
    bind(e, 5);
    expect([
      e.rig.translate(SID, -1, PAGE),
      e.rig.translate(SID, -1, PAGE, 2),
      e.rig.translate(SID, 5, PAGE),
      e.rig.translate(SID, 6, PAGE),
      e.rig.translate(SID, 512, PAGE),
      e.rig.translate(SID, 5, PAGE, 9),
      e.rig.translate(0x101, 5, PAGE),
      e.rig.translate(0x201, 5, PAGE),
    ]).toEqual(['6', '5', '71', '59', '46', '5d', '2', '1'].map((reason) => `fault 0x${reason}`));
  });

  it.each([
    ['TT=3', 0xa0dn, 0x102n, {}, '3'],
    ['TT=5 without PASIDE', 0x215n, 0x102n, {}, '3'],
    ['TT=1 without DT', 0xa05n, 0x102n, { dt: false }, '3'],
    ['TT=5 without PT', 0xa15n, 0x102n, { pt: false }, '3'],
    ['AW=1 without it', 0xa05n, 0x101n, { sagaw: 4 }, '3'],
    ['NESTE', 0xe05n, 0x102n, {}, 'b'],
    ['DINVE without DIS', 0xb05n, 0x102n, { dis: false }, 'b'],
    ['reserved bits of the second word', 0xa05n, 0x1000_0102n, {}, 'b'],
    ['PASIDE=0', 0x205n, 0x102n, {}, '45'],
    ['TT=2, which ignores PASIDE (2.4)', 0xa09n, 0x102n, {}, '45'],
  ])('refuses requests with PASID: %s', (_name, qw0, qw1, has, reason) => {
    const e = extended(has, qw0, qw1);
    bind(e, 5);
    expect(e.rig.translate(SID, 5, PAGE)).toBe(`fault 0x${reason}`);
  });

  it.each([
    ['reserved bits', 6n, '5a'],
    ['SRE without SRS', 0x800n, '5a'],
    ['5 levels without FL5LP', 0x200n, '5b'],
  ])('refuses a PASID entry: %s', (_name, or, reason) => {
    const e = extended({ srs: false });
    bind(e, 5, or);
    expect(e.rig.translate(SID, 5, PAGE)).toBe(`fault 0x${reason}`);
  });

  it('passes requests without PASID through with TT 4 and 5, and translates those with one', () => {
    for (const qw0 of [0xa11n, 0xa15n]) {
      const e = extended({}, qw0);
      e.rig.map(bind(e, 5), PAGE, 0x40100);
      expect([e.rig.translate(SID, -1, 0x12345, 3), e.rig.translate(SID, 5, PAGE)]).toEqual([0x12345, 0x40100]);
    }
  });

  it('takes WPE and EAFE from the context entry, and always may set flags', () => {
    const e = extended({}, 0xa05n, 0x0200_0122n);
    const root = bind(e, 5, 0x800n);
    e.rig.map(root, PAGE, 0x40100, 5n);
    expect([e.rig.translate(SID, 5, PAGE, 10), e.rig.translate(SID, 5, PAGE, 9)]).toEqual(['fault 0x85', 0x40100]);
    const top = root + (Math.floor(PAGE / 2 ** 27) % 512) * 8;
    expect(e.rig.load(top) & 0xfffn).toBe(0x427n);
  });

  it('suppresses by the FPD of the context entry', () => {
    const e = extended({}, 0xa07n);
    expect([e.rig.translate(SID, 5, PAGE), e.rig.vtd.translator.suppressed]).toEqual(['fault 0x59', true]);
  });

  it('keeps a PASID entry until the PASID cache is invalidated (VTD-46), and global pages apart with PGE (VTD-47)', () => {
    const e = extended({}, 0xa05n, 0x10an);
    const root = bind(e, 5);
    e.rig.map(root, PAGE, 0x40100, 0x107n);
    e.rig.map(root, PAGE + 1, 0x40101);
    e.rig.translate(SID, 5, PAGE);
    e.rig.translate(SID, 5, PAGE + 1);
    e.rig.map(root, PAGE, 0x40200, 0x107n);
    e.rig.map(root, PAGE + 1, 0x40201);
    // Type 6 G=2: the PASID's pages that are not global.
    e.rig.invalidate([0x0000000500010026n]);
    expect([e.rig.translate(SID, 5, PAGE), e.rig.translate(SID, 5, PAGE + 1)]).toEqual([0x40100, 0x40201]);
    // G=0: all of the domain.
    e.rig.invalidate([0x0000000000010006n]);
    expect(e.rig.translate(SID, 5, PAGE)).toBe(0x40200);
    e.rig.store(e.pasids + 40, 0n);
    expect(e.rig.translate(SID, 5, PAGE)).toBe(0x40200);
    e.rig.invalidate([0x0000000500010017n]);
    expect(e.rig.translate(SID, 5, PAGE)).toBe('fault 0x59');
  });

  it.each(['atomic', 'stepwise'])(
    'invalidates what was deferred before the PASID is used again, and says so by DINV=0 (VTD-48, %s)',
    (gait) => {
      const e = extended({ gait }, 0xb05n);
      const { rig, states } = e;
      const root = bind(e, 5);
      const link = rig.link();
      rig.map(root, PAGE, 0x40100);
      const bytes = (): number => {
        link.sent.length = 0;
        rig.deliver(link, { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE, offset: 0, bytes: 1, witness: 0 });
        const [answer] = link.sent;
        return answer.kind === 'completion' ? answer.data[0] : -1;
      };
      rig.store(0x4010_0000, 1n);
      rig.store(0x4020_0000, 2n);
      expect(bytes()).toBe(1);
      rig.map(root, PAGE, 0x40200);
      expect(bytes()).toBe(1);
      rig.store(states + 40, 1n << 63n);
      expect(bytes()).toBe(2);
      expect(hex(rig.load(states + 40))).toBe('0x0000000000000000');
    },
  );

  it('does not know the type without ECS', () => {
    const rig = new Rig().enable(ECS);
    expect(rig.translate(SID, 5, PAGE)).toBe('fault 0x30');
  });
});
