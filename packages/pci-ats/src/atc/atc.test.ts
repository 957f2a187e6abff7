import { IommuError, LINE, Observer } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { cached, invalidate } from '../../test/atc-steps.js';
import { CONFIG, FakeDevice, finish } from '../../test/bench-top.js';
import { disableAts, disablePri, type Upstream } from '../index.js';

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
