import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause, Script } from '../../test/harness.js';
import { Kernel, RwSemaphore } from '../index.js';

/** Tasks that take the lock once each, for read or write by their name's first letter. */
function users(kernel: Kernel, lock: RwSemaphore, names: string[], log: string[] = []): void {
  let readers = 0;
  let writers = 0;
  for (const name of names) {
    kernel.spawn(name, function* () {
      const write = name.startsWith('w');
      const hold = yield* write ? lock.write() : lock.read();
      if (write) writers++;
      else readers++;
      expect(writers === 0 || (writers === 1 && readers === 0)).toBe(true);
      log.push(name);
      yield* pause(kernel);
      if (write) writers--;
      else readers--;
      hold.release();
    });
  }
}

describe('RwSemaphore', () => {
  it('admits many readers or one writer, under every schedule, and loses no waiter', () => {
    for (const names of [
      ['r1', 'r2', 'w1'],
      ['w1', 'w2', 'r1'],
    ]) {
      everySchedule((kernel) => {
        users(kernel, new RwSemaphore(kernel, 'mmap'), names);
        return (outcome) => expect(outcome.end).toBe('finished');
      });
    }
  });

  it('lets readers in side by side (L02)', () => {
    const kernel = new Kernel();
    const lock = new RwSemaphore(kernel, 'mmap');
    const log: string[] = [];
    users(kernel, lock, ['r1', 'r2'], log);
    go(kernel, new Script('r1', 'r1', 'r2', 'r2'));
    expect(log).toEqual(['r1', 'r2']);
    expect(lock.readers).toEqual([]);
  });

  it('lets all readers in that waited for a writer, not one after the other', () => {
    const kernel = new Kernel();
    const lock = new RwSemaphore(kernel, 'mmap');
    let [inside, most] = [0, 0];
    kernel.spawn('writer', function* () {
      const hold = yield* lock.write();
      yield* kernel.clock.sleep(10);
      hold.release();
    });
    for (const name of ['r1', 'r2', 'r3']) {
      kernel.spawn(name, function* () {
        const hold = yield* lock.read();
        most = Math.max(most, ++inside);
        yield* kernel.clock.sleep(10);
        inside--;
        hold.release();
      });
    }
    expect(go(kernel).end).toBe('finished');
    expect(most).toBe(3);
  });

  it('keeps later readers behind a waiting writer, and hands over in order of arrival', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    users(kernel, new RwSemaphore(kernel, 'mmap'), ['r1', 'w1', 'r2', 'r3'], log);
    go(kernel, new Script('r1', 'r1', 'w1', 'w1', 'r3', 'r3', 'r2', 'r2'));
    expect(log).toEqual(['r1', 'w1', 'r3', 'r2']);
  });

  it('reports a task that takes it for read twice (INV-10)', () => {
    const kernel = new Kernel();
    const lock = new RwSemaphore(kernel, 'mmap');
    kernel.spawn('t', function* () {
      yield* lock.read();
      yield* lock.read();
    });
    expect(ending(go(kernel))).toBe('INV-10: t takes mmap while it holds it already');
  });

  it('reports who releases what it does not hold (INV-10)', () => {
    const kernel = new Kernel();
    const lock = new RwSemaphore(kernel, 'mmap');
    kernel.spawn('t', function* () {
      const hold = yield* lock.read();
      hold.release();
      hold.release();
    });
    expect(ending(go(kernel))).toBe('INV-10: t unlocks mmap, which it does not hold');
  });

  it('names the holder in a deadlock', () => {
    const kernel = new Kernel();
    const lock = new RwSemaphore(kernel, 'mmap');
    kernel.spawn('reader', function* () {
      yield* lock.read();
      yield* kernel.park('for good');
    });
    users(kernel, lock, ['w1']);
    expect(ending(go(kernel))).toBe(
      'deadlock: reader waits for for good; w1 waits for the mmap lock for write (reader)',
    );
  });
});
