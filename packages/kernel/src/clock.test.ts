import { describe, expect, it } from 'vitest';
import { ending, go, pause } from '../test/harness.js';
import { FairChooser, Kernel } from './index.js';

describe('Clock', () => {
  it('stands still while anything is runnable, then moves to the next timer', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    kernel.spawn('sleeper', function* () {
      yield* kernel.clock.sleep(100);
      log.push(`sleeper at ${kernel.clock.now()}`);
    });
    kernel.spawn('worker', function* () {
      for (let i = 0; i < 10; i++) yield* pause(kernel);
      log.push(`worker at ${kernel.clock.now()}`);
    });
    go(kernel);
    expect(log).toEqual(['worker at 0', 'sleeper at 100']);
  });

  it('fires equal times in the order in which they were set, and earlier ones first', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    for (const [name, ns] of [
      ['c', 20],
      ['a', 10],
      ['d', 20],
      ['b', 10],
    ] as const)
      kernel.clock.after(ns, () => log.push(name));
    go(kernel);
    expect(log).toEqual(['a', 'b', 'c', 'd']);
  });

  it('does not fire what was cancelled, and takes a late cancel', () => {
    const kernel = new Kernel();
    const log: string[] = [];
    const first = kernel.clock.after(10, () => log.push('first'));
    const second = kernel.clock.after(20, () => log.push('second'));
    kernel.clock.after(15, () => {
      kernel.clock.cancel(first);
      kernel.clock.cancel(second);
    });
    go(kernel);
    expect(log).toEqual(['first']);
    expect(kernel.clock.now()).toBe(15);
  });

  it('ends the run at the limit of virtual time, counted from its beginning', () => {
    const kernel = new Kernel();
    kernel.spawn('t', () => kernel.clock.sleep(900));
    expect(go(kernel, new FairChooser(), { ns: 1000 }).end).toBe('finished');
    kernel.spawn('t', () => kernel.clock.sleep(900));
    expect(go(kernel, new FairChooser(), { ns: 1000 }).end).toBe('finished');
    kernel.spawn('t', () => kernel.clock.sleep(1001));
    expect(ending(go(kernel, new FairChooser(), { ns: 1000 }))).toBe('limit ns (1000)');
  });

  it('is set back by a restore, with the timers that were pending', () => {
    const kernel = new Kernel();
    let fired = 0;
    kernel.clock.after(50, () => fired++);
    const { restore } = kernel.checkpoints.take();
    for (let i = 1; i < 3; i++) {
      kernel.clock.after(70, () => {});
      go(kernel);
      expect([kernel.clock.now(), fired]).toEqual([70, i]);
      restore();
      expect(kernel.clock.now()).toBe(0);
    }
  });
});
