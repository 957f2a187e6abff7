import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AsidStep, brokenPromise } from '../../test/asid-model.js';
import { AsidAllocator, type Mm } from '../index.js';

const steps = fc.array(
  fc.record<AsidStep>({
    do: fc.constantFrom('enter', 'enter', 'enter', 'enter', 'pin', 'unpin'),
    cpu: fc.nat(3),
    mm: fc.nat(11),
  }),
  { minLength: 1, maxLength: 120 },
);
const machine = fc.record({
  spare: fc.nat(4),
  cpus: fc.integer({ min: 1, max: 4 }),
  kpti: fc.boolean(),
  kptiBuilt: fc.boolean(),
});

/** The first broken promise that random programs show, or null. */
function search(part: typeof AsidAllocator, runs: number): string | null {
  let found: string | null = null;
  fc.check(
    fc.property(machine, steps, ({ spare, cpus, kpti, kptiBuilt }, program) => {
      // As few numbers as are allowed, and a few more.
      const asids = (cpus + 2 + spare) * (kpti ? 2 : 1);
      found = brokenPromise({ asids, cpus }, program, { cpu: { kpti, kptiBuilt }, parts: { AsidAllocator: part } });
      return found === null;
    }),
    { numRuns: runs, seed: 47, endOnFailure: true },
  );
  return found;
}

describe('AsidAllocator', () => {
  it('never tags two mms alike, never changes a pinned number, always finds one for a CPU (ASID-1 … ASID-10)', () => {
    expect(search(AsidAllocator, 3000)).toBeNull();
  });

  // Each mutant overrides one step, and is seen within 500 random programs.
  const mutants: Record<string, typeof AsidAllocator> = {
    'every context is of this generation (ASID-2)': class extends AsidAllocator {
      override matches(context: number): boolean {
        return context !== 0;
      }
    },
    'the fast path does not look at the active context (ASID-3)': class extends AsidAllocator {
      override switchFast(cpu: number, mm: Mm): boolean {
        if (!this.matches(mm.asidContext)) return false;
        this.active[cpu] = mm.asidContext;
        return true;
      }
    },
    'a CPU does not flush after a roll-over (ASID-4)': class extends AsidAllocator {
      override flushStale(): void {}
    },
    'reserved slots are not renewed (ASID-5)': class extends AsidAllocator {
      override renewReserved(): boolean {
        return false;
      }
    },
    'an old number is taken back without a look (ASID-5)': class extends AsidAllocator {
      override take(asid: number): boolean {
        this.used.add(asid);
        return true;
      }
    },
    'a roll-over forgets what CPUs run with (ASID-6)': class extends AsidAllocator {
      override reserve(cpu: number): void {
        this.active[cpu] = 0;
      }
    },
    'a second roll-over forgets a CPU that did not switch (ASID-6)': class extends AsidAllocator {
      override reserve(cpu: number): void {
        if (this.active[cpu] === 0) this.reserved[cpu] = 0;
        super.reserve(cpu);
      }
    },
    'pins have no limit (ASID-8)': class extends AsidAllocator {
      override mostPins(): number {
        return Number.POSITIVE_INFINITY;
      }
    },
    'a pinned number is not marked (ASID-9)': class extends AsidAllocator {
      override markPinned(): void {}
    },
    'a pin does not hold (ASID-10)': class extends AsidAllocator {
      override isPinned(): boolean {
        return false;
      }
    },
  };
  for (const [what, part] of Object.entries(mutants)) {
    it(`is found out when ${what}`, () => {
      expect(search(part, 500)).toBeTypeOf('string');
    });
  }
});
