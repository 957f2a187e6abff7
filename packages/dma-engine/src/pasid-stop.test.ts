import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { EngineBench, NAME } from '../test/engine-bench.js';
import { COPY, DONE, FILL, PAGE, R, RUNNING, ramp, STOPPED, W } from '../test/literals.js';
import { engineStop } from './tracepoints.js';

describe.each(['waits', 'marker'] as const)('a PASID stop of the kind that %s (IOPF-14)', (kind) => {
  const marker = kind === 'marker';
  const settings = { 'stop-kind': kind };
  const isMarker = { kind: 'page-request', pasid: 5, page: 0, perm: 0, last: true };

  it('is complete at once when nothing uses the PASID', () => {
    const bench = new EngineBench({ settings }).boot();
    bench.do(function* () {
      yield* bench.stop(5);
      expect(yield* bench.registers.read32(0x34)).toBe(5);
      yield* bench.stopped(5);
      yield* bench.kernel.clock.sleep(1);
    });
    expect(bench.iommu.seen).toMatchObject(marker ? [isMarker] : []);
  });

  it('ends the job that uses the PASID, and nothing more is sent for it', () => {
    const bench = new EngineBench({ settings }).boot();
    bench.iommu.answer = () => null;
    bench.do(function* () {
      yield* bench.program({ op: FILL, destination: 8 * PAGE, bytes: 2 * PAGE });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(1);
      yield* bench.stop(5);
      yield* bench.kernel.clock.sleep(1);
      // A device that waits has not stopped, since its request is not answered.
      expect(yield* bench.registers.read32(0x38)).toBe(marker ? 0x80000005 : 5);
      expect(yield* bench.registers.read32(0x08)).toBe(marker ? STOPPED : RUNNING);
      bench.allow([8, 9], W);
      yield* bench.iommu.respond(bench.iommu.seen[1] as never, 0);
      yield* bench.stopped(5);
      expect(yield* bench.outcome()).toBe(STOPPED);
      yield* bench.kernel.clock.sleep(1);
    });
    const sent = ['translate 8 w', 'request 8 2 last', ...(marker ? ['request 0 0 last'] : [])];
    expect(bench.iommu.log()).toEqual(sent);
    expect(bench.pulses).toHaveLength(1);
  });

  it('does not wait for a job with another PASID', () => {
    const bench = new EngineBench({ settings }).boot();
    bench.iommu.answer = () => null;
    bench.do(function* () {
      yield* bench.program({ op: FILL, destination: 8 * PAGE, bytes: 8, pasid: 6 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(1);
      yield* bench.stop(5);
      yield* bench.stopped(5);
      expect(yield* bench.registers.read32(0x08)).toBe(RUNNING);
      bench.allow([8], W);
      yield* bench.iommu.respond(bench.iommu.seen[1] as never, 0);
      expect(yield* bench.outcome()).toBe(DONE);
    });
  });

  it('keeps a job that comes meanwhile from sending anything', () => {
    for (const prefetch of [0, 2]) {
      const bench = new EngineBench({ settings }).boot();
      bench.do(function* () {
        yield* bench.program({ op: FILL, destination: 8 * PAGE, bytes: 8, prefetch });
        // Both writes in one step: the stop has not begun when the job does.
        bench.bus.store32(0x1000_0034, 0x8000_0005);
        bench.bus.store32(0x1000_0004, 1);
        expect(yield* bench.outcome()).toBe(STOPPED);
        yield* bench.stopped(5);
        yield* bench.kernel.clock.sleep(1);
      });
      expect(bench.iommu.log()).toEqual(marker ? ['request 0 0 last'] : []);
    }
  });

  it('lets the PASID be used again afterwards', () => {
    const bench = new EngineBench({ settings }).boot();
    bench.do(function* () {
      yield* bench.stop(5);
      yield* bench.stopped(5);
      expect(yield* bench.job({ op: FILL, destination: 8 * PAGE, bytes: 8 })).toBe(DONE);
    });
  });

  it('is complete at some time in every schedule, with the job ended as it should', () => {
    const outcomes = new Set<number>();
    for (let seed = 1; seed <= 300; seed++) {
      const bench = new EngineBench({ settings }).boot();
      bench.put(2 * PAGE, ramp(2 * PAGE));
      bench.allow([2, 3], R);
      const word = bench.kernel.footprint();
      let sentAfter = -1;
      bench.do(function* () {
        yield* bench.program({ op: COPY, source: 2 * PAGE, destination: 8 * PAGE, bytes: 2 * PAGE });
        yield* bench.ring();
        for (let i = 0; i < (seed % 10) * 10; i++) yield* bench.kernel.point(word, true);
        yield* bench.stop(5);
        yield* bench.stopped(5);
        sentAfter = bench.link.upNonPosted.numbers.length;
        outcomes.add(yield* bench.outcome());
      }, new RandomChooser(seed));
      expect(sentAfter, `seed ${seed}`).toBe(0);
      expect(bench.engine.state, `seed ${seed}`).toMatchObject({ work: null, stop: -2 });
      expect(bench.kernel.atRest).toBe(true);
    }
    expect([...outcomes].sort()).toEqual([DONE, STOPPED]);
  });

  it('is told to the trace', () => {
    const bench = new EngineBench({ settings }).boot();
    const lines: string[] = [];
    bench.kernel.trace.add({ event: ({ point, record }) => void lines.push(`${point.name}: ${point.format(record)}`) });
    bench.do(function* () {
      yield* bench.stop(5);
      yield* bench.stopped(5);
    });
    expect(lines).toEqual([`${engineStop.name}: dev=${NAME} pasid=5 kind=${kind}`]);
  });
});

describe('two stops', () => {
  it('are taken one at a time: the second is lost while the first is under way', () => {
    const bench = new EngineBench().boot();
    bench.iommu.answer = () => null;
    bench.do(function* () {
      yield* bench.program({ op: FILL, destination: 8 * PAGE, bytes: 8 });
      yield* bench.ring();
      yield* bench.kernel.clock.sleep(1);
      yield* bench.stop(5);
      yield* bench.stop(6);
      expect(yield* bench.registers.read32(0x38)).toBe(5);
      yield* bench.iommu.respond(bench.iommu.seen[1] as never, 0);
      yield* bench.stopped(5);
      yield* bench.stop(6);
      yield* bench.stopped(6);
    });
  });
});
