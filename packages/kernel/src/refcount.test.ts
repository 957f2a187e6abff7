import { describe, expect, it } from 'vitest';
import { ending, go } from '../test/harness.js';
import { Kernel, Refcount } from './index.js';

/** What a run says that does this to a count of one. */
function using(use: (count: Refcount) => void): string {
  const kernel = new Kernel();
  const count = new Refcount(kernel, 'mm 1 (mm_users)');
  kernel.spawn('T1', function* () {
    yield* kernel.point(count.footprint, true);
    use(count);
  });
  return ending(go(kernel));
}

describe('Refcount', () => {
  it('tells who drops the last reference', () => {
    const kernel = new Kernel();
    const count = new Refcount(kernel, 'mm');
    count.get();
    expect([count.put(), count.put(), count.count]).toEqual([false, true, 0]);
  });

  it('refuses a conditional get at zero, and takes it above (L02)', () => {
    const count = new Refcount(new Kernel(), 'mm');
    expect(count.getNotZero()).toBe(true);
    count.put();
    count.put();
    expect(count.getNotZero()).toBe(false);
  });

  it('reports a get after zero, and who dropped the last (L57, INV-9)', () => {
    const end = using((count) => {
      count.put();
      count.get();
    });
    expect(end).toBe(
      'INV-9: a reference to mm 1 (mm_users) is taken after the last was dropped; the last was dropped by T1 at step 1',
    );
  });

  it('reports a put that nobody can have held (L26, INV-9)', () => {
    const end = using((count) => {
      count.put();
      count.put();
    });
    expect(end).toMatch(/^INV-9: a reference to mm 1 \(mm_users\) is dropped that nobody held/);
  });

  it('saturates: an overflow leaks rather than frees', () => {
    const count = new Refcount(new Kernel(), 'mm', 2 ** 30 - 1);
    count.get();
    count.get();
    expect(count.count).toBe(2 ** 30);
    for (let i = 0; i < 5; i++) expect(count.put()).toBe(false);
    expect(count.count).toBe(2 ** 30);
  });

  it('is back at its value after a restore', () => {
    const kernel = new Kernel();
    const count = new Refcount(kernel, 'mm', 3);
    const { restore } = kernel.checkpoints.take();
    count.put();
    restore();
    expect(count.count).toBe(3);
  });
});
