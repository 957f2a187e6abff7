import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import type { Upstream } from '@iommukit/pci-ats';
import { describe, expect, it } from 'vitest';
import { EngineBench } from '../test/engine-bench.js';
import {
  CANCELLED,
  CHECKSUM,
  COPY,
  DONE,
  EAGER,
  ENDLESS,
  FAILED,
  FILL,
  INVALID_REQUEST,
  NO_PASID,
  PAGE,
  R,
  RUNNING,
  ramp,
  STOPPED,
  W,
} from '../test/literals.js';
import { MemoryPort } from './memory-port.js';

const requests = (bench: EngineBench): Upstream[] =>
  bench.iommu.seen.filter((tlp) => tlp.kind === 'read' || tlp.kind === 'write');

describe('an engine without ATS', () => {
  const without = (): EngineBench => new EngineBench({ capabilities: { ats: false, pri: false } });

  it('sends untranslated requests with its PASID; its writes are posted', () => {
    const bench = without();
    bench.put(2 * PAGE, ramp(PAGE));
    bench.do(function* () {
      yield* bench.enablePlain();
      expect(yield* bench.job({ op: COPY, source: 2 * PAGE, destination: 8 * PAGE, bytes: PAGE })).toBe(DONE);
      yield* bench.kernel.clock.sleep(1);
    });
    expect(bench.bytes(8 * PAGE, PAGE)).toEqual(ramp(PAGE));
    expect(bench.iommu.seen).toMatchObject([
      { kind: 'read', at: 0, pasid: 5, page: 2 },
      { kind: 'write', at: 0, pasid: 5, page: 8 },
    ]);
    expect(requests(bench)[1]).not.toHaveProperty('tag');
  });

  it.each([
    ['ca', CANCELLED],
    ['ur', FAILED],
  ] as const)('ends the job when a read is answered %s: %i', (status, outcome) => {
    const bench = without();
    bench.iommu.before = (tlp) => {
      if (tlp.kind !== 'read') return false;
      const answer = { kind: 'completion', tag: tlp.tag, status, data: new Uint8Array(0) } as const;
      bench.kernel.spawn('iommu', () => bench.iommu.down(answer));
      return true;
    };
    bench.do(function* () {
      yield* bench.enablePlain();
      expect(yield* bench.job({ op: CHECKSUM, source: 2 * PAGE, bytes: 8 })).toBe(outcome);
    });
  });

  it('asks for no page ahead, and posts no marker when it stops', () => {
    for (const kind of ['waits', 'marker']) {
      const bench = new EngineBench({ capabilities: { ats: false, pri: false }, settings: { 'stop-kind': kind } });
      bench.do(function* () {
        yield* bench.enablePlain();
        expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8, prefetch: 4 })).toBe(DONE);
        yield* bench.stop(5);
        yield* bench.stopped(5);
        yield* bench.kernel.clock.sleep(1);
      });
      expect(bench.iommu.seen.map((tlp) => tlp.kind)).toEqual(['write']);
    }
  });
});

describe('a job without a PASID', () => {
  it('asks for translations without one, and for no page that is not mapped', () => {
    const bench = new EngineBench().boot();
    bench.allow([8], W);
    bench.do(function* () {
      const job = { op: FILL | NO_PASID, destination: 8 * PAGE, bytes: 2 * PAGE, prefetch: 2 };
      expect(yield* bench.job(job)).toBe(CANCELLED);
    });
    expect(bench.iommu.log()).toEqual(['translate 8 w', 'write 8+0 4096', 'translate 9 w']);
    expect(bench.iommu.seen).toMatchObject([{ pasid: -1 }, { pasid: -1 }, { pasid: -1 }]);
  });

  it('shares no translation with a PASID (ATC-2)', () => {
    const bench = new EngineBench().boot();
    bench.allow([8], W);
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
      expect(yield* bench.job({ op: FILL | NO_PASID, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(bench.iommu.log().filter((line) => line.startsWith('translate'))).toHaveLength(2);
  });

  it('needs no PASID capability', () => {
    const bench = new EngineBench({ capabilities: { ats: false, pri: false, pasidBits: 0 } });
    bench.do(function* () {
      yield* bench.enablePlain(false);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(FAILED);
      expect(yield* bench.job({ op: FILL | NO_PASID, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
  });
});

describe('a runaway', () => {
  it.each(['waits', 'marker'])('begins again until it is stopped, in every schedule (%s)', (kind) => {
    for (let seed = 1; seed <= 60; seed++) {
      const capabilities = { pauseNs: seed % 2 === 0 ? 1000 : 0 };
      const bench = new EngineBench({ settings: { 'stop-kind': kind }, capabilities }).boot();
      bench.allow([2], R);
      const word = bench.kernel.footprint();
      bench.do(function* () {
        yield* bench.program({ op: COPY | ENDLESS, source: 2 * PAGE, destination: 8 * PAGE, bytes: PAGE });
        yield* bench.ring();
        for (let i = 0; i < (seed % 10) * 15; i++) yield* bench.kernel.point(word, true);
        yield* bench.stop(5);
        yield* bench.stopped(5);
        expect(yield* bench.outcome()).toBe(STOPPED);
        yield* bench.kernel.clock.sleep(1);
        const sent = bench.iommu.seen.length;
        yield* bench.kernel.clock.sleep(1e6);
        expect(bench.iommu.seen.length).toBe(sent);
      }, new RandomChooser(seed));
    }
  });

  it('does its work again and again, from the same addresses on', () => {
    const bench = new EngineBench().boot();
    bench.allow([8, 9], W);
    bench.do(function* () {
      yield* bench.program({ op: FILL | ENDLESS, destination: 8 * PAGE, bytes: 2 * PAGE });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(3500);
      yield* bench.stop(5);
      yield* bench.stopped(5);
    });
    const writes = bench.iommu.log().filter((line) => line.startsWith('write'));
    expect(writes).toEqual(new Array(4).fill(['write 8+0 4096', 'write 9+0 4096']).flat());
  });

  it('goes on when a page is refused, and ends when the IOMMU cannot serve it', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => INVALID_REQUEST;
    bench.do(function* () {
      yield* bench.program({ op: FILL | ENDLESS, destination: 8 * PAGE, bytes: 8 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(2500);
      expect(bench.iommu.log().filter((line) => line.startsWith('request'))).toHaveLength(3);
      expect(yield* bench.registers.read32(0x08)).toBe(RUNNING);
      yield* bench.config.write16(0x04, 2);
      expect(yield* bench.outcome()).toBe(FAILED);
    });
  });
});

describe('an eager program', () => {
  /** Answers `count` translation requests with Completer Abort: the IOMMU does not know the PASID yet. */
  function unknown(bench: EngineBench, count: number): EngineBench {
    bench.iommu.before = (tlp) => {
      if (tlp.kind === 'translation-request') bench.iommu.translationStatus = count-- > 0 ? 'ca' : 'ok';
      return false;
    };
    bench.allow([8], W);
    return bench;
  }

  function* fill(bench: EngineBench, flags: number): Coroutine<number> {
    return yield* bench.job({ op: FILL | flags, destination: 8 * PAGE, bytes: 8 });
  }

  it('uses its PASID as soon as the IOMMU knows it; an obedient one fails at once', () => {
    const obedient = unknown(new EngineBench().boot(), 5);
    obedient.do(function* () {
      expect(yield* fill(obedient, 0)).toBe(FAILED);
    });
    const eager = unknown(new EngineBench().boot(), 5);
    eager.do(function* () {
      expect(yield* fill(eager, EAGER)).toBe(DONE);
      expect(eager.kernel.clock.now()).toBe(0);
    });
    const always = unknown(new EngineBench({ capabilities: { eager: true } }).boot(), 5);
    always.do(function* () {
      expect(yield* fill(always, 0)).toBe(DONE);
    });
  });

  it('lets time pass between its later tries, and gives up in the end', () => {
    const capabilities = { eagerTries: 4, pauseNs: 100, afterAbort: 'fail' };
    const late = unknown(new EngineBench({ capabilities }).boot(), 7);
    late.do(function* () {
      expect(yield* fill(late, EAGER)).toBe(DONE);
      expect(late.kernel.clock.now()).toBe(300);
    });
    const never = unknown(new EngineBench({ capabilities }).boot(), 99);
    never.do(function* () {
      expect(yield* fill(never, EAGER)).toBe(FAILED);
    });
    expect(never.iommu.log()).toHaveLength(9);
  });

  it('stops when it is told to', () => {
    const bench = unknown(new EngineBench({ capabilities: { eagerTries: 1000 } }).boot(), 1e9);
    bench.do(function* () {
      yield* bench.program({ op: FILL | EAGER, destination: 8 * PAGE, bytes: 8 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(5000);
      yield* bench.stop(5);
      yield* bench.stopped(5);
      expect(yield* bench.outcome()).toBe(STOPPED);
    });
  });
});

describe('a write that finds a cached right to read (ATC-3)', () => {
  function outcomeOf(readOnlyHit: string, answer: (bench: EngineBench) => number): [status: number, log: string[]] {
    const bench = new EngineBench({ capabilities: { readOnlyHit } }).boot();
    bench.allow([8], R);
    bench.iommu.answer = () => answer(bench);
    let status = 0;
    bench.do(function* () {
      expect(yield* bench.job({ op: CHECKSUM, source: 8 * PAGE, bytes: 8 })).toBe(DONE);
      bench.iommu.seen.length = 0;
      status = yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 });
    });
    return [status, bench.iommu.log()];
  }

  /** Software gives the right and takes the old translation out of the device before it answers. */
  const upgrade = (bench: EngineBench): number => {
    bench.allow([8], R | W);
    bench.engine.atc.dropRange(-1, 8, 8);
    return 0;
  };

  it('asks for a translation with NW=0 by default, which may bring the right', () => {
    expect(outcomeOf('request', upgrade)).toEqual([
      DONE,
      ['translate 8 w', 'request 8 2 last', 'translate 8 w', 'write 8+0 8'],
    ]);
  });

  it('is denied in some devices, without a word to anybody', () => {
    expect(outcomeOf('deny', upgrade)).toEqual([CANCELLED, []]);
  });

  it('asks for the page straight away in others, which need the old translation to go', () => {
    expect(outcomeOf('page-request', upgrade)).toEqual([DONE, ['request 8 2 last', 'translate 8 w', 'write 8+0 8']]);
    // With the old entry left in place the device never gets to know of its right (SMMU-20).
    let asked = 0;
    const stale = outcomeOf('page-request', (bench) => {
      bench.allow([8], R | W);
      return ++asked === 6 ? INVALID_REQUEST : 0;
    });
    expect(stale).toEqual([CANCELLED, new Array(6).fill('request 8 2 last')]);
  });

  it('asks anew for a right to read in all of them', () => {
    for (const readOnlyHit of ['request', 'deny', 'page-request']) {
      const bench = new EngineBench({ capabilities: { readOnlyHit } }).boot();
      bench.allow([8], W);
      bench.do(function* () {
        yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 });
        expect(yield* bench.job({ op: CHECKSUM, source: 8 * PAGE, bytes: 8 })).toBe(DONE);
      });
      expect(bench.iommu.log().slice(2)).toEqual(['translate 8 r', 'request 8 1 last', 'translate 8 r', 'read 8+0 8']);
    }
  });
});

describe('a page that is gone again after Success (PF-6, ATC-13)', () => {
  class Asserts extends MemoryPort {
    override givesUpAfterSuccess(): boolean {
      return true;
    }
  }

  it.each([
    ['is asked for again; when it is refused then, the job is cancelled', MemoryPort, CANCELLED, 3],
    ['is no hardware error, as a device has it that asserts', Asserts, FAILED, 1],
  ])('%s', (_what, Port, outcome, asked) => {
    const bench = new EngineBench({ parts: { MemoryPort: Port } }).boot();
    let answers = 0;
    bench.iommu.answer = () => (++answers < 3 ? 0 : INVALID_REQUEST);
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(outcome);
    });
    expect(answers).toBe(asked);
  });
});

describe('an IOMMU that does no ATS for the device', () => {
  it.each([
    [false, FAILED, ['translate 8 w']],
    [true, DONE, ['translate 8 w', 'write']],
  ])('is left alone by a device that falls back: %s', (urFallback, outcome, sent) => {
    const bench = new EngineBench({ capabilities: { urFallback } }).boot();
    bench.iommu.translationStatus = 'ur';
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(outcome);
      yield* bench.kernel.clock.sleep(1);
    });
    expect(bench.iommu.log().map((line) => line.replace(/^write.*/, 'write'))).toEqual(sent);
  });
});

describe('a device of several traffic classes', () => {
  it('completes an invalidation once for each, with that count (2.5)', () => {
    const bench = new EngineBench({ capabilities: { trafficClasses: 3, pushesBack: true, queueDepth: 1 } }).boot();
    bench.do(() => bench.iommu.invalidate(8));
    expect(bench.iommu.seen).toEqual(new Array(3).fill({ kind: 'invalidate-completion', itags: 1, count: 3 }));
  });
});

describe('an access that may not be translated (ATC-4)', () => {
  it('is cancelled when the IOMMU aborts it: the page may have gone meanwhile', () => {
    const bench = new EngineBench().boot();
    bench.allow([2], R);
    bench.iommu.attributes = 4;
    bench.iommu.before = (tlp) => {
      if (tlp.kind !== 'read') return false;
      const answer = { kind: 'completion', tag: tlp.tag, status: 'ca', data: new Uint8Array(0) } as const;
      bench.kernel.spawn('iommu', () => bench.iommu.down(answer));
      return true;
    };
    bench.do(function* () {
      expect(yield* bench.job({ op: CHECKSUM, source: 2 * PAGE, bytes: 8 })).toBe(CANCELLED);
    });
  });
});
