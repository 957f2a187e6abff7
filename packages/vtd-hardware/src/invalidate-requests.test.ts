import type { Upstream } from '@iommukit/pci-ats';
import { describe, expect, it } from 'vitest';
import { Rig, SID, type TestLink } from '../test/rig.js';

const EVERYTHING = [0x0000010000000003n, 0x7ffffffffffff001n];
const done = (itags: number, count = 1): Upstream => ({ kind: 'invalidate-completion', itags, count });
/** What the device was sent: `[itag, pasid, body]`. */
const sent = (link: TestLink) =>
  link.sent.splice(0).map((tlp) => {
    if (tlp.kind !== 'invalidate-request') throw new Error(`a ${tlp.kind}`);
    return [tlp.itag, tlp.pasid, `0x${((BigInt(tlp.hi) << 32n) | BigInt(tlp.lo)).toString(16)}`];
  });

/** A unit whose clock stands still until the test lets it go. */
function rigged(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  rig.frozen = true;
  return { rig, link: rig.link() };
}

describe('DeviceTlbInvalidations', () => {
  it('sends what the golden vectors say', () => {
    const { rig, link } = rigged();
    rig.invalidate(
      EVERYTHING,
      [0x0000010000000003n, 0x000000012345f001n],
      [0x0000010000000003n, 0x0000000000005000n],
      [0x0000000501000008n, 0x7ffffffffffff800n],
      [0x0000000501000008n, 0x000000012345f800n],
      // G: all PASIDs of the function.
      [0x0000000501000008n, 0x7ffffffffffff801n],
    );
    expect(sent(link)).toEqual([
      [0, -1, '0x7ffffffffffff800'],
      [1, -1, '0x12345f800'],
      [2, -1, '0x5000'],
      [3, 5, '0x7ffffffffffff800'],
      [4, 5, '0x12345f800'],
      [5, 5, '0x7ffffffffffff801'],
    ]);
  });

  it('uses the 32 ITags of a device and then waits for one, while other devices have their own', () => {
    const { rig, link } = rigged();
    const other = rig.link(0x0108);
    rig.invalidate([0x0000010800000003n, 0x1000n], ...Array<bigint[]>(33).fill(EVERYTHING), rig.wait(0));
    expect([sent(link).map(([itag]) => itag), sent(other).length]).toEqual([
      Array.from({ length: 32 }, (_, n) => n),
      1,
    ]);
    expect(rig.head).toBe(33 * 32);
    rig.deliver(link, done(1 << 7));
    expect([sent(link)[0][0], rig.head]).toEqual([7, 35 * 32]);
  });

  it('keeps no more under way than MIP says, 0 being 32', () => {
    const { rig, link } = rigged();
    const two = [0x0000010000020003n, 0x7ffffffffffff001n];
    rig.invalidate(two, two, two);
    expect([sent(link).length, rig.head]).toEqual([2, 64]);
    rig.deliver(link, done(1));
    expect([sent(link).length, rig.head]).toEqual([1, 96]);
    // In type 8 MIP stands elsewhere.
    const one = [0x0000000501000018n, 0x7ffffffffffff800n];
    const { rig: rig8, link: link8 } = rigged();
    rig8.invalidate(one, one);
    expect(sent(link8).length).toBe(1);
  });

  it('counts what functions of one PFSID have under way together (ECAP.DIT)', () => {
    const { rig, link } = rigged({ dit: true });
    const other = rig.link(0x0108);
    const qw1 = 0x7ffffffffffff001n;
    // PFSID 0x0100: low bits at 12, high bits at 52; MIP 1.
    rig.invalidate([0x0100010000010003n, qw1], [0x0100010800010003n, qw1]);
    expect([sent(link).length, sent(other).length]).toEqual([1, 0]);
    rig.deliver(link, done(1));
    expect(sent(other).length).toBe(1);
  });
});

describe('InvalidateRequests', () => {
  it('waits for as many completions as the first one announces, 0 being 8; one may answer several ITags', () => {
    const { rig, link } = rigged();
    rig.invalidate(EVERYTHING, EVERYTHING, rig.wait(0), EVERYTHING, rig.wait(1));
    rig.deliver(link, done(3, 2));
    expect(rig.statusOf(0)).toBe(0);
    rig.deliver(link, done(3, 2));
    expect([rig.statusOf(0), rig.statusOf(1)]).toEqual([2, 0]);
    for (let n = 0; n < 7; n++) rig.deliver(link, done(4, 0));
    expect(rig.statusOf(1)).toBe(0);
    rig.deliver(link, done(4, 0));
    expect([rig.statusOf(1), rig.fsts]).toEqual([2, 0]);
  });

  it.each([
    ['an ITag that is not in use', [done(2)]],
    ['no ITag', [done(0)]],
    ['another count than the one before', [done(1, 3), done(1, 2)]],
  ])('reports ICE with the requester for a completion with %s, and stops nothing (1.8, 3.13)', (_name, completions) => {
    const { rig, link } = rigged();
    rig.invalidate(EVERYTHING);
    rig.deliver(link, ...completions);
    expect([rig.fsts & 0x70, rig.read(0xb4) >>> 16, rig.interrupts]).toEqual([0x20, SID, ['fault']]);
    rig.invalidate(rig.wait(0));
    // What is under way still is, and completes.
    rig.deliver(link, done(1, 3), done(1, 3), done(1, 3));
    expect(rig.statusOf(0)).toBe(2);
    rig.write(0x34, 0x20);
    expect(rig.fsts).toBe(0);
  });

  it('keeps ICESID of the first bad completion until ICE is cleared', () => {
    const { rig, link } = rigged();
    const other = rig.link(0x0108);
    rig.deliver(link, done(1));
    rig.deliver(other, done(1));
    expect(rig.read(0xb4) >>> 16).toBe(SID);
    rig.write(0x34, 0x20);
    rig.deliver(other, done(1));
    expect(rig.read(0xb4) >>> 16).toBe(0x0108);
  });

  it('reports ITE with the requester after the time-out, aborts the waits that were fetched and stops (L51)', () => {
    const { rig, link } = rigged();
    rig.invalidate(EVERYTHING, rig.wait(0), rig.wait(1), [0x45n], rig.wait(2));
    expect(rig.head).toBe(128);
    rig.frozen = false;
    rig.settle();
    expect([rig.fsts & 0x70, rig.read(0xb4) & 0xffff, rig.interrupts]).toEqual([0x40, SID, ['fault']]);
    expect([rig.statusOf(0), rig.statusOf(1), rig.statusOf(2), rig.head]).toEqual([0, 0, 0, 128]);
    // Nothing is fetched while ITE is set.
    rig.invalidate(rig.wait(3));
    expect([rig.head, rig.statusOf(3)]).toEqual([128, 0]);
    rig.write(0x34, 0x40);
    rig.settle();
    // The waits that were not fetched complete; those that were never do.
    expect([rig.statusOf(0), rig.statusOf(1), rig.statusOf(2), rig.statusOf(3), rig.head]).toEqual([0, 0, 2, 2, 192]);
    expect(link.sent.length).toBe(1);
  });

  it('takes a device that is gone for one that does not answer (L51)', () => {
    const rig = new Rig().enable();
    rig.invalidate([0x0000055500000003n, 0x7ffffffffffff001n], rig.wait(0));
    expect([rig.fsts & 0x70, rig.read(0xb4) & 0xffff, rig.statusOf(0)]).toEqual([0x40, 0x555, 0]);
  });

  it('keeps what other devices have under way, and what later waits wait for, over a time-out', () => {
    const { rig } = rigged({ devTlbTimeoutNs: 1000 });
    const other = rig.link(0x0108);
    rig.invalidate(EVERYTHING);
    rig.kernel.clock.after(500, () => rig.post([0x0000010800000003n, 0x1000n]));
    rig.frozen = false;
    // The first time-out comes at 1000, the second would at 1500.
    rig.kernel.clock.after(1200, () => {
      rig.frozen = true;
    });
    rig.kernel.clock.after(1201, () => undefined);
    rig.settle();
    expect([rig.fsts & 0x70, sent(other).length]).toEqual([0x40, 1]);
    rig.write(0x34, 0x40);
    rig.invalidate(rig.wait(0));
    expect(rig.statusOf(0)).toBe(0);
    rig.deliver(other, done(1));
    expect(rig.statusOf(0)).toBe(2);
  });

  it('completes in time, and the timer is taken back', () => {
    const { rig, link } = rigged();
    rig.invalidate(EVERYTHING, rig.wait(0));
    rig.deliver(link, done(1));
    rig.frozen = false;
    rig.settle();
    expect([rig.fsts, rig.statusOf(0)]).toEqual([0, 2]);
  });
});
