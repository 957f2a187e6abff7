import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { BASE, Bench, SID } from '../test/bench.js';
import { PciBench } from '../test/pci-bench.js';
import { type OutputQueue, PageRequests } from './index.js';

const [PRIQ_PROD, PRIQ_CONS, EVENTQ_PROD, EVENTQ_CONS] = [0x100c8, 0x100cc, 0x100a8, 0x100ac];
const FLAG = 0x8000_0000;

/** More requests than the PRI queue has room for, while its thread cannot go on; then one more. */
function flood(Broken: typeof PageRequests): { bench: PciBench; lines: string[]; last: boolean } {
  const bench = new PciBench({ settings: { 'smmuv3.priq-entries': 2 }, parts: { PageRequests: Broken } }).boot();
  const { masters } = bench.driver.smmu;
  const lines: string[] = [];
  bench.kernel.trace.add({
    event: ({ point, record }) => {
      if (/^(smmu_overflow|iopf_discard)$/.test(point.name)) lines.push(point.format(record));
    },
  });
  bench.do(function* () {
    yield* bench.ask(9, 7, 0x1000, 1, false);
    yield* bench.kernel.clock.sleep(1000);
    const lock = yield* masters.lock.acquire();
    for (let i = 0; i < 6; i++) yield* bench.ask(9, i, 0x1000 + i, 1);
    yield* bench.kernel.clock.sleep(1000);
    lock.release();
    yield* bench.kernel.clock.sleep(1000);
    yield* bench.ask(9, 100, 0x2000, 1);
    yield* bench.kernel.clock.sleep(1000);
  });
  // Lost to an overflow that nobody acknowledges, it is answered by the hardware: Success.
  const last = bench.answers().find(([group]) => group === 100)?.[1] === 1;
  return { bench, lines, last };
}

describe('an overflow of the PRI queue (SMMU-33, IOPF-15, L52, L58)', () => {
  it('drops incomplete groups, is acknowledged once the queue is empty, and is over then', () => {
    const { bench, lines, last } = flood(PageRequests);
    expect(lines).toEqual(['smmuv3@9050000: PRIQ overflow detected -- requests lost', 'dev=0000:00:03.0 pages=1']);
    expect(
      [bench.bus.load32(BASE + PRIQ_PROD), bench.bus.load32(BASE + PRIQ_CONS)].map((v) => (v & FLAG) !== 0),
    ).toEqual([true, true]);
    expect(bench.driver.smmu.core.faults.byDevice.get(bench.pci)!.partial).toEqual([]);
    expect(last).toBe(true);
  });

  it('keeps the device silent for good when nobody acknowledges it (priq-overflow-not-acked)', () => {
    class Silent extends PageRequests {
      override *recover(): Coroutine<void> {
        yield* this.discardPartial();
      }
    }
    expect(flood(Silent).last).toBe(false);
  });

  it('answers every last request once, whatever is lost (INV-3)', () => {
    const { bench } = flood(PageRequests);
    const groups = bench.answers().map(([group]) => group!);
    expect(groups.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 100]);
  });
});

describe('an overflow of the event queue (SMMU-33, smmuv3.md 5.6)', () => {
  it('is said and acknowledged when the queue has been drained', () => {
    const bench = new Bench({ settings: { 'smmuv3.evtq-entries': 2 } }).boot();
    const { masters, events } = bench.driver.smmu;
    const lines: string[] = [];
    bench.kernel.trace.add({
      event: ({ point, record }) => {
        if (point.name === 'smmu_overflow') lines.push(point.format(record));
      },
    });
    bench.do(function* () {
      const lock = yield* masters.lock.acquire();
      const access = { stream: SID, ssid: 5, page: 1, offset: 0, write: false, privileged: false, exec: false };
      for (let i = 0; i < 6; i++) bench.hardware.events.report(0x0a, { ...access, page: i });
      yield* bench.kernel.clock.sleep(1000);
      expect(bench.bus.load32(BASE + EVENTQ_PROD) & FLAG).not.toBe(0);
      lock.release();
      yield* bench.kernel.clock.sleep(1000);
    });
    expect(lines).toEqual(['smmuv3@9050000: EVTQ overflow detected -- events lost']);
    expect((bench.bus.load32(BASE + EVENTQ_CONS) & FLAG) !== 0).toBe(true);
    expect(events.queue.overflowed).toBe(false);
  });
});

describe('what is drained at unbind (IOPF-28, L59)', () => {
  /** Requests come while a task flushes: is one that was in the queue before ever unhandled when the flush returns? */
  function someMissed(broken: Partial<OutputQueue>): boolean {
    const bench = new PciBench({ settings: { 'smmuv3.priq-entries': 4 } }).boot();
    const { pageRequests } = bench.driver.smmu;
    const { queue } = pageRequests;
    Object.assign(queue, broken);
    const start = bench.kernel.checkpoints.take();
    let missed = false;
    for (let seed = 1; seed <= 100; seed++) {
      start.restore();
      bench.kernel.spawn('main', function* () {
        yield* bench.ask(9, 1, 0x1000, 1);
        yield* bench.ask(9, 2, 0x1000, 1);
        const target = queue.ring.advance(queue.state.consumed, bench.bus.load32(BASE + PRIQ_PROD));
        yield* pageRequests.flush();
        missed ||= queue.state.handled < target;
      });
      bench.kernel.begin(new RandomChooser(seed));
      expect(bench.kernel.run().end).toBe('finished');
    }
    return missed;
  }

  it('is everything that the hardware had queued, the record under way included', () => {
    expect(someMissed({})).toBe(false);
  });

  it('is too little when only what the thread has seen counts (drain-one-batch)', () => {
    const seen = {
      *flushTarget(this: OutputQueue): Coroutine<number> {
        return this.state.produced;
      },
    };
    expect(someMissed(seen)).toBe(true);
  });
});

describe('stop markers (IOPF-13, L24)', () => {
  function marked(Broken: typeof PageRequests): { answers: number; faults: string[] } {
    const bench = new PciBench({ parts: { PageRequests: Broken } }).boot();
    const faults: string[] = [];
    bench.kernel.trace.add({
      event: ({ point, record }) => {
        if (point.name === 'dev_fault') faults.push(point.format(record));
      },
    });
    bench.do(() => bench.ask(3, 0, 0, 0));
    return { answers: bench.answers().length, faults };
  }

  it('are neither reported nor answered', () => {
    expect(marked(PageRequests)).toEqual({ answers: 0, faults: [] });
  });

  it('are a read of address 0 with stop-marker-reported, and answered with stop-marker-answered', () => {
    class Reported extends PageRequests {
      override isStopMarker(): boolean {
        return false;
      }
    }
    class Answered extends PageRequests {
      override *dropStopMarker(record: Uint32Array): Coroutine<void> {
        yield* this.answer(record[0]!, null, 0, 1);
      }
    }
    expect(marked(Reported).faults).toHaveLength(1);
    expect(marked(Answered).answers).toBe(1);
  });
});

describe('requests that nobody handles (IOPF-9, IOPF-24, L54, L60)', () => {
  function refused(Broken: typeof PageRequests): number[][] {
    const bench = new PciBench({ parts: { PageRequests: Broken } });
    bench.do(function* () {
      yield* bench.driver.start();
      yield* bench.ask(3, 1, 0x1000, 1, false);
      yield* bench.ask(3, 1, 0x1001, 1, true);
    });
    return bench.answers();
  }

  it('are answered INVALID, the last of a group only', () => {
    expect(refused(PageRequests)).toEqual([[1, 1, 3]]);
  });

  it('are left to wait with no-answer-on-bad and nomem-silent, and answered too often with nomem-answer-partial', () => {
    class Silent extends PageRequests {
      override *refuse(): Coroutine<void> {}
    }
    class Each extends PageRequests {
      override wantsAnswer(): boolean {
        return true;
      }
    }
    expect(refused(Silent)).toEqual([]);
    expect(refused(Each)).toHaveLength(2);
  });

  it('are answered when the report finds no memory (IOPF-8)', () => {
    const bench = new PciBench().boot();
    bench.do(function* () {
      yield* bench.ask(3, 1, 0x1000, 1, false);
      yield* bench.kernel.clock.sleep(1000);
      bench.kernel.injection.failAt = bench.kernel.injection.state.count + 1;
      yield* bench.ask(3, 1, 0x1001, 1);
      yield* bench.kernel.clock.sleep(1000);
    });
    expect(bench.answers()).toEqual([[1, 1, -1]]);
    expect(bench.driver.smmu.iopf.faults.live()).toBe(0);
  });
});
