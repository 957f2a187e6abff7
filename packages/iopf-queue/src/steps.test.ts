import {
  coreParts,
  type Device,
  FAULT_RESULT,
  type FaultData,
  type Mm,
  PageFaults,
  type PageRequest,
  PERM,
  RESPONSE,
  type ResponseCode,
  type Vma,
} from '@iommukit/core';
import { type Coroutine, type Mutex, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { answeringDriver, bench, boundMm, census, codeOf, nominalDevice, pageRequest, unbound } from '../test/bench.js';
import { type IopfGroup, IopfQueue } from './index.js';

type Options = NonNullable<Parameters<typeof bench>[0]>;

/** Reports requests for pages of one mapping of 4 pages; returns the answers and the pages in the order of handling. */
function handled(options: Options, requests: (Partial<PageRequest> & { page?: number })[], perm = 3) {
  const { core, queue, device, answers, log, act } = bench(options);
  act(function* () {
    const { mm, address } = yield* boundMm(core, 4, perm);
    for (const { page = 0, ...about } of requests) {
      yield* core.faults.report(device, pageRequest({ address: address + BigInt(page * 4096), ...about }));
    }
    yield* queue.flush();
    yield* unbound(core, mm);
  });
  const pages = log
    .filter((line) => line.startsWith('handle_mm_fault'))
    .map((line) => line.split(' ')[2]!.slice(-4, -3));
  return { answers, pages, log };
}

describe('the steps of a group (L53)', () => {
  const group = [
    { page: 0, last: false },
    { page: 1, last: false },
    { page: 2, last: true },
  ];

  it('handles requests in the order of arrival (IOPF-4), which group-reverse does not', () => {
    class Reverse extends IopfQueue {
      override inOrder(each: IopfGroup) {
        return [...each.faults].reverse();
      }
    }
    const right = handled({}, group).pages;
    const wrong = handled({ Queue: Reverse }, group).pages;
    expect(wrong).toEqual([right[1], right[0], right[2]]);
  });

  it('answers the first error of a group (IOPF-5), which error-not-sticky overwrites', () => {
    class Forgetful extends IopfQueue {
      override goesOn(): boolean {
        return true;
      }
    }
    const requests = [{ page: 0, last: false }, { address: 0x1000n, last: false }, { page: 1 }];
    expect(handled({}, requests).answers).toEqual(['group 0: 1']);
    expect(handled({ Queue: Forgetful }, requests).answers).toEqual(['group 0: 0']);
  });

  it('answers once a group (IOPF-6), and is refused when each request is answered (answer-per-request)', () => {
    class Eager extends IopfQueue {
      override *handleFaults(each: IopfGroup): Coroutine<ResponseCode> {
        for (const _ of each.faults) {
          yield* this.respond(each, 0);
        }
        return yield* super.handleFaults(each);
      }
    }
    expect(handled({}, group).answers).toEqual(['group 0: 0']);
    expect(() => handled({ Queue: Eager }, group)).toThrow(/waits for no answer to group 0/);
  });

  it('takes partial requests of the same device only (IOPF-3), which match-group-only-globally does not', () => {
    class Global extends IopfQueue {
      override moveToGroup(_data: FaultData, each: IopfGroup): void {
        for (const data of this.devices.values()) super.moveToGroup(data, each);
      }
    }
    for (const [Queue, pages] of [
      [IopfQueue, 'pages=1'],
      [Global, 'pages=2'],
    ] as const) {
      const { core, kernel, queue, device, log, act } = bench({ Queue });
      const other = nominalDevice(kernel, '0000:00:04.0');
      queue.addDevice(other, answeringDriver([]));
      act(function* () {
        const { mm, address } = yield* boundMm(core, 1);
        yield* core.faults.report(other, pageRequest({ address, group: 7, last: false }));
        yield* core.faults.report(device, pageRequest({ address, group: 7 }));
        yield* queue.flush();
        yield* unbound(core, mm);
      });
      expect(log.find((line) => line.startsWith('iopf_group'))).toContain(pages);
    }
  });

  it('survives a device that uses an index again before its answer (device-reuses-index)', () => {
    const requests = [{ group: 7 }, { group: 7, page: 1 }, { group: 7, page: 2 }];
    expect(handled({}, requests).answers).toEqual(['group 7: 0', 'group 7: 0', 'group 7: 0']);
  });

  it('needs no unlinking when a group is freed (group-free-no-unlink)', () => {
    const { log } = handled({}, [...group, { page: 3 }]);
    expect(log.filter((line) => line.startsWith('iopf_group')).map((line) => line.split(' ')[4])).toEqual([
      'pages=3',
      'pages=1',
    ]);
  });
});

describe('the steps of one request (L20, L60)', () => {
  it.each<[string, Partial<IopfQueue>, Partial<PageRequest>, number, number]>([
    ['no-access-check', { allows: () => true }, { perm: PERM.EXEC }, 1, 0],
    [
      'check-last-only',
      {
        allows(this: IopfQueue, vma: Vma, request: PageRequest) {
          return !request.last || IopfQueue.prototype.allows.call(this, vma, request);
        },
      },
      { perm: PERM.EXEC, last: false },
      1,
      0,
    ],
    [
      'no-canonical-check',
      {
        isCanonical: () => true,
        pageOf: ({ address }: PageRequest) => Number((address & 0xffff_ffff_ffffn) >> 12n),
      },
      { address: 0xffff_ffff_b9d1_3000n },
      1,
      0,
    ],
    ['dead-pasid-answers-failure', { withoutMm: () => RESPONSE.FAILURE }, { pasid: 9 }, 1, 2],
  ])('answers as it must, and not as %s does', (_, steps, about, right, wrong) => {
    class Broken extends IopfQueue {}
    Object.assign(Broken.prototype, steps);
    const requests = about.last === false ? [about, {}] : [about];
    const address = about.address === undefined ? {} : { address: about.address };
    const code = (options: Options): number =>
      Number(
        handled(
          options,
          requests.map((request) => ({ ...request, ...address })),
        )
          .answers.at(-1)!
          .slice(-1),
      );
    if (about.address === undefined) expect(code({ Queue: Broken })).toBe(wrong);
    expect(code({})).toBe(right);
  });

  it('gives no address beyond the user half to the mm (PF-8, PF-9)', () => {
    const { queue } = bench();
    const canonical = (address: bigint): boolean => queue.isCanonical(pageRequest({ address }));
    expect([0n, 0xffff_ffff_f000n, 0x1_0000_0000_0000n, 0xffff_8000_0000_0000n].map(canonical)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(queue.pageOf(pageRequest({ address: 0x12_3456_7890_a000n }))).toBe(0x1_2345_6789_0a);
  });

  it('leaves a group of a dead PASID without its answer when that is dropped (dead-pasid-unanswered)', () => {
    class Silent extends IopfQueue {
      override *respond(group: IopfGroup, code: ResponseCode): Coroutine<void> {
        if (code === RESPONSE.SUCCESS) yield* super.respond(group, code);
      }
    }
    expect(handled({}, [{ pasid: 9 }]).answers).toHaveLength(1);
    expect(handled({ Queue: Silent }, [{ pasid: 9 }]).answers).toHaveLength(0);
  });

  it('answers an error of the mm INVALID, which mm-error-ignored does not (PF-4)', () => {
    class OutOfMemory extends PageFaults {
      override *handleMmFault(): Coroutine<number> {
        return FAULT_RESULT.OOM;
      }
    }
    class Ignoring extends IopfQueue {
      override *askMm(mm: Mm, vma: Vma, page: number, request: PageRequest): Coroutine<ResponseCode> {
        yield* super.askMm(mm, vma, page, request);
        return RESPONSE.SUCCESS;
      }
    }
    const parts = { ...coreParts, PageFaults: OutOfMemory };
    expect(handled({ parts }, [{}]).answers).toEqual(['group 0: 1']);
    expect(handled({ parts, Queue: Ignoring }, [{}]).answers).toEqual(['group 0: 0']);
  });

  it('has the driver forget each page of a group before it answers SUCCESS, if asked to (MN-14)', () => {
    for (const settings of [{}, { upgrade: 'flush-before-response' }]) {
      const { core, queue, device, answers, act } = bench({ settings });
      const driver = core.faults.byDevice.get(device)!.route.driver;
      Object.assign(driver, {
        *flushPage(_device: unknown, { address }: PageRequest): Coroutine<void> {
          answers.push(`page ${address & 0xffffn}`);
        },
      });
      act(function* () {
        const { mm, address } = yield* boundMm(core, 2);
        yield* core.faults.report(device, pageRequest({ address, last: false }));
        yield* core.faults.report(device, pageRequest({ address: address + 4096n }));
        yield* core.faults.report(device, pageRequest({ group: 1 }));
        yield* queue.flush();
        yield* unbound(core, mm);
      });
      const pages = Object.keys(settings).length === 0 ? [] : ['page 20480', 'page 24576'];
      expect(answers.toSorted()).toEqual(['group 0: 0', 'group 1: 1', ...pages]);
    }
  });
});

describe('the steps of a discard (L52, IOPF-10, IOPF-15)', () => {
  /** A queue overflows while another task reports; another queue has partial requests. */
  function discard(Queue: typeof IopfQueue, seed: number): string {
    const { core, kernel, queue, device, log, run, baseline } = bench({ Queue });
    const elsewhere = new IopfQueue(core, 'other');
    const other = nominalDevice(kernel, '0000:00:04.0');
    elsewhere.addDevice(other, answeringDriver([]));
    kernel.spawn('irq', function* () {
      const { mm, address } = yield* boundMm(core, 1);
      yield* core.faults.report(other, pageRequest({ address, group: 7, last: false }));
      for (let i = 0; i < 2; i++) yield* core.faults.report(device, pageRequest({ address, group: 7, last: false }));
      let discarded = false;
      kernel.spawn('flush', function* () {
        yield* queue.discardPartial();
        discarded = true;
      });
      yield* core.faults.report(device, pageRequest({ address, group: 7 }));
      while (!discarded) yield* kernel.clock.sleep(1);
      yield* core.faults.report(device, pageRequest({ address, group: 7 }));
      yield* core.faults.report(other, pageRequest({ address, group: 7 }));
      yield* queue.flush();
      yield* elsewhere.flush();
      yield* unbound(core, mm);
    });
    let end: string;
    try {
      const outcome = run(new RandomChooser(seed));
      end = outcome.end === 'violation' ? outcome.violation.invariant : outcome.end;
    } catch (error) {
      end = (error as Error).name;
    }
    if (end !== 'finished') return end;
    if (!log.some((line) => /iopf_group: dev=0000:00:04.0 .* pages=2/.test(line))) return 'other queue';
    const names = new Set(['iopf fault', 'iopf group', 'pending group'].map((name) => `slab ${name}`));
    const left = census(core).filter(([name, count]) => names.has(name) && count > 0);
    return left.length === 0 && baseline.length > 0 ? '' : 'leak';
  }

  function ends(Queue: typeof IopfQueue): Set<string> {
    const found = new Set<string>();
    for (let seed = 1; seed <= 100; seed++) found.add(discard(Queue, seed));
    return found;
  }

  it('drops incomplete groups of its own devices, while nobody adds to them', () => {
    expect(ends(IopfQueue)).toEqual(new Set(['']));
  });

  it('moves freed requests into the next group without unlinking (discard-no-unlink)', () => {
    class NoUnlink extends IopfQueue {
      override unlinkDropped(): void {}
    }
    const found = ends(NoUnlink);
    expect(found.has('INV-9') || found.has('UseAfterFree')).toBe(true);
  });

  it("frees what a report has moved without the device's lock (discard-no-lock)", () => {
    class NoLock extends IopfQueue {
      override *lockForDiscard(): Coroutine<Mutex | null> {
        return null;
      }
    }
    const found = ends(NoLock);
    expect(found.has('INV-9') || found.has('UseAfterFree')).toBe(true);
  });

  it('drops requests of queues that never overflowed with discard-other-queues', () => {
    class All extends IopfQueue {
      override *discardPartial(): Coroutine<void> {
        for (const data of this.core.faults.byDevice.values()) yield* (data.route.handler as IopfQueue).discardOf(data);
      }
    }
    expect(ends(All)).toContain('other queue');
  });
});

describe('the locks of a flush (L56, IOPF-21)', () => {
  function flushed(Queue: typeof IopfQueue, seed: number): string {
    const { core, kernel, queue, device, run } = bench({ Queue });
    kernel.spawn('irq', function* () {
      const { mm, address } = yield* boundMm(core, 1);
      yield* core.faults.report(device, pageRequest({ address, group: 1 }));
      yield* queue.flush(device);
      yield* unbound(core, mm);
    });
    return run(new RandomChooser(seed)).end;
  }

  it('ends, as it holds nothing that answering needs; flush-under-device-lock does not', () => {
    class Locked extends IopfQueue {
      override *flush(device: Device | null = null): Coroutine<void> {
        const lock = yield* this.devices.get(device!)!.route.lock.acquire();
        yield* super.flush(device);
        lock.release();
      }
    }
    const [right, wrong] = [new Set<string>(), new Set<string>()];
    for (let seed = 1; seed <= 40; seed++) {
      right.add(flushed(IopfQueue, seed));
      wrong.add(flushed(Locked, seed));
    }
    expect(right).toEqual(new Set(['finished']));
    expect(wrong).toContain('deadlock');
  });
});

describe('the steps without memory (L54, IOPF-8)', () => {
  it('keeps incomplete groups that never end with nomem-keep-partials', () => {
    class Keeping extends IopfQueue {
      override dropWithoutMemory(): void {}
    }
    for (const [Queue, left] of [
      [IopfQueue, 0],
      [Keeping, 1],
    ] as const) {
      const { core, kernel, queue, device, act } = bench({ Queue });
      act(function* () {
        yield* core.faults.report(device, pageRequest({ last: false }));
        kernel.injection.only = 'iopf group';
        kernel.injection.failAt = kernel.injection.state.count + 1;
        expect(yield* codeOf(core.faults.report(device, pageRequest()))).toBe('ENOMEM');
      });
      expect(queue.faults.live()).toBe(left);
    }
  });
});
