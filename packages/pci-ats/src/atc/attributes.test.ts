import { describe, expect, it } from 'vitest';
import { FakeDevice, finish } from '../../test/bench-top.js';

/** Bits of a translation completion's attributes (pcie-ats.md 2.4). */
const U = 0x004;
const GLOBAL = 0x020;
const N = 0x400;

/** A device whose page 1 has these rights and attributes, after it asked for it. */
function cached(want: number, perm: number, attributes = 0, priv = false): FakeDevice {
  const device = new FakeDevice();
  device.agent.pages.set(1, { perm, order: 0, attributes });
  finish(device, function* () {
    yield* device.enable();
    yield* device.atc.translate(5, 1, want, priv);
  });
  return device;
}

describe('attributes of translations (pcie-ats.md 2.4)', () => {
  it.each([
    ['nothing', 0, false, false],
    ['U', U, true, false],
    ['N', N, false, true],
    ['U and N', U | N, true, true],
  ])('are kept with the line: %s (ATC-4)', (_what, attributes, untranslated, nonSnooped) => {
    const { atc } = cached(1, 3, attributes);
    const line = atc.lookup(5, 1);
    expect([atc.untranslatedOnly(line), atc.nonSnooped(line)]).toEqual([untranslated, nonSnooped]);
  });

  it('give Exe to who asked for it, and to nobody else', () => {
    const asked = cached(5, 5);
    expect(asked.atc.rights(asked.atc.lookup(5, 1))).toBe(5);
    const other = cached(1, 5);
    expect(other.atc.rights(other.atc.lookup(5, 1))).toBe(1);
  });

  it('hold for the privilege mode of the request alone (ATC-2)', () => {
    const device = cached(1, 1 | 8, 0, true);
    expect(device.agent.seen[0]).toMatchObject({ priv: true });
    expect(device.atc.lookup(5, 1, true)).toBeGreaterThanOrEqual(0);
    expect(device.atc.lookup(5, 1, false)).toBe(-1);
    expect(device.atc.rights(device.atc.lookup(5, 1, true))).toBe(1);
  });

  it('make a Global line good for every PASID of its mode, until an untagged invalidation (ATC-2, ATC-6)', () => {
    const { atc } = cached(1, 1, GLOBAL);
    expect([atc.lookup(5, 1), atc.lookup(6, 1)]).toEqual([0, 0]);
    expect([atc.lookup(-1, 1), atc.lookup(6, 1, true)]).toEqual([-1, -1]);
    atc.dropRange(5, 0, 100);
    expect(atc.lookup(6, 1)).toBe(0);
    atc.dropRange(-1, 0, 100);
    expect([atc.lookup(5, 1), atc.state.globals]).toEqual([-1, 0]);
  });

  it('of each of several translations are its own (ATC-5)', () => {
    const device = new FakeDevice();
    device.agent.pages.set(1, { perm: 1, order: 0 });
    device.agent.pages.set(2, { perm: 3, order: 0, attributes: U });
    device.agent.pages.set(4, { perm: 3, order: 0, attributes: N });
    finish(device, function* () {
      yield* device.enable();
      expect(yield* device.atc.translate(5, 1, 1, false, 4)).toBe('cached');
    });
    const { atc } = device;
    expect(device.agent.seen).toMatchObject([{ page: 1, count: 4 }]);
    expect([1, 2, 3, 4].map((page) => atc.lookup(5, page) >= 0)).toEqual([true, true, false, true]);
    expect([1, 2, 4].map((page) => atc.rights(atc.lookup(5, page)))).toEqual([1, 3, 3]);
    expect([atc.untranslatedOnly(atc.lookup(5, 2)), atc.nonSnooped(atc.lookup(5, 4))]).toEqual([true, true]);
  });

  it.each([
    [0, 1],
    [1, 1],
    [512, 512],
    [513, 512],
  ])('are asked for %i at a time as %i: a completion has 1024 dwords at most (2.3)', (count, asked) => {
    const device = new FakeDevice({}, 8);
    finish(device, function* () {
      yield* device.enable();
      yield* device.atc.translate(5, 0, 1, false, count);
    });
    expect(device.agent.seen).toMatchObject([{ count: asked }]);
  });

  it('of a request for several are not used when an invalidation hits any of its pages (ATC-7)', () => {
    const device = new FakeDevice();
    for (const page of [1, 2, 3, 4]) device.agent.pages.set(page, { perm: 1, order: 0 });
    device.agent.answers = false;
    let outcome = '';
    finish(device, function* () {
      yield* device.enable();
      device.kernel.spawn('asker', function* () {
        outcome = yield* device.atc.translate(5, 1, 1, false, 4);
      });
      yield* device.kernel.clock.sleep(1);
      yield* device.link.down({ kind: 'invalidate-request', itag: 0, pasid: 5, lo: 0x4000, hi: 0 });
      yield* device.kernel.clock.sleep(1);
      yield* device.agent.answer(device.agent.seen[0] as never);
    });
    expect([outcome, device.atc.lookup(5, 1)]).toEqual(['again', -1]);
  });
});
