import { type Coroutine, IommuError, LINE, Observer, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONFIG, FakeDevice, finish } from '../../test/bench-top.js';
import { disableAts, disablePri, encodeInvalidate, type Upstream } from '../index.js';
import { Atc } from './atc.js';

/** A device that is enabled, with these pages (identity, read and write unless said) already cached for these PASIDs. */
function cached(device: FakeDevice, lines: readonly (readonly [pasid: number, page: number, order: number])[]): void {
  finish(device, function* () {
    if (!device.fn.state.ats) yield* device.enable();
    for (const [pasid, page, order] of lines) {
      for (let i = 0; i < 2 ** order; i++) device.agent.pages.set(page + i, { perm: 3, order });
      expect(yield* device.atc.translate(pasid, page, 3)).toBe('cached');
    }
  });
  device.agent.seen.length = 0;
}

function invalidate(device: FakeDevice, pasid: number, page: number, order: number, global = false): Coroutine<void> {
  const [lo, hi] = encodeInvalidate(page, order, global);
  return device.link.down({ kind: 'invalidate-request', itag: 3, pasid, lo, hi }) as unknown as Coroutine<void>;
}

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

describe('what is cached', () => {
  it('keeps entries of requests without PASID apart (ATC-2)', () => {
    const device = new FakeDevice();
    cached(device, [[5, 1, 0]]);
    expect(device.atc.lookup(-1, 1)).toBe(-1);
    expect(device.atc.lookup(5, 1, true)).toBe(-1);
  });

  it('lets a global entry match any PASID, but no request without one (ATC-2)', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* device.enable();
      device.agent.pages.set(1, { perm: 1, order: 0, attributes: 0x20 });
      yield* device.atc.translate(5, 1, 1);
    });
    expect([5, 6, -1].map((pasid) => device.atc.lookup(pasid, 1) >= 0)).toEqual([true, true, false]);
    // A request of its PASID leaves it; one without a PASID does not.
    finish(device, () => invalidate(device, 5, 1, 0));
    expect(device.atc.lookup(6, 1)).toBeGreaterThanOrEqual(0);
    finish(device, () => invalidate(device, -1, 1, 0));
    expect(device.atc.lookup(6, 1)).toBe(-1);
  });

  it('never caches "no access" (ATC-3)', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* device.enable();
      expect(yield* device.atc.translate(5, 1, 1)).toBe('denied');
    });
    expect(device.atc.lines.tag.every((tag) => tag === -1)).toBe(true);
  });

  it('keeps a read-only entry that denies a write, until a later answer replaces it (ATC-3)', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* device.enable();
      device.agent.pages.set(1, { perm: 1, order: 0 });
      expect(yield* device.atc.translate(5, 1, 2)).toBe('denied');
      expect(device.atc.rights(device.atc.lookup(5, 1))).toBe(1);
      device.agent.pages.set(1, { perm: 3, order: 0 });
      expect(yield* device.atc.translate(5, 1, 2)).toBe('cached');
    });
    expect(device.atc.rights(device.atc.lookup(5, 1))).toBe(3);
    expect([...device.atc.lines.tag].filter((tag) => tag !== -1)).toHaveLength(1);
    const asked = device.agent.seen.filter((tlp) => tlp.kind === 'translation-request');
    expect(asked.map((tlp) => tlp.noWrite)).toEqual([false, false]);
  });

  it('asks with "no write" when it only wants to read', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* device.enable();
      yield* device.atc.translate(5, 1, 1);
    });
    expect(device.agent.seen).toMatchObject([
      { kind: 'translation-request', pasid: 5, page: 1, count: 1, noWrite: true },
    ]);
  });

  it('tells pages that are for untranslated accesses only (ATC-4)', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* device.enable();
      device.agent.pages.set(1, { perm: 3, order: 0, attributes: 4 });
      expect(yield* device.atc.translate(5, 1, 1)).toBe('cached');
      // It says what is allowed all the same: without a right there is nothing to cache.
      device.agent.pages.set(2, { perm: 0, order: 0, attributes: 4 });
      expect(yield* device.atc.translate(5, 2, 1)).toBe('denied');
    });
    expect(device.atc.untranslatedOnly(device.atc.lookup(5, 1))).toBe(true);
  });

  it('drops everything when ATS is disabled, and asks for nothing until it is enabled again (ATC-1)', () => {
    const device = new FakeDevice();
    cached(device, [[5, 1, 0]]);
    finish(device, function* () {
      yield* disablePri(device.config);
      yield* disableAts(device.config);
      expect(device.atc.lookup(5, 1)).toBe(-1);
      expect(yield* device.atc.translate(5, 1, 1)).toBe('ur');
    });
    expect(device.agent.seen).toEqual([]);
  });

  it('does not cache an answer that was under way when ATS was disabled (ATC-1)', () => {
    const device = new FakeDevice();
    device.agent.answers = false;
    finish(device, function* () {
      yield* device.enable();
      device.kernel.spawn('asker', function* () {
        expect(yield* device.atc.translate(5, 1, 1)).toBe('again');
      });
      yield* device.kernel.clock.sleep(1);
      device.bus.write16(CONFIG + 0x106, 0);
      device.agent.pages.set(1, { perm: 3, order: 0 });
      yield* device.agent.answer(device.agent.seen[0] as Extract<Upstream, { kind: 'translation-request' }>);
    });
    expect(device.atc.lookup(5, 1)).toBe(-1);
  });

  it('asks for no PASID that is not enabled (ATC-15)', () => {
    const device = new FakeDevice({ pasid: { width: 4, exec: true, priv: true } });
    finish(device, function* () {
      yield* device.enable();
      expect(yield* device.atc.translate(16, 1, 1)).toBe('ur');
    });
    expect(device.agent.seen).toEqual([]);
  });

  it.each(['ur', 'ca'] as const)('hands on a refusal: %s', (status) => {
    const device = new FakeDevice();
    device.agent.answers = false;
    finish(device, function* () {
      yield* device.enable();
      device.kernel.spawn('asker', function* () {
        expect(yield* device.atc.translate(5, 1, 1)).toBe(status);
      });
      yield* device.kernel.clock.sleep(1);
      yield* device.agent.answer(device.agent.seen[0] as Extract<Upstream, { kind: 'translation-request' }>, status);
    });
  });

  it('ignores an answer to a request that it never sent, and one that is cut short', () => {
    const device = new FakeDevice();
    device.agent.answers = false;
    finish(device, function* () {
      yield* device.enable();
      const none = new Uint32Array(0);
      yield* device.link.down({ kind: 'translation-completion', tag: 9, status: 'ok', entries: none, born: 0 });
      device.kernel.spawn('asker', function* () {
        expect(yield* device.atc.translate(5, 1, 1)).toBe('ca');
      });
      yield* device.kernel.clock.sleep(1);
      const { tag } = device.agent.seen[0] as Extract<Upstream, { kind: 'translation-request' }>;
      yield* device.link.down({ kind: 'translation-completion', tag, status: 'ok', entries: none, born: 0 });
    });
  });

  it('replaces lines round robin when it is full, but never one that an access uses', () => {
    const device = new FakeDevice({}, 4);
    cached(device, [
      [5, 1, 0],
      [5, 2, 0],
      [5, 3, 0],
      [5, 4, 0],
    ]);
    device.atc.pin(device.atc.lookup(5, 2));
    cached(device, [
      [5, 5, 0],
      [5, 6, 0],
      [5, 7, 0],
      [5, 8, 0],
    ]);
    expect(device.atc.lookup(5, 2)).toBeGreaterThanOrEqual(0);
    expect([...device.atc.lines.tag].filter((tag) => tag !== -1)).toHaveLength(4);
  });

  it('refuses to be made with fewer than four entries', () => {
    expect(() => new FakeDevice({}, 3)).toThrow(IommuError);
  });

  it('tells oracles what it fills and uses, with the generation of the frame', () => {
    const device = new FakeDevice();
    const log: unknown[] = [];
    device.kernel.observer = new (class extends Observer {
      override filled(_lines: unknown, i: number, stream: number, pasid: number): void {
        log.push(['filled', i, stream, pasid]);
      }

      override used(_lines: unknown, i: number): void {
        log.push(['used', i]);
      }
    })();
    const pfn = device.bus.frames.alloc('mm:1 page');
    cached(device, [[5, pfn, 0]]);
    const line = device.atc.lookup(5, pfn);
    device.atc.pin(line);
    expect(log).toEqual([
      ['filled', line, 0x18, 5],
      ['used', line],
    ]);
    expect(device.atc.witnessOf(line, pfn)).toBe(device.bus.memory.generationOf(pfn));
    expect(device.atc.lines.flags[line]).toBe(LINE.READ | LINE.WRITE);
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

  it('accepts 32 invalidations while an access is under way, and completes each (ATC-9)', () => {
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
    expect([device.agent.seen.length, vector]).toEqual([32, 0xffffffff]);
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

describe('a machine at rest', () => {
  it('has the same cache after a restore', () => {
    const device = new FakeDevice();
    cached(device, [[5, 1, 0]]);
    const checkpoint = device.kernel.checkpoints.take();
    cached(device, [[5, 2, 0]]);
    finish(device, () => invalidate(device, 5, 1, 0));
    checkpoint.restore();
    expect(device.atc.lookup(5, 1)).toBeGreaterThanOrEqual(0);
    expect(device.atc.lookup(5, 2)).toBe(-1);
    expect(device.fn.state.ats).toBe(true);
  });
});
