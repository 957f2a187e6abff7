import { type Coroutine, IommuError, type Outcome, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { KeepingHandler, pageRequest, recordingDriver } from '../../test/recording-driver.js';
import { census, nominalDevice, smallKernel } from '../../test/small-kernel.js';
import type { PageRequest } from '../faults.js';
import type { FaultData } from './fault-data.js';
import { FaultReports } from './fault-reports.js';

/** Takes the device off while `reports` reports are under way, in one random order. */
function race(Faults: typeof FaultReports, seed: number): { outcome: Outcome; codes: string[]; leak: boolean } {
  const { core, kernel, run } = smallKernel({ parts: { FaultReports: Faults } });
  const baseline = census(core);
  const device = nominalDevice(kernel);
  const { faults } = core;
  const data = faults.attach(device, recordingDriver([]), new KeepingHandler());
  const codes: string[] = [];
  const report = function* (): Coroutine<void> {
    try {
      yield* faults.report(device, pageRequest({ last: false }));
      codes.push('none');
    } catch (error) {
      if (!(error instanceof IommuError)) throw error;
      codes.push(error.code);
    }
  };
  kernel.spawn('irq', report);
  kernel.spawn('irq-2', report);
  kernel.spawn('remove', function* () {
    const lock = yield* data.route.lock.acquire();
    faults.detach(data);
    lock.release();
    faults.put(data);
  });
  const outcome = run(new RandomChooser(seed));
  return { outcome, codes, leak: JSON.stringify(census(core)) !== JSON.stringify(baseline) };
}

function races(Faults: typeof FaultReports): Set<string> {
  const ends = new Set<string>();
  for (let seed = 1; seed <= 200; seed++) {
    let end: string;
    try {
      const { outcome, codes, leak } = race(Faults, seed);
      end = outcome.end === 'violation' ? outcome.violation.invariant : leak ? 'leak' : codes.join();
    } catch (error) {
      end = (error as Error).name;
    }
    ends.add(end);
  }
  return ends;
}

describe('FaultData (IOPF-18)', () => {
  it('lives until the last report is through, and is freed after a grace period, in every order', () => {
    const ends = races(FaultReports);
    expect([...ends].every((end) => /^(none|ENODEV),(none|ENODEV)$/.test(end))).toBe(true);
    expect(ends).toContain('none,none');
    expect(ends).toContain('ENODEV,ENODEV');
  });

  it.each<[string, Partial<Pick<FaultReports, 'getForReport' | 'deliver'>>]>([
    [
      'report-no-ref',
      {
        *deliver(this: FaultReports, data: FaultData, request: PageRequest) {
          this.put(data);
          const lock = yield* this.lockForReport(data);
          this.take(data, request);
          lock.release();
        },
      },
    ],
    [
      'ref-from-zero',
      {
        getForReport(data: FaultData) {
          data.users++;
          return true;
        },
      },
    ],
  ])('is touched after its end with %s', (_, steps) => {
    class Broken extends FaultReports {}
    Object.assign(Broken.prototype, steps);
    const ends = races(Broken);
    expect(ends.has('INV-9') || ends.has('UseAfterFree')).toBe(true);
  });

  it('is a leak when the reference of a report is kept', () => {
    class Keeping extends FaultReports {
      override *deliver(data: FaultData, request: PageRequest): Coroutine<void> {
        const lock = yield* this.lockForReport(data);
        this.take(data, request);
        lock.release();
      }
    }
    expect(races(Keeping)).toContain('leak');
  });
});
