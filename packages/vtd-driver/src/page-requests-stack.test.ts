import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';
import { describe, expect, it } from 'vitest';
import { Stack, type StackOptions } from '../test/stack.js';
import { Drain, type Master, PageRequests, type VtdParts } from './index.js';

const [READ, WRITE] = [1, 2];

/** Page requests of the device that nobody waits for: groups from `group` on. */
function* post(stack: Stack, pasid: number, page: number, group: number, perm = WRITE, last = true): Coroutine<void> {
  yield* stack.endpoint.link.up({ kind: 'page-request', pasid, prgi: group, page, perm, last });
}

/** The answers that the device got: group and code. */
function answers(stack: Stack): number[][] {
  return stack.endpoint.got.flatMap((tlp) => (tlp.kind === 'prg-response' ? [[tlp.prgi, tlp.code]] : []));
}

describe('page requests on the model', () => {
  it.each(['workers', 'thread'])(
    'are answered with the private data that they bring, by the %s (IOPF-30)',
    (handler) => {
      const stack = new Stack({ settings: { 'vtd.prq-handler': handler }, capabilities: { privateData: true } }).boot();
      stack.do(function* () {
        const { mm, page } = yield* stack.makeMm();
        const handle = yield* stack.driver.bind(stack.device, mm);
        expect(yield* stack.endpoint.access(1, page + 1)).toBe('done');
        // Each has an answer of its own; the device hears of the last of a group alone.
        yield* post(stack, 1, page, 9, READ, false);
        yield* post(stack, 1, page, 9, WRITE);
        yield* stack.kernel.clock.sleep(1000);
        yield* stack.driver.unbind(handle);
        yield* stack.core.mms.put(mm);
      });
      expect(answers(stack)).toEqual([
        [0, 0],
        [9, 0],
      ]);
      expect(stack.told(/^prq_report/)[0]).toMatch(/ private=0x5eed0000[0-9a-f]+\/0x0$/);
      expect(stack.told(/^vtd_queue_error/)).toEqual([]);
    },
  );

  it('are never left without an answer when brought data is not answered (private-data-unanswered)', () => {
    class Unanswered extends PageRequests {
      override wantsAnswer({ last }: { last: boolean }): boolean {
        return last;
      }
    }
    const responses = (Part: typeof PageRequests): number => {
      const settings = { 'vtd.prq-handler': 'thread' };
      const stack = new Stack({ settings, capabilities: { privateData: true }, parts: { PageRequests: Part } }).boot();
      stack.do(() => post(stack, 1, 0x100, 9, READ, false));
      return stack.told(/^qi_submit: page_grp_resp/).length;
    };
    expect([responses(PageRequests), responses(Unanswered)]).toEqual([1, 0]);
  });

  it('overflow the ring: every last request is answered once, by the unit or the driver (VTD-33, IOPF-15)', () => {
    const settings = { 'vtd.prq-entries': 128, 'vtd.pri-credits': 8 };
    const stack = new Stack({ settings }).boot();
    stack.do(function* () {
      const lock = yield* stack.driver.vtd.masters.lock.acquire();
      for (let i = 0; i < 200; i++) yield* post(stack, 9, 0x100, i);
      yield* stack.kernel.clock.sleep(1000);
      lock.release();
      yield* stack.kernel.clock.sleep(1000);
      yield* post(stack, 9, 0x100, 300);
    });
    const all = answers(stack);
    expect(all.map(([group]) => group).toSorted((a, b) => a! - b!)).toEqual([
      ...Array.from({ length: 200 }, (_, i) => i),
      300,
    ]);
    // Lost ones: Success, so that the device asks again; the others are of an unknown PASID.
    expect(all.filter(([, code]) => code === 0).length).toBe(200 - 127);
    expect(stack.told(/^vtd_prq_overflow/).at(-1)).toContain('cleared');
    expect(stack.hardware.registers.get(0xdc) & 3).toBe(0);
  });

  it('are not seen any more when PPR stays set, or an overflow (ppr-not-cleared, pro-not-cleared, L58)', () => {
    class Sticky extends PageRequests {
      override clearPending(): ReturnType<PageRequests['clearPending']> {
        return this.vtd.kernel.done(undefined);
      }
    }
    class Overflowed extends PageRequests {
      override *clearOverflow(): Coroutine<void> {}
    }
    const last = (Part: typeof PageRequests): boolean => {
      const settings = { 'vtd.prq-entries': 128, 'vtd.pri-credits': 8 };
      const stack = new Stack({ settings, parts: { PageRequests: Part } }).boot();
      stack.do(function* () {
        const lock = yield* stack.driver.vtd.masters.lock.acquire();
        for (let i = 0; i < 150; i++) yield* post(stack, 9, 0x100, i);
        yield* stack.kernel.clock.sleep(1000);
        lock.release();
        yield* stack.kernel.clock.sleep(1000);
        yield* post(stack, 9, 0x100, 300);
      });
      return answers(stack).some(([group, code]) => group === 300 && code === 1);
    };
    expect([PageRequests, Sticky, Overflowed].map(last)).toEqual([true, false, false]);
  });

  it('do not interrupt regardless: with hardware that does, PPR may stay set (ppr-lenient-hardware)', () => {
    class Sticky extends PageRequests {
      override clearPending(): ReturnType<PageRequests['clearPending']> {
        return this.vtd.kernel.done(undefined);
      }
    }
    const stack = new Stack({ parts: { PageRequests: Sticky } }).boot();
    stack.hardware.pageRequests.signals = () => true;
    stack.do(function* () {
      for (let i = 0; i < 3; i++) {
        yield* post(stack, 9, 0x100, i);
        yield* stack.kernel.clock.sleep(1000);
      }
    });
    expect(answers(stack)).toHaveLength(3);
  });
});

describe('an unbind with requests under way (VTD-28, L21, L22, L59)', () => {
  const observe: NonNullable<StackOptions['observe']> = (kernel, memory) => new Oracles(kernel, memory);

  /** The device stops after it has sent requests; its PASID has a new owner at once. What breaks, of 40 schedules. */
  function broken(parts: Partial<VtdParts>, settings: StackOptions['settings'] = {}): string[] {
    const found = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const gait = seed % 2 === 0 ? 'stepwise' : 'atomic';
      const stack = new Stack({ parts, settings: { ...settings, gait }, observe }).boot();
      const outcome = stack.run(function* () {
        for (let round = 0; round < 2; round++) {
          const { mm, page } = yield* stack.makeMm();
          const handle = yield* stack.driver.bind(stack.device, mm);
          // Workers may have to wait.
          stack.kernel.spawn('holder', function* () {
            const lock = yield* mm.mmapLock.write();
            yield* stack.kernel.clock.sleep(10);
            lock.release();
          });
          yield* stack.kernel.clock.sleep(1);
          for (let i = 0; i < 3; i++) yield* post(stack, handle.pasid, page + 1, 8 * round + i);
          yield* stack.driver.unbind(handle);
          if (isUnderWay(stack)) found.add('under way');
          yield* stack.core.mms.put(mm);
        }
      }, new RandomChooser(seed));
      if (outcome.end === 'violation') found.add(outcome.violation.invariant);
      else if (outcome.end !== 'finished') found.add('INV-11');
    }
    return [...found];
  }

  /** A request is in the ring, being handled, or not answered. */
  function isUnderWay(stack: Stack): boolean {
    const { iopf } = stack.driver.vtd;
    const [head, tail] = [0xc0, 0xc8].map((at) => stack.hardware.registers.get(at));
    const inRing = head !== tail || stack.hardware.pageRequests.open.length > 0;
    return inRing || iopf.work.open.size > 0 || stack.core.faults.pending.length > 0;
  }

  class Skips extends Drain {
    override *round(): Coroutine<boolean> {
      return false;
    }
  }
  class NoWorkers extends Drain {
    override *flushFaultQueue(): Coroutine<void> {}
  }
  class NoRing extends Drain {
    override *awaitRing(): Coroutine<void> {}
  }
  class WorkersFirst extends Drain {
    override *round(master: Master, pasid: number): Coroutine<boolean> {
      yield* this.flushFaultQueue(master);
      yield* this.awaitRing(master, pasid);
      yield* this.flushHardware(master, pasid);
      return false;
    }
  }

  it('leaves none to the next owner of the PASID', () => {
    expect(broken({})).toEqual([]);
    expect(broken({}, { 'vtd.prq-handler': 'thread' })).toEqual([]);
  });

  it.each([
    ['nothing is drained', Skips],
    ['unbind-no-iopf-flush', NoWorkers],
    ['no-hw-drain', NoRing],
    ['iopf-flush-before-hw-drain', WorkersFirst],
  ] as const)('leaves some when %s', (_, Part) => {
    expect(broken({ Drain: Part }).length).toBeGreaterThan(0);
  });
});
