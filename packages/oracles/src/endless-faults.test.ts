import { FairChooser, Kernel } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { EndlessFaults } from './endless-faults.js';

const SUCCESS = 0;
const INVALID = 1;

/** Runs `task`, which may tell the oracle what happens; page 7 of PASID 1 belongs to mm:1. */
function watched(task: (faults: EndlessFaults) => void) {
  const kernel = new Kernel();
  const faults = new EndlessFaults(kernel);
  faults.bound(1, 'mm:1');
  kernel.spawn('device', function* () {
    task(faults);
  });
  kernel.begin(new FairChooser());
  return kernel.run();
}

const answer = (faults: EndlessFaults, times: number, code = SUCCESS, page = 7): void => {
  for (let i = 0; i < times; i++) {
    faults.accepted('dev', 1, 3, page);
    faults.answered('dev', 1, 3, code);
  }
};

describe('EndlessFaults', () => {
  it('reports INV-6 at the fifth SUCCESS for a page whose entry did not change', () => {
    const outcome = watched((faults) => answer(faults, 5));
    expect(outcome).toMatchObject({ end: 'violation', violation: { invariant: 'INV-6' } });
  });

  it('forgets what was answered when the entry changes', () => {
    const outcome = watched((faults) => {
      answer(faults, 4);
      faults.mapped('mm:1', 7);
      answer(faults, 4);
    });
    expect(outcome.end).toBe('finished');
  });

  it('counts each page of its own, and only SUCCESS', () => {
    const outcome = watched((faults) => {
      answer(faults, 4);
      answer(faults, 4, SUCCESS, 8);
      answer(faults, 9, INVALID);
      faults.mapped('mm:2', 7);
    });
    expect(outcome.end).toBe('finished');
  });

  it('starts again when the PASID was unbound', () => {
    const outcome = watched((faults) => {
      answer(faults, 4);
      faults.unbound(1);
      answer(faults, 4);
    });
    expect(outcome.end).toBe('finished');
  });
});
