import { describe, expect, it } from 'vitest';
import { ending, go } from '../../test/harness.js';
import { type Coroutine, Kernel, Mutex } from '../index.js';

function* both(outer: Mutex, inner: Mutex): Coroutine<void> {
  const a = yield* outer.acquire();
  const b = yield* inner.acquire();
  b.release();
  a.release();
}

describe('LockOrder', () => {
  it('reports an inversion when it happens, though nothing hangs (L56, INV-10)', () => {
    const kernel = new Kernel();
    const [sva, device] = [new Mutex(kernel, 'sva'), new Mutex(kernel, 'device')];
    kernel.spawn('unbind', () => both(sva, device));
    kernel.spawn('worker', () => both(device, sva));
    expect(ending(go(kernel))).toBe(
      'INV-10: worker takes sva while it holds device; elsewhere device is taken while sva is held',
    );
  });

  it('reports an inversion across three classes', () => {
    const kernel = new Kernel();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Mutex(kernel, name)) as [Mutex, Mutex, Mutex];
    kernel.spawn('t', function* () {
      yield* both(a, b);
      yield* both(b, c);
      yield* both(c, a);
    });
    expect(ending(go(kernel))).toMatch(/^INV-10: t takes a while it holds c/);
  });

  it('judges classes, not locks: two locks of one class are not nested (INV-10)', () => {
    const kernel = new Kernel();
    kernel.spawn('t', () => both(new Mutex(kernel, 'mmap'), new Mutex(kernel, 'mmap')));
    expect(ending(go(kernel))).toBe('INV-10: t takes mmap while it holds it already');
  });

  it('accepts one order, again and again, and locks that are not nested in any order', () => {
    const kernel = new Kernel();
    const [a, b] = [new Mutex(kernel, 'a'), new Mutex(kernel, 'b')];
    kernel.spawn('t', function* () {
      for (let i = 0; i < 3; i++) yield* both(a, b);
      (yield* b.acquire()).release();
      (yield* a.acquire()).release();
    });
    expect(go(kernel).end).toBe('finished');
  });

  it('forgets at a restore what the run taught, so that a restored run equals a booted one', () => {
    const kernel = new Kernel();
    const [a, b] = [new Mutex(kernel, 'a'), new Mutex(kernel, 'b')];
    const { restore } = kernel.checkpoints.take();
    kernel.spawn('t', () => both(a, b));
    go(kernel);
    restore();
    kernel.spawn('t', () => both(b, a));
    expect(go(kernel).end).toBe('finished');
  });
});
