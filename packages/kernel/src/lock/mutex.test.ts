import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause, Script } from '../../test/harness.js';
import { Kernel, Mutex } from '../index.js';

describe('Mutex', () => {
  it('keeps everybody else out, under every schedule of three tasks, and loses no waiter', () => {
    const schedules = everySchedule((kernel) => {
      const mutex = new Mutex(kernel, 'm');
      let inside = 0;
      for (const name of ['a', 'b', 'c']) {
        kernel.spawn(name, function* () {
          const lock = yield* mutex.acquire();
          expect(++inside).toBe(1);
          yield* pause(kernel);
          inside--;
          lock.release();
        });
      }
      return (outcome) => expect(outcome.end).toBe('finished');
    });
    expect(schedules).toBeGreaterThan(50);
  });

  it('wakes the longest waiter first', () => {
    const kernel = new Kernel();
    const mutex = new Mutex(kernel, 'm');
    const order: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      kernel.spawn(name, function* () {
        const lock = yield* mutex.acquire();
        yield* pause(kernel);
        order.push(name);
        lock.release();
      });
    }
    // c asks before b while a holds it.
    go(kernel, new Script('a', 'a', 'c', 'c', 'b', 'b'));
    expect(order).toEqual(['a', 'c', 'b']);
  });

  it('lets a passer-by take it before the task that was woken runs, which then waits on', () => {
    const kernel = new Kernel();
    const mutex = new Mutex(kernel, 'm');
    const order: string[] = [];
    const taker = (name: string, times: number) =>
      function* () {
        for (let i = 0; i < times; i++) {
          const lock = yield* mutex.acquire();
          yield* pause(kernel);
          order.push(name);
          lock.release();
        }
      };
    kernel.spawn('a', taker('a', 2));
    kernel.spawn('b', taker('b', 1));
    expect(go(kernel, new Script('a', 'a', 'b', 'a', 'a', 'a')).end).toBe('finished');
    expect(order).toEqual(['a', 'a', 'b']);
  });

  it('reports who releases it without holding it (INV-10)', () => {
    const kernel = new Kernel();
    const mutex = new Mutex(kernel, 'sva');
    kernel.spawn('owner', function* () {
      yield* mutex.acquire();
      yield* kernel.clock.sleep(10);
    });
    kernel.spawn('stranger', function* () {
      yield* pause(kernel);
      mutex.release();
    });
    expect(ending(go(kernel))).toBe('INV-10: stranger unlocks sva, which owner holds');
  });

  it('reports a task that ends with it (INV-10)', () => {
    const kernel = new Kernel();
    const mutex = new Mutex(kernel, 'sva');
    kernel.spawn('t', function* () {
      yield* mutex.acquire();
    });
    expect(ending(go(kernel))).toBe('INV-10: t ended holding sva');
  });

  it('is free again after a restore in the middle of a run', () => {
    const kernel = new Kernel();
    const mutex = new Mutex(kernel, 'm');
    const { restore } = kernel.checkpoints.take();
    const stuck = (): string => {
      kernel.spawn('t', function* () {
        yield* mutex.acquire();
        yield* kernel.park('for good');
      });
      kernel.spawn('u', function* () {
        yield* mutex.acquire();
      });
      return ending(go(kernel));
    };
    const first = stuck();
    expect(first).toBe('deadlock: t waits for for good; u waits for the m lock (t)');
    restore();
    expect(mutex.owner).toBeNull();
    expect(stuck()).toBe(first);
  });
});
