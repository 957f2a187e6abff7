import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause } from '../test/harness.js';
import { Kernel, RandomChooser, Spinlock, type Step, type TlbInvalidation, type TlbListener } from './index.js';

/** Drops page `first`. */
function page(first: number): TlbInvalidation {
  return { kind: 'va', level: 'el1', vmid: 0, asid: 3, first, last: first, leaf: true };
}

/** Notes what it applies. */
class Recorder implements TlbListener {
  readonly applied: number[] = [];

  constructor(
    readonly kernel: Kernel,
    readonly name: string,
  ) {}

  invalidate(message: TlbInvalidation): Step<void> {
    this.applied.push(message.first);
    return pause(this.kernel);
  }
}

/** A kernel with listeners `a` and `b`. */
function pair(kernel = new Kernel()): { kernel: Kernel; a: Recorder; b: Recorder } {
  const a = new Recorder(kernel, 'a');
  const b = new Recorder(kernel, 'b');
  kernel.tlbBroadcast.connect(a);
  kernel.tlbBroadcast.connect(b);
  return { kernel, a, b };
}

describe('TlbBroadcast', () => {
  it('takes no step where nobody listens', () => {
    const kernel = new Kernel();
    kernel.spawn('cpu', function* () {
      yield* kernel.tlbBroadcast.send(page(1));
      yield* kernel.tlbBroadcast.sync();
    });
    expect(go(kernel)).toMatchObject({ end: 'finished', steps: 0 });
  });

  it('delivers late: the sender goes on before anybody has applied the message (MN-15)', () => {
    const { kernel, a, b } = pair();
    let seen: number[] = [];
    kernel.spawn('cpu', function* () {
      yield* kernel.tlbBroadcast.send(page(1));
      yield* kernel.tlbBroadcast.send(page(2));
      seen = [...a.applied, ...b.applied];
    });
    expect(ending(go(kernel))).toBe('finished');
    expect(seen).toEqual([]);
    expect([a.applied, b.applied]).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(kernel.atRest).toBe(true);
  });

  it('returns from sync only after every listener applied what was sent before, under every schedule', () => {
    let [early, late] = [0, 0];
    const runs = everySchedule((kernel) => {
      const { a, b } = pair(kernel);
      kernel.spawn('cpu', function* () {
        yield* kernel.tlbBroadcast.send(page(1));
        yield* pause(kernel);
        if (a.applied.length + b.applied.length > 0) early++;
        else late++;
        yield* kernel.tlbBroadcast.sync();
        expect([a.applied, b.applied]).toEqual([[1], [1]]);
      });
      return (outcome) => expect(ending(outcome)).toBe('finished');
    });
    expect(runs).toBeGreaterThan(20);
    expect([early > 0, late > 0]).toEqual([true, true]);
  });

  it('keeps the order of messages at each listener, and lets each be late by itself', () => {
    const ahead = new Set<string>();
    for (let seed = 1; seed <= 50; seed++) {
      const { kernel, a, b } = pair();
      for (const from of [10, 20]) {
        kernel.spawn(`cpu${from}`, function* () {
          for (let i = 0; i < 3; i++) yield* kernel.tlbBroadcast.send(page(from + i));
          yield* kernel.tlbBroadcast.sync();
        });
      }
      kernel.spawn('watcher', function* () {
        for (let i = 0; i < 12; i++) {
          yield* pause(kernel);
          if (a.applied.length !== b.applied.length) ahead.add(a.applied.length > b.applied.length ? 'a' : 'b');
        }
      });
      expect(ending(go(kernel, new RandomChooser(seed)))).toBe('finished');
      expect(a.applied).toEqual(b.applied);
      expect(a.applied.filter((n) => n < 20)).toEqual([10, 11, 12]);
      expect(a.applied.filter((n) => n >= 20)).toEqual([20, 21, 22]);
    }
    expect([...ahead].sort()).toEqual(['a', 'b']);
  });

  it('does not make a sync wait for what others send after it began', () => {
    const kernel = new Kernel();
    const a = new Recorder(kernel, 'a');
    kernel.tlbBroadcast.connect(a);
    let over = false;
    kernel.spawn('syncs', function* () {
      yield* kernel.tlbBroadcast.send(page(0));
      yield* kernel.tlbBroadcast.sync();
      over = true;
    });
    kernel.spawn('sends', function* () {
      for (let i = 1; !over; i++) yield* kernel.tlbBroadcast.send(page(i));
    });
    expect(ending(go(kernel, new RandomChooser(3), { steps: 10_000 }))).toBe('finished');
  });

  it('may be used under a spinlock (MN-10)', () => {
    const { kernel, a } = pair();
    const lock = new Spinlock(kernel, 'page-table');
    kernel.spawn('cpu', function* () {
      const held = yield* lock.acquire();
      yield* kernel.tlbBroadcast.send(page(7));
      yield* kernel.tlbBroadcast.sync();
      expect(a.applied).toEqual([7]);
      held.release();
    });
    expect(ending(go(kernel))).toBe('finished');
  });

  it('starts again from its checkpoint, whatever the run had under way', () => {
    const { kernel, a } = pair();
    const { restore } = kernel.checkpoints.take();
    for (let run = 0; run < 3; run++) {
      a.applied.length = 0;
      kernel.spawn('cpu', function* () {
        yield* kernel.tlbBroadcast.send(page(run));
        yield* kernel.tlbBroadcast.sync();
        expect(a.applied).toEqual([run]);
      });
      if (run === 1) {
        // This run ends with messages under way.
        go(kernel, undefined, { steps: 2 });
        expect(kernel.tlbBroadcast.ports.some((port) => port.queue.length > 0)).toBe(true);
      } else expect(ending(go(kernel))).toBe('finished');
      restore();
      expect(kernel.tlbBroadcast.state.sent).toBe(0);
      expect(kernel.tlbBroadcast.ports.map((port) => port.queue.length + port.state.applied)).toEqual([0, 0]);
    }
  });
});
