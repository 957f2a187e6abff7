import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause } from '../../test/harness.js';
import { Completion, Kernel, Mutex, Spinlock } from '../index.js';

describe('Spinlock', () => {
  it('keeps everybody else out, under every schedule, and loses no waiter', () => {
    everySchedule((kernel) => {
      const lock = new Spinlock(kernel, 's');
      let inside = 0;
      for (const name of ['a', 'b', 'c']) {
        kernel.spawn(name, function* () {
          yield* lock.acquire();
          expect(++inside).toBe(1);
          yield* pause(kernel);
          inside--;
          lock.release();
        });
      }
      return (outcome) => expect(outcome.end).toBe('finished');
    });
  });

  it('reports a holder that sleeps (L19, L49, INV-10)', () => {
    const kernel = new Kernel();
    const lock = new Spinlock(kernel, 'notifiers');
    const drained = new Completion(kernel, 'the request queue to drain');
    kernel.spawn('T1', function* () {
      yield* lock.acquire();
      yield* drained.wait();
      lock.release();
    });
    expect(ending(go(kernel))).toBe('INV-10: T1 sleeps (the request queue to drain) in atomic context');
  });

  it('reports a holder that takes a sleeping lock, even one that is free (L19, INV-10)', () => {
    const kernel = new Kernel();
    const [spin, sleeping] = [new Spinlock(kernel, 'table'), new Mutex(kernel, 'sva')];
    kernel.spawn('T1', function* () {
      yield* spin.acquire();
      yield* sleeping.acquire();
    });
    expect(ending(go(kernel))).toBe('INV-10: T1 takes sva, which may sleep, in atomic context');
  });

  it('lets its holder poll a register, which is no sleep (L51)', () => {
    const kernel = new Kernel();
    const lock = new Spinlock(kernel, 'queue');
    const cell = kernel.footprint();
    let consumed = false;
    kernel.spawn('driver', function* () {
      yield* lock.acquire();
      yield* kernel.until(cell, () => consumed, 'the command to be consumed');
      lock.release();
    });
    kernel.spawn('hardware', function* () {
      yield* kernel.point(cell, true);
      consumed = true;
      kernel.touch(cell, true);
    });
    expect(go(kernel).end).toBe('finished');
  });

  it('reports who releases it without holding it (INV-10)', () => {
    const kernel = new Kernel();
    const lock = new Spinlock(kernel, 'queue');
    kernel.spawn('t', function* () {
      yield* pause(kernel);
      lock.release();
    });
    expect(ending(go(kernel))).toBe('INV-10: t unlocks queue, which nobody holds');
  });
});
