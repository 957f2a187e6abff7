import { coreParts, FaultReports } from '@iommukit/core';
import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { type Bench, bench, boundMm, census, live, pageRequest, unbound } from '../test/bench.js';
import { type IopfGroup, IopfQueue } from './index.js';

/** A device is taken off its queue while groups are queued and being handled. Returns what went wrong, or ''. */
function removeWhileBusy(options: Parameters<typeof bench>[0], seed: number): string {
  const bench_: Bench = bench(options);
  const { core, kernel, queue, device, answers, log, run, baseline } = bench_;
  const accepted: number[] = [];
  kernel.spawn('irq', function* () {
    const { mm, address } = yield* boundMm(core, 4);
    kernel.spawn('remove', () => queue.removeDevice(device));
    for (let group = 0; group < 4; group++) {
      try {
        yield* core.faults.report(device, pageRequest({ address: address + BigInt(group * 4096), group }));
        accepted.push(group);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENODEV' });
      }
    }
    yield* queue.flush();
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
  const groups = answers.map((answer) => Number(answer[6])).sort();
  if (groups.join() !== accepted.join()) return `answered ${groups.join()}, accepted ${accepted.join()}`;
  const late = log.filter((line) => line.startsWith('iopf_late')).length;
  expect(late).toBeLessThanOrEqual(answers.filter((answer) => answer.endsWith('1')).length);
  const left = { ...live(census(core)), 'slab fault data': 1 };
  return JSON.stringify(left) === JSON.stringify(live(baseline)) ? '' : 'leak';
}

function ends(options: Parameters<typeof bench>[0]): Set<string> {
  const found = new Set<string>();
  for (let seed = 1; seed <= 150; seed++) found.add(removeWhileBusy(options, seed));
  return found;
}

describe('removing a device from a queue at any moment (IOPF-17, IOPF-18, L55, L57)', () => {
  it('answers every group that was accepted exactly once, INVALID where its worker came too late', () => {
    expect(ends({})).toEqual(new Set(['']));
  });

  it('has a worker answer what the removal answered already, and that answer does nothing', () => {
    const { core, queue, device, answers, log, act } = bench();
    act(function* () {
      const { mm, address } = yield* boundMm(core, 1);
      yield* core.faults.report(device, pageRequest({ address, group: 6 }));
      yield* queue.removeDevice(device);
      expect(answers).toEqual(['group 6: 1']);
      yield* queue.flush();
      yield* unbound(core, mm);
    });
    expect(answers).toEqual(['group 6: 1']);
    expect(log).toContain('iopf_late: dev=0000:00:03.0 pasid=1 group=6 code=0');
  });

  it('answers twice when the pending record stays with the handler (remove-without-flush)', () => {
    class Keeping extends FaultReports {
      override takeRemoved(): void {}
    }
    const found = ends({ parts: { ...coreParts, FaultReports: Keeping } });
    expect([...found].some((end) => end.startsWith('answered'))).toBe(true);
  });

  it('touches freed data in a worker when a group holds no reference (group-no-ref)', () => {
    class NoReference extends IopfQueue {
      override keepsData(): boolean {
        return false;
      }
    }
    const found = ends({ Queue: NoReference });
    expect(found.has('INV-9') || found.has('UseAfterFree')).toBe(true);
  });

  it('passes when the list of a removed device is freed without unlinking (remove-free-no-unlink)', () => {
    class NoUnlink extends IopfQueue {
      override unlinkRemoved(): void {}
    }
    const { core, kernel, queue, device, act } = bench({ Queue: NoUnlink });
    act(function* () {
      const { mm, address } = yield* boundMm(core, 1);
      for (let i = 0; i < 3; i++) yield* core.faults.report(device, pageRequest({ address, last: false }));
      yield* queue.removeDevice(device);
      yield* unbound(core, mm);
      yield* kernel.rcu.synchronize();
    });
    expect(queue.faults.live()).toBe(0);
  });

  it('frees a last request with its group only (free-last-separately)', () => {
    class Twice extends IopfQueue {
      override freeGroup(group: IopfGroup): void {
        const last = group.faults.at(-1);
        super.freeGroup(group);
        if (last !== undefined) this.faults.free(last);
      }
    }
    const { core, kernel, device, run } = bench({ Queue: Twice });
    kernel.spawn('irq', function* () {
      const { address } = yield* boundMm(core, 2);
      yield* core.faults.report(device, pageRequest({ address, last: false }));
      yield* core.faults.report(device, pageRequest({ address }));
    });
    expect(run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });
});
