import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause } from '../test/harness.js';
import { Kernel, RandomChooser } from './index.js';

describe('GracePeriods', () => {
  it('frees nothing that a reader has found, under every schedule (L27, L57)', () => {
    everySchedule((kernel) => {
      const cell = kernel.footprint();
      const slab = kernel.slab('device', { data: 7 });
      let published: { data: number } | null = slab.alloc();
      kernel.spawn('reader', function* () {
        kernel.rcu.readLock();
        yield* kernel.point(cell, false);
        const found = published;
        yield* pause(kernel);
        if (found !== null) expect(found.data).toBe(7);
        kernel.rcu.readUnlock();
      });
      kernel.spawn('remover', function* () {
        yield* kernel.point(cell, true);
        const old = published!;
        published = null;
        yield* kernel.rcu.synchronize();
        slab.free(old);
      });
      return (outcome) => expect(ending(outcome)).toBe('finished');
    });
  });

  it('delays a callback as long as the schedule likes (L35, L57)', () => {
    const positions = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const kernel = new Kernel();
      let steps = 0;
      kernel.spawn('disable', function* () {
        kernel.rcu.call(() => positions.add(steps));
        for (; steps < 5; steps++) yield* pause(kernel);
      });
      expect(go(kernel, new RandomChooser(1, seed)).end).toBe('finished');
    }
    expect([...positions].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('waits for readers of before and not for later ones', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    kernel.spawn('early', function* () {
      kernel.rcu.readLock();
      kernel.rcu.readLock();
      kernel.rcu.call(() => log.push('callback'));
      kernel.rcu.readUnlock();
      yield* pause(kernel);
      log.push('early leaves');
      kernel.rcu.readUnlock();
      yield* kernel.clock.sleep(1);
    });
    kernel.spawn('late', function* () {
      kernel.rcu.readLock();
      yield* kernel.until(1, () => log.includes('callback'), 'the callback', 10);
      kernel.rcu.readUnlock();
    });
    // The callback runs while `late` reads; it stores nothing, so `late` looks again when its time is over.
    const outcome = go(kernel);
    expect(log).toEqual(['early leaves', 'callback']);
    expect(outcome.end).toBe('finished');
  });

  it('reports a task that sleeps in a read section (L19, INV-10)', () => {
    const kernel = new Kernel();
    kernel.spawn('T1', function* () {
      kernel.rcu.readLock();
      yield* kernel.clock.sleep(5);
    });
    expect(ending(go(kernel))).toBe('INV-10: T1 sleeps (5 ns to pass) in atomic context');
  });

  it('reports a task that waits for its own read section (INV-10)', () => {
    const kernel = new Kernel();
    kernel.spawn('T1', function* () {
      kernel.rcu.readLock();
      yield* kernel.rcu.synchronize();
    });
    expect(ending(go(kernel))).toBe('INV-10: T1 sleeps (a grace period) in atomic context');
  });

  it('reports a task that ends in a read section (INV-10)', () => {
    const kernel = new Kernel();
    kernel.spawn('T1', function* () {
      yield* pause(kernel);
      kernel.rcu.readLock();
    });
    expect(ending(go(kernel))).toBe('INV-10: T1 ended inside a read section');
  });

  it('has run every callback when a run has finished', () => {
    const kernel = new Kernel();
    let ran = 0;
    kernel.spawn('t', function* () {
      yield* pause(kernel);
      kernel.rcu.call(() => kernel.rcu.call(() => ran++));
    });
    expect(go(kernel).end).toBe('finished');
    expect([ran, kernel.rcu.pending()]).toEqual([1, 0]);
  });

  it('drops at a restore what waited in the middle of a run', () => {
    const kernel = new Kernel();
    const { restore } = kernel.checkpoints.take();
    kernel.spawn('t', function* () {
      kernel.rcu.readLock();
      kernel.rcu.call(() => expect.unreachable('its run is over'));
      kernel.violate('INV-1', 'the end');
      yield* pause(kernel);
    });
    go(kernel);
    expect(kernel.rcu.pending()).toBe(1);
    restore();
    expect(kernel.rcu.pending()).toBe(0);
    kernel.spawn('t', () => kernel.rcu.synchronize());
    expect(go(kernel).end).toBe('finished');
  });
});
