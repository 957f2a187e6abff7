import { describe, expect, it } from 'vitest';
import { ending, go } from '../../test/harness.js';
import { DirectedChooser, decodeToken, Kernel, type Order, ReplayChooser } from '../index.js';

/** `a.x < b.y` as an order. */
function order(text: string): Order {
  return text.split(' < ').map((part) => {
    const [task, step] = part.split('.');
    return { task: task!, step: step! };
  });
}

/** Tasks that take their named steps one after the other: `{ a: 'x y', b: 'z' }`. */
function actors(kernel: Kernel, steps: Record<string, string>, log: string[]): void {
  for (const [name, list] of Object.entries(steps)) {
    kernel.spawn(name, function* () {
      for (const step of list.split(' ')) {
        yield* kernel.named(step, kernel.footprint(), true);
        log.push(`${name}.${step}`);
      }
    });
  }
}

function directed(steps: Record<string, string>, ...orders: string[]) {
  const kernel = new Kernel();
  const log: string[] = [];
  actors(kernel, steps, log);
  const chooser = new DirectedChooser(orders.map(order));
  const outcome = go(kernel, chooser);
  return { log: log.join(' '), end: ending(outcome), token: outcome.token, missing: chooser.missing() };
}

describe('DirectedChooser', () => {
  it('is fair where no order says otherwise', () => {
    expect(directed({ a: 'x y', b: 'z' }).log).toBe('a.x a.y b.z');
  });

  it('holds back a task whose next named step would break an order', () => {
    const { log, end, missing } = directed({ a: 'x y', b: 'z' }, 'b.z < a.x');
    expect([log, end, missing]).toEqual(['b.z a.x a.y', 'finished', '']);
  });

  it('threads one order through two tasks: the worker drops the last mm_users (L07)', () => {
    const { log } = directed(
      { process: 'exit-mm', 'fault-worker': 'mmget mmput' },
      'fault-worker.mmget < process.exit-mm < fault-worker.mmput',
    );
    expect(log).toBe('fault-worker.mmget process.exit-mm fault-worker.mmput');
  });

  it('counts the first time a step is taken, and lets later times pass', () => {
    expect(directed({ a: 'x x x', b: 'z' }, 'a.x < b.z').log).toBe('a.x a.x a.x b.z');
  });

  it('takes the same step twice in one order as two turns', () => {
    expect(directed({ a: 'x x x', b: 'z' }, 'a.x < b.z < a.x').log).toBe('a.x b.z a.x a.x');
  });

  it('meets several orders at once', () => {
    expect(directed({ a: 'x y', b: 'z w' }, 'b.z < a.x', 'a.y < b.w').log).toBe('b.z a.x a.y b.w');
  });

  it('takes the name before a slash for each worker of a pool', () => {
    const { log } = directed(
      { a: 'x', 'fault-worker/1': 'mmget', 'fault-worker/2': 'mmget' },
      'fault-worker.mmget < a.x',
    );
    expect(log).toBe('fault-worker/1.mmget fault-worker/2.mmget a.x');
  });

  it('refuses orders that contradict each other, and says which steps wait', () => {
    const { end } = directed({ a: 'x', b: 'z' }, 'a.x < b.z', 'b.z < a.x');
    expect(end).toBe(
      'refused: the order cannot be met: a before x, b before z must wait, and nothing else can run ' +
        '(a.x did not happen, b.z did not happen, b.z did not happen, a.x did not happen)',
    );
  });

  it('refuses even where one task only is runnable', () => {
    expect(directed({ a: 'x' }, 'b.z < a.x').end).toMatch(/^refused: the order cannot be met: a before x must wait/);
  });

  it('names the steps that never happened in a run that finished', () => {
    const { end, missing } = directed({ a: 'x', b: 'z' }, 'a.x < b.z < c.never');
    expect([end, missing]).toEqual(['finished', 'c.never did not happen']);
  });

  it('makes runs that an ordinary replay repeats from their token', () => {
    const steps = { a: 'x y', b: 'z w', c: 'v' };
    const first = directed(steps, 'c.v < b.w < a.x');
    const kernel = new Kernel();
    const log: string[] = [];
    actors(kernel, steps, log);
    expect(go(kernel, new ReplayChooser(decodeToken(first.token, '0'))).token).toBe(first.token);
    expect(log.join(' ')).toBe(first.log);
  });
});
