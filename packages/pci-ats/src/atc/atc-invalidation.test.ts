import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { cached, invalidate } from '../../test/atc-steps.js';
import { FakeDevice, finish } from '../../test/bench-top.js';
import type { Upstream } from '../index.js';
import { Atc } from './atc.js';

const COMPLETED: Upstream = { kind: 'invalidate-completion', itags: 8, count: 1 };

describe('what an invalidation removes (ATC-6)', () => {
  it('removes a 4 KiB entry inside a 64 KiB range, and completes it', () => {
    const device = new FakeDevice();
    cached(device, [[5, 0x17, 0]]);
    finish(device, () => invalidate(device, 5, 0x10, 4));
    expect(device.atc.lookup(5, 0x17)).toBe(-1);
    expect(device.agent.seen).toEqual([COMPLETED]);
  });

  it('removes a 2 MiB entry whole when 4 KiB of it are invalidated', () => {
    const device = new FakeDevice();
    cached(device, [[5, 0x200, 9]]);
    expect(device.atc.frameOf(device.atc.lookup(5, 0x3ff), 0x3ff)).toBe(0x3ff);
    finish(device, () => invalidate(device, 5, 0x3fe, 0));
    expect(device.atc.lookup(5, 0x200)).toBe(-1);
  });

  it('keeps the pages beside the range', () => {
    const device = new FakeDevice();
    cached(device, [
      [5, 0xf, 0],
      [5, 0x10, 0],
      [5, 0x13, 0],
      [5, 0x14, 0],
    ]);
    finish(device, () => invalidate(device, 5, 0x10, 2));
    expect([0xf, 0x10, 0x13, 0x14].map((page) => device.atc.lookup(5, page) >= 0)).toEqual([true, false, false, true]);
  });

  it('keeps PASID 6 when PASID 5 is invalidated', () => {
    const device = new FakeDevice();
    cached(device, [
      [5, 1, 0],
      [6, 1, 0],
    ]);
    finish(device, () => invalidate(device, 5, 0, 52));
    expect(device.atc.lookup(5, 1)).toBe(-1);
    expect(device.atc.lookup(6, 1)).toBeGreaterThanOrEqual(0);
  });

  it.each([
    ['without a PASID', -1, false],
    ['with Global Invalidate', 9, true],
  ])('removes every PASID when the request is %s', (_what, pasid, global) => {
    const device = new FakeDevice();
    cached(device, [
      [5, 1, 0],
      [6, 1, 0],
      [-1, 1, 0],
    ]);
    finish(device, () => invalidate(device, pasid, 0, 52, global));
    expect([5, 6, -1].map((p) => device.atc.lookup(p, 1))).toEqual([-1, -1, -1]);
  });

  it('ignores Global Invalidate where the function does not support it', () => {
    const device = new FakeDevice({ ats: { queueDepth: 32, pageAligned: true, globalInvalidate: false } });
    cached(device, [[6, 1, 0]]);
    finish(device, () => invalidate(device, 5, 0, 52, true));
    expect(device.atc.lookup(6, 1)).toBeGreaterThanOrEqual(0);
  });

  it('completes an invalidation that hits nothing, also while ATS is off', () => {
    const device = new FakeDevice();
    finish(device, () => invalidate(device, 5, 0, 52));
    expect(device.agent.seen).toEqual([COMPLETED]);
  });

  it('completes ITag 31', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* device.link.down({ kind: 'invalidate-request', itag: 31, pasid: 1, lo: 0x1000, hi: 0 });
    });
    expect(device.agent.seen).toEqual([{ kind: 'invalidate-completion', itags: 0x80000000, count: 1 }]);
  });
});

describe('an invalidation that meets accesses and answers', () => {
  it('prevents caching when it crosses the answer: the request is repeated (ATC-7)', () => {
    const device = new FakeDevice();
    device.agent.answers = false;
    device.agent.pages.set(1, { perm: 3, order: 0 });
    finish(device, function* () {
      yield* device.enable();
      device.kernel.spawn('asker', function* () {
        expect(yield* device.atc.translate(5, 1, 1)).toBe('again');
      });
      yield* device.kernel.clock.sleep(1);
      yield* invalidate(device, 5, 0, 52);
      yield* device.kernel.clock.sleep(1);
      // The completion of the invalidation does not wait for the answer.
      expect(device.agent.kinds()).toEqual(['translation-request', 'invalidate-completion']);
      yield* device.agent.answer(device.agent.seen[0] as Extract<Upstream, { kind: 'translation-request' }>);
    });
    expect(device.atc.lookup(5, 1)).toBe(-1);
  });

  it.each([
    ['another PASID', 6, 1],
    ['another page', 5, 2],
  ])('lets an answer be cached when it is about %s', (_what, pasid, page) => {
    const device = new FakeDevice();
    device.agent.answers = false;
    device.agent.pages.set(1, { perm: 3, order: 0 });
    finish(device, function* () {
      yield* device.enable();
      device.kernel.spawn('asker', function* () {
        expect(yield* device.atc.translate(5, 1, 1)).toBe('cached');
      });
      yield* device.kernel.clock.sleep(1);
      yield* invalidate(device, pasid, page, 0);
      yield* device.kernel.clock.sleep(1);
      yield* device.agent.answer(device.agent.seen[0] as Extract<Upstream, { kind: 'translation-request' }>);
    });
  });

  it('keeps nothing older than an invalidation that completed, in any schedule (ATC-7)', () => {
    // The agent answers from its pages when the request arrives; the page is unmapped, invalidated, and the completion seen.
    const results = new Set<string>();
    for (let seed = 1; seed <= 300; seed++) {
      const device = new FakeDevice();
      device.agent.pages.set(1, { perm: 3, order: 0 });
      finish(device, () => device.enable());
      finish(
        device,
        function* () {
          device.kernel.spawn('asker', function* () {
            results.add(yield* device.atc.translate(5, 1, 1));
          });
          yield* device.kernel.point(0, true);
          device.agent.pages.delete(1);
          yield* invalidate(device, 5, 1, 0);
        },
        new RandomChooser(seed),
      );
      expect(device.atc.lookup(5, 1)).toBe(-1);
    }
    expect(results).toEqual(new Set(['cached', 'denied', 'again']));
  });

  it('keeps a stale answer when the step that discards it is left out', () => {
    class KeepsInvalidated extends Atc {
      override keepsInvalidated(): boolean {
        return true;
      }
    }
    let stale = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const device = new FakeDevice({}, 8, KeepsInvalidated);
      device.agent.pages.set(1, { perm: 3, order: 0 });
      finish(device, () => device.enable());
      const chooser = new RandomChooser(seed);
      finish(
        device,
        function* () {
          device.kernel.spawn('asker', function* () {
            yield* device.atc.translate(5, 1, 1);
          });
          yield* device.kernel.point(0, true);
          device.agent.pages.delete(1);
          yield* invalidate(device, 5, 1, 0);
        },
        chooser,
      );
      if (device.atc.lookup(5, 1) >= 0) stale++;
    }
    expect(stale).toBeGreaterThan(0);
  });

  it('completes only after the accesses that use the line (ATC-8), and no new access uses it meanwhile', () => {
    const device = new FakeDevice();
    cached(device, [
      [5, 1, 0],
      [5, 2, 0],
    ]);
    const { atc } = device;
    finish(device, function* () {
      const [one, two] = [atc.lookup(5, 1), atc.lookup(5, 2)];
      atc.pin(one);
      atc.pin(one);
      atc.pin(two);
      yield* invalidate(device, 5, 0, 52);
      yield* device.kernel.clock.sleep(1);
      expect(atc.lookup(5, 1)).toBe(-1);
      for (const line of [one, two]) {
        if (atc.unpin(line)) yield* atc.settle();
        yield* device.kernel.clock.sleep(1);
        expect(device.agent.seen).toEqual([]);
      }
      expect(atc.unpin(one)).toBe(true);
      yield* atc.settle();
      yield* device.kernel.clock.sleep(1);
      expect(device.agent.seen).toEqual([COMPLETED]);
    });
  });

  it('fills no line that was invalidated but is still used', () => {
    const device = new FakeDevice();
    cached(device, [[5, 1, 0]]);
    const line = device.atc.lookup(5, 1);
    device.atc.pin(line);
    finish(device, () => invalidate(device, 5, 1, 0));
    cached(device, [[5, 2, 0]]);
    expect(device.atc.lookup(5, 2)).not.toBe(line);
    expect(device.atc.lookup(5, 2)).toBeGreaterThanOrEqual(0);
  });

  it('waits for the old accesses also when a second invalidation comes', () => {
    const device = new FakeDevice();
    cached(device, [[5, 1, 0]]);
    const { atc } = device;
    finish(device, function* () {
      const line = atc.lookup(5, 1);
      atc.pin(line);
      yield* invalidate(device, 5, 1, 0);
      yield* invalidate(device, 5, 1, 0);
      yield* device.kernel.clock.sleep(1);
      expect(device.agent.seen).toEqual([]);
      if (atc.unpin(line)) yield* atc.settle();
      yield* device.kernel.clock.sleep(1);
      expect(device.agent.seen).toEqual([COMPLETED, COMPLETED]);
    });
  });

  it('never lets the completion overtake a write that uses the line, in any schedule (ATC-8)', () => {
    const orders = new Set<string>();
    for (let seed = 1; seed <= 300; seed++) {
      const device = new FakeDevice();
      cached(device, [[5, 1, 0]]);
      const { atc, link } = device;
      finish(
        device,
        function* () {
          device.kernel.spawn('writer', function* () {
            const line = atc.lookup(5, 1);
            if (line < 0) return;
            atc.pin(line);
            yield* device.kernel.point(0, true);
            const data = new Uint8Array(4);
            yield* link.up({ kind: 'write', at: 2, pasid: 5, page: 1, offset: 0, data, witness: 0 });
            if (atc.unpin(line)) yield* atc.settle();
          });
          yield* invalidate(device, 5, 1, 0);
        },
        new RandomChooser(seed),
      );
      orders.add(device.agent.kinds().join(' '));
    }
    expect(orders).toEqual(new Set(['write invalidate-completion', 'invalidate-completion']));
  });

  it('accepts 32 invalidations while an access is under way, and completes them with one vector (ATC-9)', () => {
    const device = new FakeDevice();
    cached(device, [[5, 1, 0]]);
    const { atc } = device;
    finish(device, function* () {
      const line = atc.lookup(5, 1);
      atc.pin(line);
      for (let itag = 0; itag < 32; itag++) {
        yield* device.link.down({ kind: 'invalidate-request', itag, pasid: 5, lo: 0xfffff800, hi: 0x7fffffff });
      }
      yield* device.kernel.clock.sleep(1);
      if (atc.unpin(line)) yield* atc.settle();
    });
    let vector = 0;
    for (const tlp of device.agent.seen) if (tlp.kind === 'invalidate-completion') vector = (vector | tlp.itags) >>> 0;
    expect([device.agent.seen.length, vector]).toEqual([1, 0xffffffff]);
  });

  it('answers an invalidation while a page request waits for its answer (ATC-9, ATC-10)', () => {
    const device = new FakeDevice();
    cached(device, [[5, 1, 0]]);
    finish(device, function* () {
      const group = yield* device.pri.request(5, [9], 1);
      yield* invalidate(device, 5, 1, 0);
      yield* device.kernel.clock.sleep(1);
      expect(group!.code).toBe(-1);
      expect(device.agent.kinds()).toEqual(['page-request', 'invalidate-completion']);
      device.agent.pages.set(9, { perm: 1, order: 0 });
      expect(yield* device.atc.translate(5, 9, 1)).toBe('cached');
    });
  });
});
