import { RandomChooser } from '@iommukit/kernel';
import { disablePri } from '@iommukit/pci-ats';
import { describe, expect, it } from 'vitest';
import { EngineBench } from '../test/engine-bench.js';
import {
  CANCELLED,
  CHECKSUM,
  COPY,
  DONE,
  FAILED,
  FAILURE,
  FILL,
  INVALID_REQUEST,
  PAGE,
  R,
  RUNNING,
  ramp,
  W,
} from '../test/literals.js';

describe('page requests', () => {
  it('end the job as cancelled when they are refused, with nothing written (ATC-13)', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => INVALID_REQUEST;
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8, pattern: 1 })).toBe(CANCELLED);
    });
    expect(bench.iommu.log()).toEqual(['translate 8 w', 'request 8 2 last']);
    expect(bench.bytes(8 * PAGE, 8)).toEqual(new Array(8).fill(0));
  });

  it('are repeated when the page is gone again after Success (PF-6)', () => {
    const bench = new EngineBench().boot();
    let asked = 0;
    bench.iommu.answer = (requests) => (++asked < 3 ? 0 : bench.iommu.grant(requests));
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(asked).toBe(3);
    expect(bench.iommu.seen.flatMap((tlp) => (tlp.kind === 'page-request' ? [tlp.prgi] : []))).toEqual([0, 1, 2]);
  });

  it('fail the job on Response Failure, and every job after it that needs one (ATC-12)', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => FAILURE;
    bench.allow([9], R | W);
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(FAILED);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8, prefetch: 2 })).toBe(FAILED);
      expect(yield* bench.job({ op: FILL, destination: 9 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(bench.iommu.log().filter((line) => line.startsWith('request'))).toHaveLength(1);
  });

  it('are not sent while they are off: pages that are there are reached, others are not', () => {
    const bench = new EngineBench({ capabilities: { pri: false } });
    bench.allow([9], W);
    bench.do(function* () {
      yield* bench.enable(0);
      expect(yield* bench.job({ op: FILL, destination: 9 * PAGE, bytes: 8, prefetch: 4 })).toBe(DONE);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8, prefetch: 4 })).toBe(CANCELLED);
    });
    expect(bench.iommu.log().filter((line) => line.startsWith('request'))).toEqual([]);
  });

  it('are not sent ahead either once they are switched off', () => {
    const bench = new EngineBench().boot();
    bench.allow([8, 9], W);
    bench.do(function* () {
      yield* disablePri(bench.config);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 2 * PAGE, prefetch: 2 })).toBe(DONE);
    });
    expect(bench.iommu.log().filter((line) => line.startsWith('request'))).toEqual([]);
  });

  it('ask for the right to write where only reading is cached (ATC-3)', () => {
    const bench = new EngineBench().boot();
    bench.allow([8], R);
    bench.do(function* () {
      expect(yield* bench.job({ op: CHECKSUM, source: 8 * PAGE, bytes: 8 })).toBe(DONE);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
      expect(yield* bench.job({ op: CHECKSUM, source: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(bench.iommu.log()).toEqual([
      ...['translate 8 r', 'read 8+0 8'],
      ...['translate 8 w', 'request 8 2 last', 'translate 8 w', 'write 8+0 8'],
      'read 8+0 8',
    ]);
  });

  it('ask for several pages in one group, at most as many as there are credits', () => {
    const bench = new EngineBench().boot(3);
    bench.do(function* () {
      const job = { op: FILL, destination: 8 * PAGE + 8, bytes: 6 * PAGE, prefetch: 4 };
      expect(yield* bench.job(job)).toBe(DONE);
    });
    const groups = bench.iommu.log().filter((line) => line.startsWith('request'));
    expect(groups).toEqual([
      ...['request 8 2', 'request 9 2', 'request 10 2 last'],
      ...['request 11 2', 'request 12 2', 'request 13 2 last'],
      'request 14 2 last',
    ]);
  });

  it('ask for each part of the destination once, however the source lies', () => {
    const bench = new EngineBench().boot();
    bench.allow([0, 1, 2, 3, 4], R);
    bench.do(function* () {
      const job = { op: COPY, source: 2048, destination: 8 * PAGE, bytes: 4 * PAGE, prefetch: 2 };
      expect(yield* bench.job(job)).toBe(DONE);
    });
    const groups = bench.iommu.log().filter((line) => line.startsWith('request'));
    expect(groups).toEqual(['request 8 2', 'request 9 2 last', 'request 10 2', 'request 11 2 last']);
  });

  it('end the job when a page of a group is refused', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => INVALID_REQUEST;
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: PAGE * 2, prefetch: 2 })).toBe(CANCELLED);
    });
    expect(bench.iommu.log()).toEqual(['request 8 2', 'request 9 2 last']);
  });
});

describe('what the IOMMU refuses', () => {
  it.each(['ur', 'ca'] as const)('fails the job when a translation request is answered %s', (status) => {
    const bench = new EngineBench({ capabilities: { afterAbort: 'fail' } }).boot();
    bench.iommu.translationStatus = status;
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(FAILED);
    });
    expect(bench.iommu.log()).toEqual(['translate 8 w']);
  });

  it('asks for the page, once, when a translation request is aborted, which says nothing about the page', () => {
    const bench = new EngineBench().boot();
    bench.iommu.translationStatus = 'ca';
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(FAILED);
    });
    expect(bench.iommu.log()).toEqual(['translate 8 w', 'request 8 2 last', 'translate 8 w']);
  });

  it.each([
    ['a refusal', 'ca', 4096],
    ['too little data', 'ok', 8],
  ] as const)('fails the job when a read is answered with %s', (_what, status, bytes) => {
    const bench = new EngineBench().boot();
    bench.allow([2, 8], R | W);
    bench.iommu.before = (tlp) => tlp.kind === 'read';
    bench.do(function* () {
      yield* bench.program({ op: COPY, source: 2 * PAGE, destination: 8 * PAGE, bytes: 4096 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(1);
      const read = bench.iommu.seen.find((tlp) => tlp.kind === 'read');
      expect(yield* bench.registers.read32(0x08)).toBe(RUNNING);
      yield* bench.iommu.down({ kind: 'completion', tag: 99, status: 'ok', data: new Uint8Array(4096) });
      yield* bench.kernel.clock.sleep(1);
      expect(yield* bench.registers.read32(0x08)).toBe(RUNNING);
      yield* bench.iommu.down({ kind: 'completion', tag: read!.tag, status, data: new Uint8Array(bytes) });
      expect(yield* bench.outcome()).toBe(FAILED);
    });
    expect(bench.bytes(8 * PAGE, 8)).toEqual(new Array(8).fill(0));
  });

  it('gives reads tags that translation requests do not use', () => {
    const bench = new EngineBench().boot();
    bench.allow([2], R);
    bench.do(function* () {
      for (let i = 0; i < 40; i++) yield* bench.job({ op: CHECKSUM, source: 2 * PAGE, bytes: 8 });
    });
    const tags = bench.iommu.seen.flatMap((tlp) => (tlp.kind === 'read' ? [tlp.tag] : []));
    expect([Math.min(...tags), Math.max(...tags), new Set(tags).size]).toEqual([32, 63, 32]);
  });

  it('sends untranslated what may not be translated (ATC-4)', () => {
    const bench = new EngineBench().boot();
    bench.allow([2, 8], R | W);
    bench.iommu.attributes = 4;
    bench.put(2 * PAGE, ramp(8));
    bench.do(function* () {
      expect(yield* bench.job({ op: COPY, source: 2 * PAGE, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(bench.bytes(8 * PAGE, 8)).toEqual(ramp(8));
    const moved = bench.iommu.seen.filter((tlp) => tlp.kind === 'read' || tlp.kind === 'write');
    expect(moved).toMatchObject([
      { at: 0, pasid: 5, page: 2 },
      { at: 0, pasid: 5, page: 8 },
    ]);
  });
});

describe('invalidations that cross a job', () => {
  it('make the device translate again when they come while it waits for a translation (ATC-7)', () => {
    const bench = new EngineBench().boot();
    bench.allow([8], W);
    let crossed = false;
    bench.iommu.before = (tlp) => {
      if (tlp.kind !== 'translation-request' || crossed) return false;
      crossed = true;
      bench.kernel.spawn('iommu', function* () {
        yield* bench.iommu.invalidate(8);
        yield* bench.kernel.clock.sleep(1);
        yield* bench.iommu.handle(tlp);
      });
      return true;
    };
    bench.do(function* () {
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
    expect(bench.iommu.log()).toEqual(['translate 8 w', 'invalidate-completion', 'translate 8 w', 'write 8+0 8']);
  });

  it('are answered while the device waits for a page (ATC-9)', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => null;
    bench.do(function* () {
      yield* bench.program({ op: FILL, destination: 8 * PAGE, bytes: 8 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(1);
      yield* bench.iommu.invalidate(8);
      yield* bench.kernel.clock.sleep(1);
      expect(bench.iommu.log()).toEqual(['translate 8 w', 'request 8 2 last', 'invalidate-completion']);
      bench.allow([8], W);
      yield* bench.iommu.respond(bench.iommu.seen[1] as never, 0);
      expect(yield* bench.outcome()).toBe(DONE);
    });
  });

  it('complete only when the read that uses the line is complete (ATC-8)', () => {
    const bench = new EngineBench().boot();
    bench.allow([2], R);
    bench.iommu.before = (tlp) => tlp.kind === 'read';
    bench.do(function* () {
      yield* bench.program({ op: CHECKSUM, source: 2 * PAGE, bytes: 8 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(1);
      yield* bench.iommu.invalidate(2);
      yield* bench.kernel.clock.sleep(1);
      expect(bench.iommu.log()).toEqual(['translate 2 r', 'read 2+0 8']);
      yield* bench.iommu.handle(bench.iommu.seen[1]!);
      expect(yield* bench.outcome()).toBe(DONE);
      yield* bench.kernel.clock.sleep(1);
    });
    expect(bench.iommu.log()).toEqual(['translate 2 r', 'read 2+0 8', 'invalidate-completion']);
  });

  it('never complete before a write to the frame that was taken away, whatever the schedule (ATC-7, ATC-8)', () => {
    const written = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const bench = new EngineBench().boot();
      bench.allow([8], W);
      bench.do(function* () {
        yield* bench.program({ op: FILL, destination: 8 * PAGE, bytes: 8 });
        yield* bench.ring();
        bench.kernel.spawn('mm', function* () {
          bench.iommu.moved.set(8, 20);
          yield* bench.iommu.invalidate(8);
        });
        yield* bench.outcome();
      }, new RandomChooser(seed));
      const log = bench.iommu.log();
      const write = log.find((line) => line.startsWith('write'))!;
      written.add(write);
      if (write === 'write 8+0 8')
        expect(log.indexOf('invalidate-completion'), log.join()).toBeGreaterThan(log.indexOf(write));
    }
    expect([...written].sort()).toEqual(['write 20+0 8', 'write 8+0 8']);
  });
});
