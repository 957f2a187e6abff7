import { describe, expect, it } from 'vitest';
import { ending, everySchedule, forget, go, pause, Script } from '../test/harness.js';
import {
  Completion,
  decodeToken,
  FairChooser,
  type Footprint,
  Kernel,
  Mutex,
  PREEMPT,
  RandomChooser,
  ReplayChooser,
  type Task,
} from './index.js';

function racing(kernel: Kernel, log: string[]): void {
  const shared = kernel.footprint();
  for (const name of ['a', 'b']) {
    kernel.spawn(name, function* () {
      for (let i = 0; i < 3; i++) {
        if (kernel.at(shared, true)) yield PREEMPT;
        log.push(name + i);
      }
    });
  }
}

describe('Kernel', () => {
  it('runs a task until it blocks, then the next one, by default', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    racing(kernel, log);
    expect(go(kernel)).toMatchObject({ end: 'finished', token: 'ik1.0.0' });
    expect(log).toEqual(['a0', 'a1', 'a2', 'b0', 'b1', 'b2']);
  });

  it('gives everybody a turn by default, also while two tasks wake one another for ever', () => {
    const kernel = new Kernel();
    let over = false;
    const player = (name: string): Task =>
      kernel.spawn(name, function* () {
        while (!over) {
          for (const other of [ping, pong]) if (other !== kernel.current) kernel.wake(other);
          yield* kernel.park('the other');
        }
        for (const other of [ping, pong]) kernel.wake(other);
      });
    const ping = player('ping');
    const pong = player('pong');
    kernel.spawn('third', function* () {
      over = true;
    });
    expect(go(kernel).end).toBe('finished');
  });

  it('replays a random run from its token', () => {
    for (let seed = 1; seed < 50; seed++) {
      const first: string[] = [];
      const kernel = new Kernel();
      racing(kernel, first);
      const { token } = go(kernel, new RandomChooser(seed));
      const again: string[] = [];
      const other = new Kernel();
      racing(other, again);
      expect(go(other, new ReplayChooser(decodeToken(token, '0'))).token).toBe(token);
      expect(again).toEqual(first);
    }
  });

  it('runs all twenty interleavings of two tasks with three accesses each', () => {
    const seen = new Set<string>();
    everySchedule((kernel) => {
      const log: string[] = [];
      racing(kernel, log);
      return () => seen.add(log.join(' '));
    });
    expect(seen.size).toBe(20);
  });

  it('makes an access after the point, when the task goes on again', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    racing(kernel, log);
    go(kernel, new Script('a', 'b', 'a', 'b'));
    expect(log.slice(0, 2)).toEqual(['a0', 'b0']);
  });

  it('tells the listener of an access when it is made, not when the task was preempted before it', () => {
    const kernel = new Kernel();
    racing(kernel, []);
    const seen: string[] = [];
    kernel.listener = { access: (task, _what: Footprint, write) => seen.push(`${task.name}${write ? '!' : ''}`) };
    // a is preempted before its first access, so the first access is b's.
    go(kernel, new Script('a', 'b', 'b', 'b', 'b'));
    expect(seen).toEqual(['b!', 'b!', 'b!', 'a!', 'a!', 'a!']);
  });

  it('does not count a choice where only one task is runnable', () => {
    const kernel = new Kernel();
    kernel.spawn('alone', function* () {
      yield* pause(kernel);
      yield* pause(kernel);
    });
    kernel.begin({ begin: () => {}, pick: () => expect.unreachable('nobody to choose from') });
    expect(kernel.run()).toMatchObject({ end: 'finished', steps: 2 });
  });

  it('ends the run at the next point after a violation, even if no other task is runnable', () => {
    const kernel = new Kernel();
    let after = 0;
    kernel.spawn('t', function* () {
      kernel.violate('INV-1', 'first');
      kernel.violate('INV-2', 'second');
      yield* pause(kernel);
      after++;
    });
    expect(go(kernel)).toMatchObject({
      end: 'violation',
      violation: { invariant: 'INV-1', task: 't', story: 'first' },
    });
    expect(after).toBe(0);
  });

  it('throws what a task threw, and names the task in the outcome', () => {
    const kernel = new Kernel();
    kernel.spawn('t', function* () {
      yield* pause(kernel);
      throw new RangeError('oops');
    });
    kernel.begin(new FairChooser());
    expect(() => kernel.run()).toThrow(new RangeError('oops'));
    expect(kernel.outcome).toMatchObject({
      end: 'violation',
      violation: { invariant: 'uncaught', story: 't threw oops' },
    });
  });

  it('reports a pending Step that was not consumed', () => {
    const forgetful = (kernel: Kernel): void => {
      kernel.spawn('t', function* () {
        forget(() => pause(kernel));
        yield* pause(kernel);
      });
      kernel.spawn('other', function* () {});
    };
    const kernel = new Kernel();
    forgetful(kernel);
    expect(() => go(kernel, new Script('t', 'other'))).toThrow('yield* is missing');
  });

  it('reports a park that was not consumed', () => {
    const kernel = new Kernel();
    kernel.spawn('t', function* () {
      forget(() => kernel.park('nothing'));
    });
    expect(() => go(kernel)).toThrow('yield* is missing');
  });

  it('refuses to sleep outside a task', () => {
    expect(() => new Kernel().park('nothing')).toThrow('only a task');
  });

  it('counts an actor spawned by another one as part of the run', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    kernel.spawn('parent', function* () {
      kernel.spawn('child', function* () {
        yield* pause(kernel);
        log.push('child');
      });
      yield* pause(kernel);
      log.push('parent');
    });
    expect(go(kernel).end).toBe('finished');
    expect(log).toEqual(['parent', 'child']);
    expect(kernel.atRest).toBe(true);
  });
});

describe('a daemon', () => {
  it('runs once more when it is kicked while it works, and once only', () => {
    const kernel = new Kernel();
    let runs = 0;
    const daemon = kernel.daemon('hw', function* () {
      runs++;
      yield* pause(kernel);
      yield* pause(kernel);
    });
    kernel.spawn('driver', function* () {
      kernel.kick(daemon);
      yield* pause(kernel);
      kernel.kick(daemon);
      kernel.kick(daemon);
    });
    expect(go(kernel, new Script('hw', 'driver')).end).toBe('finished');
    expect(runs).toBe(2);
  });

  it('takes a kick before its first step as part of the one that started it', () => {
    const kernel = new Kernel();
    let runs = 0;
    const daemon = kernel.daemon('hw', function* () {
      runs++;
    });
    kernel.spawn('driver', function* () {
      kernel.kick(daemon);
      kernel.kick(daemon);
    });
    go(kernel);
    expect(runs).toBe(1);
  });

  it('never misses a kick, whatever the schedule', () => {
    const schedules = everySchedule((kernel) => {
      const queue: number[] = [];
      const done: number[] = [];
      const cell = kernel.footprint();
      const hardware = kernel.daemon('hw', function* () {
        for (;;) {
          yield* kernel.point(cell, true);
          const item = queue.shift();
          if (item === undefined) return;
          done.push(item);
        }
      });
      for (const name of ['a', 'b']) {
        kernel.spawn(name, function* () {
          yield* kernel.point(cell, true);
          queue.push(queue.length);
          yield* kernel.point(cell, true);
          kernel.kick(hardware);
        });
      }
      return (outcome) => {
        expect(outcome.end).toBe('finished');
        expect(done).toHaveLength(2);
      };
    });
    expect(schedules).toBeGreaterThan(20);
  });
});

describe('the end of a run', () => {
  it('is a deadlock that names who waits for whom', () => {
    const kernel = new Kernel();
    const [left, right] = [new Mutex(kernel, 'left'), new Mutex(kernel, 'right')];
    const never = new Completion(kernel, 'the answer');
    kernel.spawn('holder', function* () {
      const lock = yield* left.acquire();
      yield* never.wait();
      lock.release();
    });
    kernel.spawn('waiter', function* () {
      yield* right.acquire();
      yield* left.acquire();
    });
    expect(go(kernel)).toMatchObject({
      end: 'deadlock',
      waits: [
        { task: 'holder', for: 'the answer', heldBy: null },
        { task: 'waiter', for: 'the left lock', heldBy: 'holder' },
      ],
    });
  });

  it('is no deadlock while foreign hardware has news', () => {
    const kernel = new Kernel();
    const answer = new Completion(kernel, 'the answer');
    kernel.spawn('t', () => answer.wait());
    let news = 3;
    kernel.onIdle(() => {
      if (--news === 0) answer.complete();
      return news >= 0;
    });
    expect(go(kernel).end).toBe('finished');
  });

  it('is a deadlock if a daemon is stuck in its work though every actor is through (L08)', () => {
    const kernel = new Kernel();
    const never = new Completion(kernel, 'the queue to drain');
    kernel.kick(kernel.daemon('worker', () => never.wait()));
    expect(ending(go(kernel))).toBe('deadlock: worker waits for the queue to drain');
  });

  it('is a livelock that says what the task keeps looking at (L51)', () => {
    const kernel = new Kernel();
    kernel.spawn('driver', function* () {
      for (;;) yield* kernel.point(0x9050000 / 8, false);
    });
    expect(ending(go(kernel, new FairChooser(), { idleSteps: 1000 }))).toBe(
      'livelock: driver waits for its turn at 0x9050000',
    );
  });

  it('names the limit that was hit (L45)', () => {
    const kernel = new Kernel();
    kernel.spawn('t', function* () {
      for (;;) yield* pause(kernel);
    });
    const outcome = go(kernel, new FairChooser(), { steps: 2000 });
    expect(outcome).toMatchObject({ end: 'limit', limit: 'steps (2000)', steps: 2000 });
  });

  it('has a token that gives the same end again', () => {
    const stuck = (kernel: Kernel): void => {
      const [a, b] = [new Completion(kernel, 'a'), new Completion(kernel, 'b')];
      for (const [mine, other] of [[a, b] as const, [b, a] as const]) {
        kernel.spawn(mine.queue.why, function* () {
          yield* pause(kernel);
          if (!other.done) yield* pause(kernel);
          if (other.done) return;
          yield* pause(kernel);
          if (other.done) yield* kernel.park('what never comes');
          mine.complete();
        });
      }
    };
    const ends = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const kernel = new Kernel();
      stuck(kernel);
      const first = go(kernel, new RandomChooser(7, seed));
      const again = new Kernel();
      stuck(again);
      const second = go(again, new ReplayChooser(decodeToken(first.token, '0')));
      expect({ ...second }).toEqual({ ...first });
      ends.add(ending(first));
    }
    expect(ends).toContain('finished');
    expect([...ends].some((end) => end.startsWith('deadlock'))).toBe(true);
  });
});

describe('until', () => {
  it('parks until the footprint is stored to and the condition holds, also in atomic context', () => {
    const kernel = new Kernel();
    const cell = kernel.footprint();
    let value = 0;
    let looks = 0;
    kernel.spawn('poller', function* () {
      kernel.self().atomic++;
      const look = (): boolean => {
        looks++;
        return value === 2;
      };
      expect(yield* kernel.until(cell, look, 'two')).toBe(true);
      kernel.self().atomic--;
    });
    kernel.spawn('writer', function* () {
      for (let i = 0; i < 2; i++) {
        yield* kernel.point(cell, true);
        value++;
        kernel.touch(cell, true);
        yield* kernel.point(1, true);
        yield* kernel.clock.sleep(1);
      }
    });
    expect(go(kernel).end).toBe('finished');
    expect(looks).toBe(3);
  });

  it('gives up after its limit of virtual time, and looks one last time', () => {
    const kernel = new Kernel();
    const answers: boolean[] = [];
    let late = false;
    kernel.spawn('poller', function* () {
      answers.push(yield* kernel.until(kernel.footprint(), () => false, 'never', 500));
      late = true;
      answers.push(yield* kernel.until(kernel.footprint(), () => late && kernel.clock.now() >= 900, 'silently', 400));
    });
    expect(go(kernel).end).toBe('finished');
    expect(answers).toEqual([false, true]);
    expect(kernel.clock.now()).toBe(900);
  });

  it('does not wake a task that has stopped waiting', () => {
    const kernel = new Kernel();
    const cell = kernel.footprint();
    let runs = 0;
    const daemon = kernel.daemon('hw', function* () {
      runs++;
      yield* kernel.until(cell, () => false, 'never', 10);
    });
    kernel.kick(daemon);
    kernel.spawn('writer', function* () {
      yield* kernel.clock.sleep(20);
      yield* kernel.point(cell, true);
      kernel.touch(cell, true);
    });
    expect(go(kernel).end).toBe('finished');
    expect(runs).toBe(1);
  });
});
