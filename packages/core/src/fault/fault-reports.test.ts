import { type Coroutine, IommuError, Observer } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { KeepingHandler, pageRequest, recordingDriver } from '../../test/recording-driver.js';
import { census, nominalDevice, type SmallKernel, smallKernel } from '../../test/small-kernel.js';

interface Bench extends SmallKernel {
  readonly answers: string[];
  readonly handler: KeepingHandler;
  readonly device: ReturnType<typeof nominalDevice>;
}

function bench(): Bench {
  const small = smallKernel();
  const answers: string[] = [];
  const handler = new KeepingHandler();
  const device = nominalDevice(small.kernel);
  small.core.faults.register(device, recordingDriver(answers), handler);
  return { ...small, answers, handler, device };
}

/** The code of what `attempt` throws. */
function* codeOf(attempt: Coroutine<void>): Coroutine<string> {
  try {
    yield* attempt;
  } catch (error) {
    return (error as IommuError).code;
  }
  return 'none';
}

describe('FaultReports', () => {
  it("prints a fault and its answer exactly as the kernel's trace does", () => {
    const { core, device, log, answers, act } = bench();
    act(function* () {
      yield* core.faults.report(device, pageRequest({ address: 0xffff_860e_6000n, group: 74 }));
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

  it('answers a pending group once, matched by index and PASID, and nothing else (IOPF-7)', () => {
    const { core, device, answers, act } = bench();
    act(function* () {
      yield* core.faults.report(device, pageRequest({ group: 5, last: false }));
      expect(yield* codeOf(core.faults.respond(device, { pasid: 1, group: 5, code: 0 }))).toBe('EINVAL');
      yield* core.faults.report(device, pageRequest({ group: 5 }));
      yield* core.faults.report(device, pageRequest({ group: 5, pasid: 2 }));
      expect(yield* codeOf(core.faults.respond(device, { pasid: 3, group: 5, code: 0 }))).toBe('EINVAL');
      expect(yield* codeOf(core.faults.respond(device, { pasid: 1, group: 6, code: 0 }))).toBe('EINVAL');
      yield* core.faults.respond(device, { pasid: 2, group: 5, code: 1 });
      yield* core.faults.respond(device, { pasid: 1, group: 5, code: 0 });
      expect(yield* codeOf(core.faults.respond(device, { pasid: 1, group: 5, code: 0 }))).toBe('EINVAL');
    });
    expect(answers).toHaveLength(2);
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

  it('refuses a device without a handler, and a second handler (IOPF-9)', () => {
    const { core, kernel, device, handler, act } = bench();
    const other = nominalDevice(kernel, '0000:00:04.0');
    act(function* () {
      expect(yield* codeOf(core.faults.report(other, pageRequest()))).toBe('ENODEV');
    });
    expect(() => core.faults.register(device, recordingDriver([]), handler)).toThrowError(
      expect.objectContaining({ code: 'EBUSY' }),
    );
    expect(() => core.faults.unregister(other)).toThrowError(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('lets go of a device only when nothing is pending (IOPF-17)', () => {
    const { core, device, act } = bench();
    act(function* () {
      yield* core.faults.report(device, pageRequest());
      expect(() => core.faults.unregister(device)).toThrowError(expect.objectContaining({ code: 'EBUSY' }));
      yield* core.faults.respond(device, { pasid: 1, group: 0, code: 0 });
      core.faults.unregister(device);
      expect(yield* codeOf(core.faults.report(device, pageRequest()))).toBe('ENODEV');
    });
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
});
