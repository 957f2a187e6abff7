import { type Coroutine, IommuError, Observer, type Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { KeepingHandler, pageRequest, recordingDriver } from '../../test/recording-driver.js';
import { census, nominalDevice, type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import type { CoreParts } from '../core.js';
import type { PageResponse } from '../faults.js';
import type { FaultData } from './fault-data.js';
import { FaultReports } from './fault-reports.js';

interface Bench extends SmallKernel {
  readonly answers: string[];
  readonly handler: KeepingHandler;
  readonly device: ReturnType<typeof nominalDevice>;
  readonly data: FaultData;
}

function bench(parts: Partial<CoreParts> = {}, settings: Settings = {}): Bench {
  const small = smallKernel({ parts, settings });
  const answers: string[] = [];
  const handler = new KeepingHandler();
  const device = nominalDevice(small.kernel);
  const data = small.core.faults.attach(device, recordingDriver(answers), handler);
  return { ...small, baseline: census(small.core), answers, handler, device, data };
}

/** The code of what `attempt` throws. */
function* codeOf(attempt: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* attempt;
  } catch (error) {
    return (error as IommuError).code;
  }
  return 'none';
}

function code(wanted: string): Error {
  return expect.objectContaining({ code: wanted }) as unknown as Error;
}

describe('FaultReports', () => {
  it("prints a fault and its answer exactly as the kernel's trace does", () => {
    const { core, device, log, answers, act } = bench();
    act(function* () {
      yield* core.faults.report(device, pageRequest({ address: 0xffff_860e_6000n, group: 74, needsPasid: true }));
      yield* core.faults.respond(device, { pasid: 1, group: 74, code: 0 });
      yield* core.faults.report(
        device,
        pageRequest({ pasid: null, group: 8, perm: 3, last: false, address: 0xffff_8000_0000_0000n }),
      );
      yield* core.faults.report(device, pageRequest({ pasid: null, group: 8, perm: 1, privateData: [1, 2] }));
      yield* core.faults.respond(device, { pasid: null, group: 8, code: 1 });
    });
    expect(log).toEqual([
      'dev_fault: IOMMU:0000:00:03.0 type=2 reason=0 addr=0x0000ffff860e6000 pasid=1 group=74 flags=3 prot=2',
      'dev_page_response: IOMMU:0000:00:03.0 code=0 pasid=1 group=74',
      'dev_fault: IOMMU:0000:00:03.0 type=2 reason=0 addr=0xffff800000000000 pasid=0 group=8 flags=0 prot=3',
      'dev_fault: IOMMU:0000:00:03.0 type=2 reason=0 addr=0x0000000000000000 pasid=0 group=8 flags=6 prot=1',
      'dev_page_response: IOMMU:0000:00:03.0 code=1 pasid=0 group=8',
    ]);
    expect(answers).toEqual(['0000:00:03.0: pasid 1 group 74 code 0', '0000:00:03.0: pasid null group 8 code 1']);
  });

  it('gives the driver back what a request brought with it (IOPF-30)', () => {
    const { core, act } = smallKernel({});
    const answers: PageResponse[] = [];
    const device = nominalDevice(core.kernel);
    const driver = Object.assign(recordingDriver([]), {
      *respond(_device: unknown, response: PageResponse): Coroutine<void> {
        answers.push(response);
      },
    });
    core.faults.attach(device, driver, new KeepingHandler());
    act(function* () {
      yield* core.faults.report(device, pageRequest({ group: 8, privateData: [1, 2, 3] }));
      yield* core.faults.respond(device, { pasid: null, group: 8, code: 0 });
    });
    expect(answers).toEqual([{ pasid: null, group: 8, code: 0, privateData: [1, 2, 3] }]);
  });

  it('takes page requests only (IOPF-1)', () => {
    const { core, device, handler, act } = bench();
    act(function* () {
      const fault = { type: 1, reason: 6, pasid: 1, address: 0x1000n, perm: 2 } as const;
      expect(yield* codeOf(core.faults.report(device, fault))).toBe('EOPNOTSUPP');
    });
    expect(handler.requests).toEqual([]);
  });

  it('answers a pending group once, matched by index and PASID, and nothing else (IOPF-7)', () => {
    const { core, device, answers, act } = bench();
    const answer = (about: Partial<PageResponse>): Coroutine<string> =>
      codeOf(core.faults.respond(device, { pasid: 1, group: 5, code: 0, ...about }));
    act(function* () {
      yield* core.faults.report(device, pageRequest({ group: 5, needsPasid: true, last: false }));
      expect(yield* answer({})).toBe('EINVAL');
      yield* core.faults.report(device, pageRequest({ group: 5, needsPasid: true }));
      yield* core.faults.report(device, pageRequest({ group: 5, needsPasid: true, pasid: 2 }));
      expect(yield* answer({ pasid: 3 })).toBe('EINVAL');
      expect(yield* answer({ pasid: null })).toBe('EINVAL');
      expect(yield* answer({ group: 6 })).toBe('EINVAL');
      expect(yield* answer({ pasid: 2, code: 1 })).toBe('none');
      expect(yield* answer({ pasid: 2, code: 1 })).toBe('EINVAL');
      expect(yield* answer({})).toBe('none');
      expect(yield* answer({})).toBe('EINVAL');
    });
    expect(answers).toEqual(['0000:00:03.0: pasid 2 group 5 code 1', '0000:00:03.0: pasid 1 group 5 code 0']);
  });

  it('answers groups of one index by their PASIDs, which match-ignores-pasid mixes up (IOPF-7)', () => {
    class Blind extends FaultReports {
      override matchesPasid(): boolean {
        return true;
      }
    }
    for (const [parts, left] of [
      [{}, 1],
      [{ FaultReports: Blind }, 2],
    ] as const) {
      const { core, device, act } = bench(parts);
      act(function* () {
        for (const pasid of [1, 2])
          yield* core.faults.report(device, pageRequest({ pasid, group: 5, needsPasid: true }));
        yield* core.faults.respond(device, { pasid: 2, group: 5, code: 0 });
      });
      expect(core.faults.pending.map((pending) => pending.request.pasid)).toEqual([left]);
    }
  });

  it('sends the PASID only where the request says that its answer needs it (IOPF-7)', () => {
    const { core, device, answers, act } = bench();
    act(function* () {
      yield* core.faults.report(device, pageRequest({ group: 5 }));
      yield* core.faults.respond(device, { pasid: 1, group: 5, code: 0 });
      yield* core.faults.report(device, pageRequest({ group: 6 }));
      yield* core.faults.respond(device, { pasid: null, group: 6, code: 0 });
    });
    expect(answers).toEqual(['0000:00:03.0: pasid null group 5 code 0', '0000:00:03.0: pasid null group 6 code 0']);
  });

  it('sends an answer that nobody waits for when the check is skipped (IOPF-7, respond-without-pending-check)', () => {
    class Unchecked extends FaultReports {
      override checkPending(): void {}
    }
    const { core, device, answers, act } = bench({ FaultReports: Unchecked });
    act(() => core.faults.respond(device, { pasid: 1, group: 5, code: 0 }));
    expect(answers).toHaveLength(1);
  });

  it('keeps nothing pending of a request that its handler refuses, and prints nothing', () => {
    const { core, device, handler, log, act, baseline } = bench();
    handler.refuse = new IommuError('ENOMEM', 'no group');
    act(function* () {
      expect(yield* codeOf(core.faults.report(device, pageRequest()))).toBe('ENOMEM');
    });
    expect(log).toEqual([]);
    expect(census(core)).toEqual(baseline);
  });

  it("drops the group's partial requests when there is no memory to wait for its answer (IOPF-8)", () => {
    const { core, kernel, device, handler, act } = bench();
    act(function* () {
      kernel.injection.failAt = kernel.injection.state.count + 1;
      expect(yield* codeOf(core.faults.report(device, pageRequest({ group: 9 })))).toBe('ENOMEM');
    });
    expect(handler.abandoned).toEqual([9]);
    expect(handler.requests).toEqual([]);
  });

  it('refuses a device without a handler, and one that has a handler, no IOMMU or nobody who answers (IOPF-9, IOPF-16)', () => {
    const { core, kernel, device, handler, act } = bench();
    const { faults } = core;
    const other = nominalDevice(kernel, '0000:00:04.0');
    act(function* () {
      expect(yield* codeOf(faults.report(other, pageRequest()))).toBe('ENODEV');
      expect(yield* codeOf(faults.respond(other, { pasid: 1, group: 0, code: 0 }))).toBe('ENODEV');
    });
    const driver = recordingDriver([]);
    expect(() => faults.attach(device, driver, handler)).toThrowError(code('EBUSY'));
    expect(() => faults.attach(nominalDevice(kernel, 'bare', []), driver, handler)).toThrowError(code('ENODEV'));
    expect(() => faults.attach(other, null, handler)).toThrowError(code('ENODEV'));
    kernel.injection.failAt = kernel.injection.state.count + 1;
    expect(() => faults.attach(other, driver, handler)).toThrowError(code('ENOMEM'));
  });

  it('tells the observer what was accepted and what was answered', () => {
    const { core, kernel, device, act } = bench();
    const seen: unknown[] = [];
    kernel.observer = new (class extends Observer {
      override faultAccepted(...about: unknown[]) {
        seen.push(['accepted', ...about]);
      }
      override faultAnswered(...about: unknown[]) {
        seen.push(['answered', ...about]);
      }
    })();
    act(function* () {
      yield* core.faults.report(device, pageRequest({ group: 3, pasid: null, address: 0x5000n }));
      yield* core.faults.respond(device, { pasid: null, group: 3, code: 2 });
    });
    expect(seen).toEqual([
      ['accepted', '0000:00:03.0', -1, 3, true, 5],
      ['answered', '0000:00:03.0', -1, 3, 2],
    ]);
  });

  describe('when a group runs out of time (IOPF-19)', () => {
    const settings = { 'iopf-timeout': 10 };

    it('answers it INVALID, and refuses the late answer, also when the index is in use again', () => {
      const { core, kernel, device, data, handler, answers, log, act, baseline } = bench({}, settings);
      act(function* () {
        yield* core.faults.report(device, pageRequest({ group: 5 }));
        yield* kernel.clock.sleep(9e9);
        expect(answers).toEqual([]);
        yield* kernel.clock.sleep(2e9);
        expect(answers).toEqual(['0000:00:03.0: pasid null group 5 code 1']);
        yield* core.faults.report(device, pageRequest({ group: 5 }));
        const [first, second] = handler.tickets;
        expect(yield* core.faults.answer(data, 1, 5, 0, first!)).toBe(false);
        expect(yield* core.faults.answer(data, 1, 5, 0, second!)).toBe(true);
        expect(yield* codeOf(core.faults.answer(data, 1, 5, 0, second!))).toBe('EINVAL');
      });
      expect(answers.map((answer) => answer.slice(-1))).toEqual(['1', '0']);
      expect(log).toContain('fault_timeout: IOMMU:0000:00:03.0 pasid=1 group=5: not answered within 10 s');
      expect(census(core)).toEqual(baseline);
      expect(kernel.clock.timers).toEqual([]);
    });

    it('has no limit by default, and no timer after an answer', () => {
      for (const each of [{}, settings]) {
        const { core, kernel, device, answers, act } = bench({}, each);
        act(function* () {
          yield* core.faults.report(device, pageRequest({ group: 5 }));
          expect(kernel.clock.timers).toHaveLength(each === settings ? 1 : 0);
          yield* core.faults.respond(device, { pasid: 1, group: 5, code: 0 });
          yield* kernel.clock.sleep(20e9);
        });
        expect(answers).toHaveLength(1);
      }
    });

    it('answers twice when the group stays pending (timeout-keeps-group)', () => {
      class Keeping extends FaultReports {
        override takeExpired(): void {}
      }
      const { core, kernel, device, answers, act } = bench({ FaultReports: Keeping }, settings);
      act(function* () {
        yield* core.faults.report(device, pageRequest({ group: 5 }));
        yield* kernel.clock.sleep(11e9);
        yield* core.faults.respond(device, { pasid: 1, group: 5, code: 0 });
      });
      expect(answers).toHaveLength(2);
    });
  });
});
