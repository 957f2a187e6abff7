import { describe, expect, it } from 'vitest';
import { Completion, decodeToken, FairChooser, Kernel, Mutex, PREEMPT, RandomChooser, ReplayChooser } from './index.js';

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
  it('runs a task until it blocks, then the lowest id, by default', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    racing(kernel, log);
    kernel.begin(new FairChooser());
    expect(kernel.run()).toMatchObject({ end: 'finished', token: 'ik1.0.0' });
    expect(log).toEqual(['a0', 'a1', 'a2', 'b0', 'b1', 'b2']);
  });

  it('replays a random run from its token', () => {
    for (let seed = 1; seed < 50; seed++) {
      const first: string[] = [];
      const kernel = new Kernel();
      racing(kernel, first);
      kernel.begin(new RandomChooser(seed));
      const { token } = kernel.run();
      const again: string[] = [];
      const other = new Kernel();
      racing(other, again);
      other.begin(new ReplayChooser(decodeToken(token, '0')));
      expect(other.run().token).toBe(token);
      expect(again).toEqual(first);
    }
  });

  it('reports a deadlock with who waits for whom', () => {
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
    kernel.begin(new FairChooser());
    expect(kernel.run()).toMatchObject({
      end: 'deadlock',
      waits: [
        { task: 'holder', for: 'the answer', heldBy: null },
        { task: 'waiter', for: 'the left lock', heldBy: 'holder' },
      ],
    });
  });
});
