import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause } from '../test/harness.js';
import { isIommuError, Kernel, type Outcome, UseAfterFree } from './index.js';

function inTask(body: (kernel: Kernel) => void): { outcome: Outcome; error: unknown } {
  const kernel = new Kernel();
  let error: unknown = null;
  kernel.spawn('T1', function* () {
    yield* pause(kernel);
    try {
      body(kernel);
    } catch (thrown) {
      error = thrown;
    }
    yield* pause(kernel);
  });
  return { outcome: go(kernel), error };
}

describe('Slab', () => {
  it('gives objects the declared fields, with defaults that are not shared between numbers and texts', () => {
    const slab = new Kernel().slab('bond', { pasid: 0, name: 'none', id: 7, alive: 1, values: 2, state: 3 });
    const [a, b] = [slab.alloc({ pasid: 5, id: 8 }), slab.alloc()];
    a.name = 'first';
    a.alive = 0;
    expect([a.pasid, a.name, a.id, a.alive, a.values, a.state]).toEqual([5, 'first', 8, 0, 2, 3]);
    expect([b.pasid, b.name, b.id, b.alive, b.values, b.state]).toEqual([0, 'none', 7, 1, 2, 3]);
    expect(slab.live()).toBe(2);
  });

  it('refuses a field that was not declared', () => {
    const slab = new Kernel().slab('bond', { pasid: 0 });
    expect(() => slab.alloc({ pasd: 1 } as never)).toThrow('bond has no field pasd');
  });

  it('reports a read of a freed object with its story (L10, L35, L57, INV-9)', () => {
    const { outcome, error } = inTask((kernel) => {
      const bond = kernel.slab('bond', { pasid: 1 }).alloc();
      kernel.slabs.all[0]!.free(bond);
      bond.pasid;
    });
    expect(ending(outcome)).toBe('INV-9: bond 1 was freed by T1 at step 1; its pasid is touched');
    expect(error).toBeInstanceOf(UseAfterFree);
  });

  it('reports a write to a freed object (INV-9)', () => {
    const { outcome } = inTask((kernel) => {
      const slab = kernel.slab('bond', { pasid: 1 });
      const bond = slab.alloc();
      slab.free(bond);
      bond.pasid = 2;
    });
    expect(ending(outcome)).toMatch(/^INV-9: bond 1 was freed .* its pasid is touched$/);
  });

  it('reports a second free with both places (L53, INV-9)', () => {
    const { outcome } = inTask((kernel) => {
      const slab = kernel.slab('group', { index: 1 });
      const group = slab.alloc();
      slab.free(group);
      slab.free(group);
    });
    expect(ending(outcome)).toBe('INV-9: group 1 is freed twice (first by T1 at step 1)');
  });

  it('never recycles an object: a stale pointer does not turn into a good one (L52)', () => {
    const kernel = new Kernel();
    const slab = kernel.slab('fault', { page: 0 });
    const first = slab.alloc();
    slab.free(first);
    const second = slab.alloc({ page: 9 });
    expect(second).not.toBe(first);
    expect(() => first.page).toThrow(UseAfterFree);
    expect(second.page).toBe(9);
  });

  it('refuses to free what is of another slab', () => {
    const kernel = new Kernel();
    const [a, b] = [kernel.slab('a', { x: 0 }), kernel.slab('b', { x: 0 })];
    expect(() => a.free(b.alloc())).toThrow('what is freed as a a is none');
  });

  it('names what leaked and who allocated it', () => {
    const { outcome } = inTask((kernel) => {
      kernel.slab('mm', { users: 1 }).alloc();
      expect(kernel.slabs.counts()).toEqual([['mm', 1]]);
      expect(kernel.slabs.stories()).toEqual(['mm 1 was allocated by T1 at step 1']);
    });
    expect(outcome.end).toBe('finished');
  });

  it('finds a touch after free in some schedule, and none where a lookup takes a reference (L27)', () => {
    for (const safe of [false, true]) {
      const ends = new Set<string>();
      everySchedule((kernel) => {
        const slab = kernel.slab('mm', { users: 1 });
        const mm = slab.alloc();
        let known = true;
        const cell = kernel.footprint();
        kernel.spawn('find', function* () {
          yield* kernel.point(cell, true);
          if (!known) return;
          if (safe) mm.users++;
          yield* kernel.point(cell, true);
          if (mm.users > 5) throw new Error('nonsense');
          if (safe && --mm.users === 0) slab.free(mm);
        });
        kernel.spawn('exit', function* () {
          yield* kernel.point(cell, true);
          known = false;
          if (--mm.users === 0) slab.free(mm);
        });
        return (outcome) => ends.add(outcome.end);
      });
      expect(ends.has('violation')).toBe(!safe);
    }
  });

  it('records which field an access touches while an explorer listens', () => {
    const kernel = new Kernel();
    const slab = kernel.slab('bond', { pasid: 0, mm: 0 });
    const seen: string[] = [];
    kernel.spawn('T1', function* () {
      yield* pause(kernel);
      const [a, b] = [slab.alloc(), slab.alloc()];
      const base = kernel.footprint() - 4;
      kernel.listener = { access: (_task, what, write) => seen.push(`${what - base}${write ? '!' : ''}`) };
      a.pasid = a.mm;
      b.mm = 3;
      slab.free(b);
      kernel.listener = null;
    });
    go(kernel);
    expect(seen).toEqual(['1', '0!', '3!', '2!', '3!']);
  });
});

describe('a slab after a restore', () => {
  it('has its objects of the checkpoint alive, with their old values and contents, whatever the run did to them', () => {
    const kernel = new Kernel();
    const slab = kernel.slab('mm', { users: 1, pages: new Map<number, number>() });
    const [kept, freed] = [slab.alloc({ users: 2, pages: new Map([[1, 1]]) }), slab.alloc({ users: 3 })];
    const { restore } = kernel.checkpoints.take();
    for (let i = 0; i < 2; i++) {
      kept.users = 99;
      kept.pages.set(2, 2);
      slab.free(freed);
      slab.alloc();
      restore();
      expect([kept.users, [...kept.pages], freed.users, slab.live()]).toEqual([2, [[1, 1]], 3, 2]);
      expect(slab.alloc()).toBeDefined();
      restore();
    }
  });

  it('has dead those that the run allocated, so that a service that kept one is found', () => {
    const kernel = new Kernel();
    const slab = kernel.slab('mm', { users: 1 });
    const { restore } = kernel.checkpoints.take();
    const forgotten = slab.alloc();
    restore();
    expect(() => forgotten.users).toThrow('mm 1 was freed by the end of its run');
  });
});

describe('Injection', () => {
  it('fails the n-th allocation of any kind, once (L32, L54)', () => {
    const kernel = new Kernel();
    const [faults, groups] = [kernel.slab('fault', { page: 0 }), kernel.slab('group', { index: 0 })];
    kernel.injection.failAt = 3;
    const results = [faults, groups, faults, groups].map((slab) => {
      try {
        slab.alloc();
        return 'ok';
      } catch (error) {
        return isIommuError(error, 'ENOMEM') ? (error as Error).message : 'another error';
      }
    });
    expect(results).toEqual(['ok', 'ok', 'allocation 3 (fault) was told to fail (ENOMEM)', 'ok']);
    expect([faults.live(), groups.live()]).toEqual([1, 2]);
  });

  it('fails the n-th allocation of one kind (L54)', () => {
    const kernel = new Kernel();
    const [faults, groups] = [kernel.slab('fault', { page: 0 }), kernel.slab('group', { index: 0 })];
    Object.assign(kernel.injection, { failAt: 2, only: 'group' });
    faults.alloc();
    groups.alloc();
    faults.alloc();
    expect(() => groups.alloc()).toThrow('allocation 2 (group)');
  });

  it('counts from the beginning of each run', () => {
    const kernel = new Kernel();
    const slab = kernel.slab('fault', { page: 0 });
    slab.alloc();
    kernel.injection.failAt = 1;
    kernel.spawn('T1', function* () {
      yield* pause(kernel);
      expect(() => slab.alloc()).toThrow('told to fail');
    });
    expect(go(kernel).end).toBe('finished');
  });
});
