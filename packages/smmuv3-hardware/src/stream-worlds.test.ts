import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

const PAGE = 0x7f1234567;
const [READ, WRITE, EXEC, PRIVILEGED] = [1, 2, 4, 8];
/** STE.STRW = EL2, EATS = 1. */
const EL2 = 0x9000_0000n;

/** SID 0x42 in the stream world EL2 (E2H by CR2 bit 0) and SID 0x50 in NS-EL1, both with PASID 5, ASID 0x12, the same page. */
function rigged(e2h: boolean, or = 0n, leaf = 0xc43n) {
  const rig = new Rig({ hyp: true, btm: true }).enable(0);
  rig.write(0x2c, e2h ? 0x3 : 0x2);
  rig.write(0x20, 0x1f);
  const el2 = rig.cdTable(0x42, 6, EL2);
  const el1 = rig.cdTable(0x50, 6);
  const roots = [rig.cd(el2, 5, Rig.cd0(0x12, or)), rig.cd(el1, 5, Rig.cd0(0x12))];
  rig.map(roots[0], PAGE, 0x40200, leaf);
  rig.map(roots[1], PAGE, 0x40100, leaf);
  const both = () => [rig.translate(0x42, 5, PAGE), rig.translate(0x50, 5, PAGE)];
  expect(both()).toEqual([0x40200, 0x40100]);
  rig.map(roots[0], PAGE, 0x40201, leaf);
  rig.map(roots[1], PAGE, 0x40101, leaf);
  return { rig, both, el2, root: roots[0] };
}
const VA = BigInt(PAGE) << 12n;

describe('stream worlds (smmuv3.md 3.6, TLB-9)', () => {
  it.each<[string, bigint, bigint, boolean, readonly [boolean, boolean]]>([
    // dw0, dw1 (4.1, 4.2); with E2H; whether EL2's and EL1's lines go.
    ['TLBI_NH_VA', 0x0012000000000012n, VA, true, [false, true]],
    ['TLBI_NH_VAA', 0x13n, VA, true, [false, true]],
    ['TLBI_NH_ASID', 0x0012000000000011n, 0n, true, [false, true]],
    ['TLBI_NH_ALL', 0x10n, 0n, true, [false, true]],
    ['TLBI_NSNH_ALL', 0x30n, 0n, true, [false, true]],
    ['TLBI_EL2_VA', 0x0012000000000022n, VA, true, [true, false]],
    ['TLBI_EL2_VA of another ASID', 0x0013000000000022n, VA, true, [false, false]],
    ['TLBI_EL2_VAA', 0x23n, VA, true, [true, false]],
    ['TLBI_EL2_ASID', 0x0012000000000021n, 0n, true, [true, false]],
    ['TLBI_EL2_ALL', 0x20n, 0n, true, [true, false]],
    ['TLBI_EL2_VA, whatever its ASID, without E2H', 0x0013000000000022n, VA, false, [true, false]],
    ['TLBI_EL2_ASID, which finds no ASID without E2H', 0x0012000000000021n, 0n, false, [false, false]],
    ['TLBI_EL2_ALL without E2H', 0x20n, 0n, false, [true, false]],
    ['TLBI_NSNH_ALL without E2H', 0x30n, 0n, false, [false, true]],
  ])('%s reaches lines of its own exception level only', (_name, dw0, dw1, e2h, [el2, el1]) => {
    const { rig, both } = rigged(e2h);
    rig.command(dw0, dw1);
    expect(both()).toEqual([el2 ? 0x40201 : 0x40200, el1 ? 0x40101 : 0x40100]);
  });

  it('has no ASIDs in EL2 without E2H: another PASID hits the same line', () => {
    const { rig, el2 } = rigged(false);
    rig.cd(el2, 6, Rig.cd0(0x99), rig.frames(0));
    expect(rig.translate(0x42, 6, PAGE)).toBe(0x40200);
  });

  it('tells ASIDs apart in EL2-E2H, and global pages of the two levels', () => {
    const { rig, el2 } = rigged(true, 0n, 0x443n);
    rig.cd(el2, 6, Rig.cd0(0x99), rig.frames(0));
    // nG = 0: global, in this stream world only.
    expect(rig.translate(0x42, 6, PAGE)).toBe(0x40200);
    rig.command(0x13n, VA);
    expect(rig.translate(0x42, 6, PAGE)).toBe(0x40200);
    rig.command(0x0099000000000022n, VA);
    expect(rig.translate(0x42, 6, PAGE)).toBe('event 0x10');
  });

  it('ignores EPD0 in EL2 without E2H, and heeds it with E2H (2.4)', () => {
    const plain = rigged(false);
    plain.rig.cd(plain.el2, 7, Rig.cd0(0x12, 1n << 14n), plain.root);
    expect(plain.rig.translate(0x42, 7, PAGE + 1)).toBe('event 0x10');
    plain.rig.map(plain.root, PAGE + 1, 0x40300);
    expect(plain.rig.translate(0x42, 7, PAGE + 1)).toBe(0x40300);
    const e2h = rigged(true);
    e2h.rig.cd(e2h.el2, 7, Rig.cd0(0x12, 1n << 14n), e2h.root);
    e2h.rig.map(e2h.root, PAGE + 1, 0x40300);
    expect(e2h.rig.translate(0x42, 7, PAGE + 1)).toBe('event 0x10');
  });

  it('has one level of privilege and one range in EL2 without E2H (3.2)', () => {
    const { rig, root } = rigged(false, 1n << 40n); // PAN means nothing
    rig.map(root, PAGE + 1, 0x40300, 0xc03n | (1n << 53n)); // AP[1] = 0, PXN
    rig.map(root, PAGE + 2, 0x40300, 0xc83n | (1n << 54n)); // AP[2] = 1, XN
    const rights = (page: number, mode: number) =>
      [READ, WRITE, EXEC].filter((want) => rig.translate(0x42, 5, page, want | mode) === 0x40300);
    for (const mode of [0, PRIVILEGED]) {
      expect(rights(PAGE + 1, mode)).toEqual([READ, WRITE, EXEC]);
      expect(rights(PAGE + 2, mode)).toEqual([READ]);
    }
    expect(rig.translate(0x42, 5, 2 ** 52 - 1)).toBe('event 0x10');
  });

  it('finds an odd STRW illegal, and ignores STRW where there is no EL2 (2.2)', () => {
    for (const [strw, hyp, answer] of [
      [1n, true, 'event 0x4'],
      [3n, true, 'event 0x4'],
      [1n, false, 0x40100],
      [2n, false, 0x40100],
    ] as const) {
      const rig = new Rig({ hyp }).enable();
      const table = rig.cdTable(0x42, 6, 0x1000_0000n | (strw << 30n));
      rig.map(rig.cd(table, 5, Rig.cd0(0x12)), PAGE, 0x40100);
      expect(rig.translate(0x42, 5, PAGE)).toBe(answer);
      // Without EL2 the world is NS-EL1.
      if (answer === 0x40100) {
        rig.command(0x0012000000000011n, 0n);
        expect(rig.smmu.iotlb.tags.every((tag) => tag === -1)).toBe(true);
      }
    }
  });
});

describe('STE.PRIVCFG and INSTCFG (smmuv3.md 2.2, 5.2)', () => {
  /** A page that only privileged code reads, and one that nobody executes. */
  function overriding(privcfg: bigint, instcfg: bigint, capabilities = { permsOverride: true }) {
    const rig = new Rig(capabilities).enable();
    const table = rig.cdTable(0x42, 6, 0x1000_0000n | (privcfg << 48n) | (instcfg << 50n));
    const root = rig.cd(table, 5, Rig.cd0(0x12));
    rig.map(root, PAGE, 0x40100, 0xc03n);
    rig.map(root, PAGE + 1, 0x40101, 0xc43n | (3n << 53n));
    return rig;
  }

  it.each([
    [0n, 0n, 'event 0x13', 0x40100],
    [1n, 0n, 'event 0x13', 0x40100],
    [2n, 0n, 'event 0x13', 'event 0x13'],
    [3n, 0n, 0x40100, 0x40100],
  ])('PRIVCFG = %d: unprivileged and privileged reads', (privcfg, instcfg, user, privileged) => {
    const rig = overriding(privcfg, instcfg);
    expect([rig.translate(0x42, 5, PAGE, READ), rig.translate(0x42, 5, PAGE, READ | PRIVILEGED)]).toEqual([
      user,
      privileged,
    ]);
    const without = overriding(privcfg, instcfg, { permsOverride: false });
    expect(without.translate(0x42, 5, PAGE, READ)).toBe('event 0x13');
  });

  it.each([
    [0n, 0x40101, 'event 0x13', 0x40101],
    [2n, 0x40101, 0x40101, 0x40101],
    [3n, 'event 0x13', 'event 0x13', 0x40101],
  ])('INSTCFG = %d: reads, instruction fetches and writes', (instcfg, read, fetch, write) => {
    const rig = overriding(0n, instcfg);
    expect([READ, EXEC, WRITE].map((want) => rig.translate(0x42, 5, PAGE + 1, want))).toEqual([read, fetch, write]);
  });

  it('records PnU and InD as overridden (5.2)', () => {
    const rig = overriding(3n, 3n);
    const link = rig.link(0x42);
    rig.deliver(link, { kind: 'read', at: 0, tag: 1, pasid: 5, page: PAGE + 1, offset: 0, bytes: 4, witness: 0 });
    // dw1: CLASS = IN (bit 41), RnW 35, InD 34, PnU 33.
    expect(rig.events().map(([, dw1]) => dw1)).toEqual(['0x0000020e00000000']);
  });

  it('counts for the next request of the stream too when another one failed in between', () => {
    const rig = overriding(3n, 0n);
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
    expect(rig.translate(0x42, -1, PAGE)).toBe('event 0x6');
    expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
  });
});
