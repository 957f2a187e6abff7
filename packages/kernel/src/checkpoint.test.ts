import { describe, expect, it } from 'vitest';
import { go, pause } from '../test/harness.js';
import { Kernel, Refcount } from './index.js';

describe('Checkpoints', () => {
  it('takes a checkpoint of a machine at rest only, and once', () => {
    const kernel = new Kernel();
    kernel.spawn('t', () => kernel.clock.sleep(1));
    expect(() => kernel.checkpoints.take()).toThrow('at rest');
    go(kernel);
    kernel.checkpoints.take();
    expect(() => kernel.checkpoints.take()).toThrow('one checkpoint');
  });

  it('puts back the fields of a record and what its containers hold, and removes what a run added', () => {
    const kernel = new Kernel();
    const record = kernel.checkpoints.keep<Record<string, unknown>>({
      number: 1,
      list: [1, 2],
      map: new Map([['a', 1]]),
      set: new Set(['x']),
      words: Uint32Array.of(5, 6),
    });
    const { list, map, set, words } = record as {
      list: number[];
      map: Map<string, number>;
      set: Set<string>;
      words: Uint32Array;
    };
    const { restore } = kernel.checkpoints.take();
    record.number = 2;
    record.extra = true;
    record.list = [];
    list.push(3);
    map.set('b', 2).set('a', 9);
    set.delete('x');
    words[0] = 0;
    restore();
    expect(record).toEqual({
      number: 1,
      list: [1, 2],
      map: new Map([['a', 1]]),
      set: new Set(['x']),
      words: Uint32Array.of(5, 6),
    });
    expect(record.list).toBe(list);
    expect('extra' in record).toBe(false);
  });

  it('restores any number of times', () => {
    const kernel = new Kernel();
    const list = kernel.checkpoints.keepList([1]);
    const map = kernel.checkpoints.keepMap(new Map([[1, 1]]));
    const { restore } = kernel.checkpoints.take();
    for (let i = 0; i < 3; i++) {
      list.push(2);
      map.clear();
      restore();
      expect([list, [...map]]).toEqual([[1], [[1, 1]]]);
    }
  });

  it('drops the tasks of the ended run, wherever they were, and what they held', () => {
    const kernel = new Kernel();
    let runs = 0;
    const hardware = kernel.daemon('hw', function* () {
      runs++;
      kernel.self().atomic++;
      for (;;) yield* pause(kernel);
    });
    const { restore } = kernel.checkpoints.take();
    for (let i = 1; i < 4; i++) {
      kernel.spawn('t', function* () {
        yield* kernel.park('for good');
      });
      kernel.kick(hardware);
      kernel.kick(hardware);
      go(kernel, undefined, { steps: 50 });
      restore();
      expect(kernel.tasks.map((task) => task.name)).toEqual(['rcu', 'hw']);
      expect([kernel.ready.length, kernel.atRest, kernel.tasks[1]!.atomic]).toEqual([0, true, 0]);
      expect(runs).toBe(i);
    }
  });

  it('numbers tasks and objects again as after the boot', () => {
    const kernel = new Kernel();
    const { restore } = kernel.checkpoints.take();
    const make = (): unknown => [
      kernel.spawn('t', function* () {}).id,
      kernel.footprint(),
      new Refcount(kernel, 'mm').footprint,
    ];
    const first = make();
    restore();
    expect(make()).toEqual(first);
  });

  it('refuses to restore in the middle of a step', () => {
    const kernel = new Kernel();
    const { restore } = kernel.checkpoints.take();
    kernel.spawn('t', function* () {
      yield* pause(kernel);
      restore();
    });
    expect(() => go(kernel)).toThrow('between runs');
  });
});
