import { isIommuError, RandomChooser } from '@iommukit/kernel';
import { expect, it } from 'vitest';
import { census, type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import type { Core } from '../core.js';
import type { IoasidOps } from './allocator-group.js';
import { CustomAllocators } from './custom-allocators.js';
import { INVALID_IOASID, type IoasidSet } from './ioasid.js';
import { IoasidAllocator } from './ioasid-allocator.js';
import { ioasidParts } from './ioasid-table.js';

const SET: IoasidSet = { name: 'test' };

/** Two ways to one hypervisor, each with private data that goes when it is unregistered. */
function spawnAdmins(small: SmallKernel): void {
  const { kernel, core } = small;
  const guests = kernel.slab<{ from: number }>('guest', { from: 0 });
  const used = new Set<number>();
  const functions: Pick<IoasidOps, 'alloc' | 'free'> = {
    alloc(min, max, data) {
      let id = Math.max(min, (data as { from: number }).from);
      while (used.has(id)) id++;
      if (id > max) return INVALID_IOASID;
      used.add(id);
      return id;
    },
    free(id, data) {
      expect((data as { from: number }).from).toBeGreaterThan(0);
      expect(used.delete(id)).toBe(true);
    },
  };
  for (const name of ['admin 1', 'admin 2']) {
    kernel.spawn(name, function* () {
      const data = guests.alloc({ from: 10 });
      const ops: IoasidOps = { ...functions, data };
      try {
        yield* core.ioasid.custom.register(ops);
      } catch (error) {
        if (!isIommuError(error, 'EAGAIN')) throw error;
        guests.free(data);
        return;
      }
      yield* core.ioasid.custom.unregister(ops);
      guests.free(data);
    });
  }
}

function spawnUser({ kernel, core: { ioasid } }: SmallKernel): void {
  kernel.spawn('user', function* () {
    for (let i = 0; i < 4; i++) {
      yield* ioasid.lock.turn();
      const id = ioasid.alloc(SET, 1, 99, null);
      yield* ioasid.lock.turn();
      // A number is lost with the last allocator of its group (IOASID-16 f).
      if (ioasid.numbers().has(id)) ioasid.put(id);
    }
  });
}

/** How the first of `runs` random schedules that goes wrong ends, or null. */
function firstFailure(part: typeof IoasidAllocator, runs: number): string | null {
  for (let run = 0; run < runs; run++) {
    const small = smallKernel({ parts: { IoasidAllocator: part } });
    const baseline = census(small.core);
    spawnAdmins(small);
    spawnUser(small);
    const outcome = small.run(new RandomChooser(3, run));
    if (outcome.end !== 'finished') return outcome.end === 'violation' ? outcome.violation.invariant : outcome.end;
    const leaks = census(small.core).filter(([name, count]) => count !== (new Map(baseline).get(name) ?? 0));
    if (leaks.length > 0) return `left behind: ${leaks.join()}`;
  }
  return null;
}

it('allocators come and go while numbers do, and nothing is left behind (IOASID-15, IOASID-16)', () => {
  expect(firstFailure(IoasidAllocator, 400)).toBe(null);
});

it('a group that keeps the ops that left is noticed in some schedule (broken IOASID-16 d)', () => {
  class KeepsOps extends CustomAllocators {
    override repoint(): void {}
  }
  class Broken extends IoasidAllocator {
    constructor(core: Core) {
      super(core, { ...ioasidParts, CustomAllocators: KeepsOps });
    }
  }
  expect(firstFailure(Broken, 400)).toBe('INV-9');
});

it('a switch with numbers outstanding is noticed in some schedule (broken IOASID-16 b)', () => {
  class NoEmptyCheck extends CustomAllocators {
    override checkDefaultEmpty(): void {}
  }
  class Broken extends IoasidAllocator {
    constructor(core: Core) {
      super(core, { ...ioasidParts, CustomAllocators: NoEmptyCheck });
    }
  }
  expect(firstFailure(Broken, 400)).not.toBe(null);
});
