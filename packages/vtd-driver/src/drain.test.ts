import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, type BenchOptions } from '../test/bench.js';
import { RequestRing } from '../test/request-ring.js';
import { Drain, type Master } from './index.js';

const DEVICE_EVERYTHING = 'q 500180008 7ffffffffffff800 0 0';

interface Drained {
  readonly bench: Bench;
  readonly ring: RequestRing;
  readonly master: Master;
}

function drained(options: BenchOptions = {}): Drained {
  const bench = new Bench(options).boot();
  return { bench, ring: new RequestRing(bench), master: bench.driver.vtd.masters.of(bench.device) };
}

describe('Drain (VTD-28, IOPF-23)', () => {
  it('sends a fence, the IOTLB, the device TLB, and a wait that drains page requests (VTD-28c)', () => {
    const { bench, master } = drained();
    const { drain } = bench.driver.vtd;
    bench.do(() => drain.run(master, 5));
    const lines = bench.unit.take().map((line) => line.replace(/(a5) [0-9a-f]+/, '$1 status'));
    // Before the ring is looked at, what the unit holds is in it.
    expect(lines).toEqual(['q 2000000a5 status 0 0', 'q 500010026 0 0 0', DEVICE_EVERYTHING, 'q 2000000a5 status 0 0']);
    const { queue } = bench.driver.vtd;
    expect(bench.unit.word(queue.addressOf(queue.state.produced - 4))).toBe(0x0000_0002_0000_0045n);
  });

  it('of PASID 0 drops the domain, and what the device holds without PASID (VTD-28c)', () => {
    const { bench, master } = drained();
    const { drain, dmaDomains } = bench.driver.vtd;
    bench.do(function* () {
      yield* bench.disableSva(bench.device);
      const domain = yield* dmaDomains.alloc(master);
      yield* dmaDomains.attach(master, domain);
      yield* bench.driver.enable(bench.device, 'iopf');
      bench.unit.log.length = 0;
      yield* drain.run(master, 0);
    });
    expect(bench.unit.take().slice(1, 3)).toEqual(['q 200e2 0 0 0', 'q 1800000003 7ffffffffffff001 0 0']);
  });

  it('is skipped where the device has no page faults (VTD-29)', () => {
    const { bench, master } = drained();
    bench.do(function* () {
      yield* bench.disableSva(bench.device);
      bench.unit.log.length = 0;
      yield* bench.driver.vtd.drain.run(master, 5);
    });
    expect(bench.unit.take()).toEqual([]);
  });

  /** A request is in the ring and the thread held up while somebody drains. Was it handled when the drain returned? */
  function handledFirst(asked: { rid?: number; pasid?: number }, wanted: number, Broken = Drain): boolean {
    const { bench, ring, master } = drained({ parts: { Drain: Broken } });
    const { drain, masters, pageRequests } = bench.driver.vtd;
    let handled = false;
    bench.kernel.spawn('drainer', function* () {
      yield* bench.kernel.clock.sleep(1000);
      yield* drain.run(master, wanted);
      handled = pageRequests.state.sequence > 0;
    });
    bench.do(function* () {
      const lock = yield* masters.lock.acquire();
      ring.ask(asked);
      yield* bench.kernel.clock.sleep(5000);
      lock.release();
    });
    return handled;
  }

  it('waits for requests of this device and PASID that are in the ring (VTD-28a)', () => {
    expect(handledFirst({ pasid: 5 }, 5)).toBe(true);
  });

  it("does not wait for another PASID's, or another device's (drain-ignores-device)", () => {
    expect(handledFirst({ pasid: 6 }, 5)).toBe(false);
    expect(handledFirst({ rid: 0x20, pasid: 5 }, 5)).toBe(false);
    class AnyDevice extends Drain {
      override matches(_master: Master, wanted: number, _rid: number, pasid: number | null): boolean {
        return pasid === wanted;
      }
    }
    // Another device's request is refused, so it is no report; the drain waits for it all the same.
    const { bench, ring, master } = drained({ parts: { Drain: AnyDevice } });
    const { drain, masters } = bench.driver.vtd;
    let through = false;
    bench.kernel.spawn('drainer', function* () {
      yield* bench.kernel.clock.sleep(1000);
      yield* drain.run(master, 5);
      through = true;
    });
    bench.do(function* () {
      const lock = yield* masters.lock.acquire();
      ring.ask({ rid: 0x20, pasid: 5 });
      yield* bench.kernel.clock.sleep(5000);
      expect(through).toBe(false);
      lock.release();
    });
  });

  it('waits for requests without PASID when those are drained (drain-skips-no-pasid)', () => {
    expect(handledFirst({ pasid: -1 }, 0)).toBe(true);
    expect(handledFirst({ pasid: -1 }, 5)).toBe(false);
    class Skips extends Drain {
      override matches(master: Master, wanted: number, rid: number, pasid: number | null): boolean {
        return pasid !== null && super.matches(master, wanted, rid, pasid);
      }
    }
    expect(handledFirst({ pasid: -1 }, 0, Skips)).toBe(false);
  });

  it('of the whole device waits for every PASID', () => {
    expect([handledFirst({ pasid: 9 }, -1), handledFirst({ pasid: -1 }, -1)]).toEqual([true, true]);
  });

  /** Drains at every moment of a pass; the number of schedules that hang. */
  function hangs(Broken: typeof Drain): number {
    const { bench, ring, master } = drained({ parts: { Drain: Broken } });
    const { drain } = bench.driver.vtd;
    const start = bench.kernel.checkpoints.take();
    const registers = new Map(bench.unit.registers);
    let hung = 0;
    for (let seed = 1; seed <= 60; seed++) {
      start.restore();
      registers.forEach((value, key) => {
        bench.unit.registers.set(key, value);
      });
      bench.kernel.spawn('asker', function* () {
        ring.ask({ pasid: 5 });
        yield* drain.run(master, 5);
      });
      bench.kernel.begin(new RandomChooser(seed));
      if (bench.kernel.run().end !== 'finished') hung++;
    }
    return hung;
  }

  it('misses no end of a pass, whenever it comes', () => {
    expect(hangs(Drain)).toBe(0);
  });

  it('hangs when passes count only once it waits (drain-late-reinit)', () => {
    class Late extends Drain {
      override awaitPass(_mark: number): Coroutine<void> {
        return super.awaitPass(this.rearm());
      }
    }
    expect(hangs(Late)).toBeGreaterThan(0);
  });

  it('begins again when requests were lost meanwhile, once the thread has cleared that (VTD-28d)', () => {
    const rounds = (Broken: typeof Drain): number => {
      let count = 0;
      class Counted extends Broken {
        override *flushHardware(master: Master, pasid: number): Coroutine<void> {
          if (count++ === 0) {
            ring.overflow();
            yield* this.vtd.kernel.clock.sleep(1000);
          }
          yield* super.flushHardware(master, pasid);
        }
      }
      const { bench, ring, master } = drained({ parts: { Drain: Counted } });
      bench.do(() => bench.driver.vtd.drain.run(master, 5));
      expect(ring.overflowed).toBe(false);
      return count;
    };
    expect(rounds(Drain)).toBe(2);
    class Once extends Drain {
      override *mustRepeat(_overflows: number): Coroutine<boolean> {
        return false;
      }
    }
    expect(rounds(Once)).toBe(1);
  });

  it('waits for what is being handled, and not only for the ring (drain-ring-only)', () => {
    const pendingAfter = (Broken: typeof Drain): number => {
      const { bench, ring, master } = drained({ parts: { Drain: Broken } });
      let pending = -1;
      bench.do(function* () {
        const { mm, va } = yield* bench.makeMm();
        const handle = yield* bench.driver.bind(bench.device, mm);
        bench.kernel.spawn('holder', function* () {
          const lock = yield* mm.mmapLock.write();
          yield* bench.kernel.clock.sleep(3000);
          lock.release();
        });
        yield* bench.kernel.clock.sleep(1000);
        ring.ask({ pasid: handle.pasid, address: va });
        yield* bench.kernel.clock.sleep(1000);
        yield* bench.driver.vtd.drain.run(master, handle.pasid);
        pending = bench.core.faults.pending.length;
        yield* bench.kernel.clock.sleep(5000);
        yield* bench.driver.unbind(handle);
        yield* bench.core.mms.put(mm);
      });
      return pending;
    };
    expect(pendingAfter(Drain)).toBe(0);
    class RingOnly extends Drain {
      override *round(master: Master, pasid: number): Coroutine<boolean> {
        yield* this.awaitRing(master, pasid);
        return false;
      }
    }
    expect(pendingAfter(RingOnly)).toBe(1);
  });

  it('is a violation from the thread that it waits for (prq-thread-unbinds, INV-10)', () => {
    const { bench, ring } = drained({ settings: { 'vtd.prq-handler': 'thread' } });
    const { threadFaults } = bench.driver.vtd;
    const outcome = bench.run(function* () {
      const { mm, va } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      threadFaults.setCallback(bench.device, () => bench.driver.unbind(handle));
      ring.ask({ pasid: handle.pasid, address: va });
      yield* bench.kernel.clock.sleep(10_000);
    });
    expect(outcome).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10' } });
  });

  it('comes at unbind after the entry is gone, and before the PASID is (VTD-21, SVA-12)', () => {
    const { bench } = drained();
    const seen: unknown[] = [];
    class Watched extends Drain {
      override *run(master: Master, pasid: number): Coroutine<void> {
        seen.push([pasid, bench.entry(pasid).length, bench.core.ioasid.inUse()]);
        yield* super.run(master, pasid);
      }
    }
    Object.setPrototypeOf(bench.driver.vtd.drain, Watched.prototype);
    bench.do(function* () {
      const { mm } = yield* bench.makeMm();
      const handle = yield* bench.driver.bind(bench.device, mm);
      yield* bench.driver.unbind(handle);
      yield* bench.core.mms.put(mm);
    });
    expect(seen).toEqual([[1, 0, 1]]);
  });
});
