import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go } from '../test/harness.js';
import { Completion, Kernel, WaitQueue } from './index.js';

describe('WaitQueue', () => {
  it('loses no wake-up: whoever changes the condition and wakes ends every wait, under every schedule', () => {
    everySchedule((kernel) => {
      const queue = new WaitQueue(kernel, 'two');
      let value = 0;
      kernel.spawn('waiter', () => queue.wait(() => value === 2));
      for (const name of ['a', 'b']) {
        kernel.spawn(name, function* () {
          yield* kernel.point(queue.footprint, true);
          value++;
          queue.wake();
        });
      }
      return (outcome) => expect(ending(outcome)).toBe('finished');
    });
  });

  it('does not wake a task that somebody else woke and that waits elsewhere now', () => {
    const kernel = new Kernel();
    const [first, second] = [new WaitQueue(kernel, 'first'), new WaitQueue(kernel, 'second')];
    let [one, looks] = [false, 0];
    const waiter = kernel.spawn('waiter', function* () {
      yield* first.wait(() => one);
      yield* second.wait(() => ++looks > 1);
    });
    kernel.spawn('t', function* () {
      one = true;
      kernel.wake(waiter);
      yield* kernel.clock.sleep(1);
      first.wake();
      yield* kernel.clock.sleep(1);
    });
    expect(ending(go(kernel))).toBe('deadlock: waiter waits for second');
    expect(looks).toBe(1);
  });

  it('wakes an `until` on its footprint too', () => {
    const kernel = new Kernel();
    const queue = new WaitQueue(kernel, 'it');
    let over = false;
    kernel.spawn('poller', function* () {
      yield* kernel.until(queue.footprint, () => over, 'it');
    });
    kernel.spawn('t', function* () {
      yield* kernel.point(queue.footprint, true);
      over = true;
      queue.wake();
    });
    expect(go(kernel).end).toBe('finished');
  });
});

describe('Completion', () => {
  it('lets every waiter go on, however early it was completed', () => {
    everySchedule((kernel) => {
      const done = new Completion(kernel, 'it');
      kernel.spawn('a', () => done.wait());
      kernel.spawn('b', () => done.wait());
      kernel.spawn('c', function* () {
        yield* kernel.point(done.queue.footprint, true);
        done.complete();
      });
      return (outcome) => expect(outcome.end).toBe('finished');
    });
  });

  it('loses an event that comes before a late reinit (L59)', () => {
    const ends = new Set<string>();
    everySchedule((kernel) => {
      const drained = new Completion(kernel, 'the drain');
      kernel.spawn('driver', function* () {
        yield* kernel.point(drained.queue.footprint, true);
        drained.reinit();
        yield* drained.wait();
      });
      kernel.spawn('hardware', function* () {
        yield* kernel.point(drained.queue.footprint, true);
        drained.complete();
      });
      return (outcome) => ends.add(ending(outcome));
    });
    expect([...ends].sort()).toEqual(['deadlock: driver waits for the drain', 'finished']);
  });

  it('is as it was at the checkpoint after a restore', () => {
    const kernel = new Kernel();
    const [early, late] = [new Completion(kernel, 'early'), new Completion(kernel, 'late')];
    early.complete();
    const { restore } = kernel.checkpoints.take();
    late.complete();
    early.reinit();
    restore();
    expect([early.done, late.done]).toEqual([true, false]);
  });
});
