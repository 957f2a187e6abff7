import { describe, expect, it } from 'vitest';
import { Rig, type TestLink } from '../test/rig.js';

const DEV_TLB = [0x0000010000000003n, 0x7ffffffffffff001n];

/** A unit whose device completes when the test says so: its clock stands still. */
function rigged(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  rig.frozen = true;
  return { rig, link: rig.link() };
}
const complete = (rig: Rig, link: TestLink, itags: number, count = 1) =>
  rig.deliver(link, { kind: 'invalidate-completion', itags, count });

describe('Waits (vtd.md 3.5)', () => {
  it('writes the status data of the golden vector: 2 to 0x1000', () => {
    const rig = new Rig().enable();
    rig.bus.claim(0x1000, 0x1000, { read: () => undefined, write: () => undefined });
    rig.invalidate([0x0000000200000025n, BigInt(rig.status)]);
    expect([rig.statusOf(0), rig.head, rig.read(0x9c)]).toEqual([2, 32, 0]);
    // Where no memory is, the status is lost, and nothing stops.
    rig.invalidate([0x0000000200000025n, 0x1000n], rig.wait(1));
    expect([rig.statusOf(1), rig.iqei]).toEqual([2, -1]);
  });

  it('writes 32 bits and leaves their neighbours', () => {
    const rig = new Rig().enable();
    rig.store(rig.status, 0xaaaaaaaa_bbbbbbbbn);
    rig.invalidate(rig.wait(1, 0x12345678));
    expect(rig.load(rig.status)).toBe(0x12345678_bbbbbbbbn);
  });

  it('raises the completion event with IF=1, once until ICS.IWC is cleared', () => {
    const rig = new Rig().enable();
    rig.invalidate([0x15n]);
    expect([rig.read(0x9c), rig.interrupts]).toEqual([1, ['invalidation']]);
    rig.invalidate([0x15n], [0x35n, BigInt(rig.status)]);
    expect(rig.interrupts).toEqual(['invalidation']);
    rig.write(0x9c, 1);
    rig.invalidate([0x15n]);
    expect(rig.interrupts).toEqual(['invalidation', 'invalidation']);
  });

  it('waits for device-TLB invalidations before it, and lets the queue go on', () => {
    const { rig, link } = rigged();
    rig.invalidate(rig.wait(0), DEV_TLB, rig.wait(1), [0x31n], rig.wait(2));
    // Later descriptors are consumed, and no later wait overtakes.
    expect([rig.head, rig.statusOf(0), rig.statusOf(1), rig.statusOf(2)]).toEqual([160, 2, 0, 0]);
    complete(rig, link, 1);
    expect([rig.statusOf(1), rig.statusOf(2)]).toEqual([2, 2]);
  });

  it('fetches nothing behind a fence before it has completed: the golden vector with FN, and without SW', () => {
    const { rig, link } = rigged();
    rig.invalidate(DEV_TLB, [0x0000000200000045n, 0n], [0x31n], rig.wait(0));
    expect([rig.head, rig.statusOf(0)]).toEqual([64, 0]);
    complete(rig, link, 1);
    expect([rig.head, rig.statusOf(0)]).toEqual([128, 2]);
  });

  it('does not wait for device-TLB invalidations that come later', () => {
    const { rig } = rigged();
    rig.invalidate(rig.wait(0), DEV_TLB);
    expect(rig.statusOf(0)).toBe(2);
    rig.invalidate(rig.wait(1));
    expect(rig.statusOf(1)).toBe(0);
  });

  it('drains page requests with PD: those received before it are in the queue, or answered (VTD-28)', () => {
    const { rig, link } = rigged();
    rig.context();
    const { vtd } = rig;
    // A request was received, and is not through.
    const ticket = vtd.pageRequests.begin();
    rig.invalidate(rig.wait(0), rig.wait(1, 2, 0xa0n), [0x31n]);
    expect([rig.statusOf(0), rig.statusOf(1), rig.head]).toEqual([2, 0, 96]);
    // One that comes after the wait does not keep it.
    vtd.pageRequests.begin();
    vtd.pageRequests.end(ticket);
    rig.settle();
    expect(rig.statusOf(1)).toBe(2);
    rig.deliver(link, { kind: 'page-request', pasid: 5, prgi: 1, page: 7, perm: 1, last: true });
    expect(rig.read(0xc8)).toBe(0x20);
  });
});
