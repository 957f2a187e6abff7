import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause, Script } from '../test/harness.js';
import { Kernel, WorkQueue } from './index.js';

function item(kernel: Kernel, log: string[], name: string) {
  return {
    *run() {
      log.push(`${name} begins`);
      yield* pause(kernel);
      log.push(`${name} ends`);
    },
  };
}

describe('WorkQueue', () => {
  it('runs items one at a time and in order if it is ordered, under every schedule', () => {
    everySchedule((kernel) => {
      const queue = new WorkQueue(kernel, 'wq', { ordered: true });
      const log: string[] = [];
      kernel.spawn('t', function* () {
        queue.queue(item(kernel, log, 'a'));
        yield* pause(kernel);
        queue.queue(item(kernel, log, 'b'));
      });
      return (outcome) => {
        expect(outcome.end).toBe('finished');
        expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
      };
    });
  });

  it('runs items side by side on its workers if it is not (L08, L12)', () => {
    const kernel = new Kernel();
    const queue = new WorkQueue(kernel, 'iopf', { workers: 2, workerName: 'fault-worker' });
    const log: string[] = [];
    queue.queue(item(kernel, log, 'a'));
    queue.queue(item(kernel, log, 'b'));
    const [one, two] = ['fault-worker/1', 'fault-worker/2'];
    go(kernel, new Script(one!, one!, two!, two!, one!));
    expect(log).toEqual(['a begins', 'b begins', 'a ends', 'b ends']);
  });

  it('flush returns when all that was queued before is through, also what is under way (L21, IOPF-11)', () => {
    const flushed = new Set<number>();
    everySchedule((kernel) => {
      const queue = new WorkQueue(kernel, 'wq', { workers: 2 });
      const log: string[] = [];
      kernel.spawn('t', function* () {
        queue.queue(item(kernel, log, 'a'));
        queue.queue(item(kernel, log, 'b'));
        yield* queue.flush();
        expect(log).toContain('a ends');
        expect(log).toContain('b ends');
        flushed.add(log.length);
      });
      return (outcome) => expect(outcome.end).toBe('finished');
    }, 200_000);
    expect([...flushed]).toEqual([4]);
  });

  it('flush does not wait for what is queued later', () => {
    const kernel = new Kernel();
    const queue = new WorkQueue(kernel, 'wq', { ordered: true });
    let flushed = false;
    kernel.spawn('flusher', function* () {
      queue.queue(item(kernel, [], 'a'));
      yield* queue.flush();
      flushed = true;
    });
    kernel.spawn('other', function* () {
      queue.queue({ run: () => kernel.until(kernel.footprint(), () => flushed, 'the flush') as never });
      yield* kernel.clock.sleep(1);
    });
    // The second item never ends (nobody stores to what it looks at), and the flush returns all the same.
    go(kernel, new Script('flusher', 'flusher', 'other'));
    expect(flushed).toBe(true);
  });

  it('reports a flush from one of its own items, which would wait for itself (L08, L56, INV-10)', () => {
    const kernel = new Kernel();
    const queue = new WorkQueue(kernel, 'iopf', { ordered: true });
    queue.queue({ run: () => queue.flush() });
    expect(ending(go(kernel))).toBe('INV-10: iopf flushes iopf, which includes the work it is doing');
  });

  it('is idle again after a restore in the middle of an item', () => {
    const kernel = new Kernel();
    const queue = new WorkQueue(kernel, 'wq', { ordered: true });
    const { restore } = kernel.checkpoints.take();
    const log: string[] = [];
    for (let i = 0; i < 2; i++) {
      queue.queue({ run: () => kernel.park('for good') as never });
      queue.queue(item(kernel, log, 'never'));
      expect(ending(go(kernel))).toBe('deadlock: wq waits for for good');
      restore();
    }
    queue.queue(item(kernel, log, 'a'));
    kernel.spawn('t', () => queue.flush());
    expect(go(kernel).end).toBe('finished');
    expect(log).toEqual(['a begins', 'a ends']);
  });
});
