import { describe, expect, it } from 'vitest';
import { ending, everySchedule, go, pause } from '../test/harness.js';
import { FairChooser, Kernel, ThreadedInterrupt } from './index.js';

describe('ThreadedInterrupt', () => {
  it('runs the thread again for an edge that comes while it runs: none is lost (L58)', () => {
    everySchedule((kernel) => {
      const line = new ThreadedInterrupt(kernel, 'priq');
      const cell = kernel.footprint();
      let [posted, seen] = [0, 0];
      line.handle(function* () {
        yield* kernel.point(cell, true);
        seen = posted;
        yield* pause(kernel);
      });
      kernel.spawn('hardware', function* () {
        for (let i = 0; i < 2; i++) {
          yield* kernel.point(cell, true);
          posted++;
          line.pulse();
        }
      });
      return (outcome) => {
        expect(outcome.end).toBe('finished');
        expect(seen).toBe(2);
      };
    });
  });

  it('runs the thread until the level is low', () => {
    const kernel = new Kernel();
    const line = new ThreadedInterrupt(kernel, 'gerror');
    let left = 3;
    line.handle(function* () {
      yield* pause(kernel);
      if (--left === 0) line.set(false);
    });
    line.set(true);
    expect(go(kernel).end).toBe('finished');
    expect(left).toBe(0);
  });

  it('does not run the thread once more for a level that was served', () => {
    const kernel = new Kernel();
    const line = new ThreadedInterrupt(kernel, 'gerror');
    let runs = 0;
    line.handle(function* () {
      runs++;
      line.set(true);
      yield* pause(kernel);
      line.set(false);
    });
    line.set(true);
    go(kernel);
    expect(runs).toBe(1);
  });

  it('ends as a livelock if nobody ever lowers the level', () => {
    const kernel = new Kernel();
    const line = new ThreadedInterrupt(kernel, 'gerror');
    line.handle(function* () {});
    line.set(true);
    expect(ending(go(kernel, new FairChooser(), { idleSteps: 100 }))).toMatch(
      /^livelock: irq-gerror waits for its turn/,
    );
  });

  it('keeps an interrupt that comes before its handler', () => {
    for (const raise of ['pulse', 'level'] as const) {
      const kernel = new Kernel();
      const line = new ThreadedInterrupt(kernel, 'evtq');
      if (raise === 'pulse') line.pulse();
      else line.set(true);
      let runs = 0;
      line.handle(function* () {
        runs++;
        line.set(false);
      });
      go(kernel);
      expect(runs).toBe(1);
    }
  });

  it('forgets at a restore a handler and a level that came after the checkpoint', () => {
    const kernel = new Kernel();
    const line = new ThreadedInterrupt(kernel, 'evtq');
    const { restore } = kernel.checkpoints.take();
    for (let i = 0; i < 2; i++) {
      let runs = 0;
      line.handle(function* () {
        runs++;
        yield* kernel.park('for good');
      });
      line.set(true);
      expect(ending(go(kernel))).toBe('deadlock: irq-evtq waits for for good');
      expect(runs).toBe(1);
      restore();
    }
    expect(line.state).toEqual({ level: false, pending: false, thread: null });
  });
});
