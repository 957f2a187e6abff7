import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, filled, inSpace, PAGE, RW, store } from '../../test/address-space.js';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type Mm, type MmuNotifierOps, MmuNotifiers, type Subscription } from '../index.js';

describe('what a secondary MMU can rely on', () => {
  it('registers with one mm_count, while no callback can run (MN-1)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const listener = new Listener();
    const order: string[] = [];
    listener.invalidateRange = function* () {
      order.push('callback begins');
      yield* kernel.clock.sleep(100);
      order.push('callback ends');
    };
    kernel.spawn('main', function* () {
      const mm = core.mms.create();
      const first = yield* core.notifiers.register(listener, mm, null);
      expect(mm.count).toBe(2);
      const page = yield* filled(core, mm, 1);
      kernel.spawn('unmap', () => core.mms.munmap(mm, at(page), PAGE));
      yield* kernel.clock.sleep(1);
      const second = yield* core.notifiers.register(listener, mm, null);
      order.push('registered');
      expect(mm.count).toBe(3);
      for (const subscription of [first, second]) yield* core.notifiers.unregister(subscription);
      yield* core.mms.put(mm);
    });
    expect(small.run().end).toBe('finished');
    expect(order.at(-1)).toBe('registered');
    expect(order).toContain('callback ends');
    expect(census(core)).toEqual(small.baseline);
  });

  /** Puts the last user while a callback runs; the owner's memory goes as soon as synchronize lets it. */
  function ownerGone(parts: { MmuNotifiers?: typeof MmuNotifiers }): boolean[] {
    const small = smallKernel({ parts });
    const { core, kernel } = small;
    const owner = { alive: true };
    const seen: boolean[] = [];
    const ops: MmuNotifierOps = {
      *release() {},
      *invalidateRange() {
        yield* kernel.clock.sleep(100);
      },
      free() {
        seen.push(owner.alive);
      },
    };
    kernel.spawn('main', function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(ops, mm, function* () {});
      const page = yield* filled(core, mm, 1);
      kernel.spawn('unmap', () => core.mms.munmap(mm, at(page), PAGE));
      yield* kernel.clock.sleep(1);
      core.notifiers.put(subscription);
      yield* core.notifiers.synchronize();
      owner.alive = false;
      yield* kernel.clock.sleep(1000);
      yield* core.mms.put(mm);
    });
    expect(small.run().end).toBe('finished');
    return seen;
  }

  it('waits for what was put before its own memory goes (MN-5, SVA-17)', () => {
    class DoesNotWait extends MmuNotifiers {
      override *synchronize(): Coroutine<void> {}
    }
    expect(ownerGone({})).toEqual([true]);
    expect(ownerGone({ MmuNotifiers: DoesNotWait })).toEqual([false]);
  });

  it('is not freed under a callback that runs (MN-4, L05)', () => {
    class NoGrace extends MmuNotifiers {
      override freeLater(subscription: Subscription): void {
        this.free(subscription);
      }
    }
    const touches = (parts: { MmuNotifiers?: typeof MmuNotifiers }): string => {
      const small = smallKernel({ parts });
      const { core, kernel } = small;
      const listener = new Listener();
      listener.invalidateRange = function* (subscription) {
        yield* kernel.clock.sleep(100);
        listener.log.push(`callback of ${subscription.mm.space}`);
      };
      kernel.spawn('main', function* () {
        const mm = core.mms.create();
        const subscription = yield* core.notifiers.get(listener, mm, listener.make);
        const page = yield* filled(core, mm, 1);
        kernel.spawn('unmap', () => core.mms.munmap(mm, at(page), PAGE));
        yield* kernel.clock.sleep(1);
        core.notifiers.put(subscription);
        yield* kernel.clock.sleep(1000);
        yield* core.mms.put(mm);
      });
      const outcome = small.run();
      return outcome.end === 'violation' ? outcome.violation.invariant : outcome.end;
    };
    expect(touches({})).toBe('finished');
    expect(touches({ MmuNotifiers: NoGrace })).toBe('INV-9');
  });

  it('may see release twice, at once: from its owner and from the end of the address space (MN-7)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const running: number[] = [];
    let now = 0;
    const ops: MmuNotifierOps = {
      *release() {
        running.push(++now);
        yield* kernel.clock.sleep(100);
        now--;
      },
      *invalidateRange() {},
    };
    kernel.spawn('main', function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.register(ops, mm, null);
      kernel.spawn('owner', () => core.notifiers.unregister(subscription));
      yield* kernel.clock.sleep(1);
      yield* core.mms.put(mm);
    });
    expect(small.run().end).toBe('finished');
    expect(running).toEqual([1, 2]);
    expect(census(core)).toEqual(small.baseline);
  });

  it('has let go before any page does, whoever began to release it (MN-9, L05)', () => {
    class DoesNotWait extends MmuNotifiers {
      override *awaitReleases(): Coroutine<void> {}
    }
    const flushedFirst = (parts: { MmuNotifiers?: typeof MmuNotifiers }): boolean => {
      const small = smallKernel({ parts });
      const { core, kernel, bus } = small;
      const frame = { number: -1, story: null as string | null };
      let calls = 0;
      const ops: MmuNotifierOps = {
        *release() {
          // The one that unregister began is slow; the second finds nothing to do (MN-7).
          if (++calls > 1) return;
          yield* kernel.clock.sleep(100);
          frame.story = bus.frames.story(frame.number);
        },
        *invalidateRange() {},
      };
      kernel.spawn('main', function* () {
        const mm = core.mms.create();
        const subscription = yield* core.notifiers.register(ops, mm, null);
        frame.number = core.leaves.find(mm, yield* filled(core, mm, 1))!.frame;
        kernel.spawn('owner', () => core.notifiers.unregister(subscription));
        yield* kernel.clock.sleep(1);
        yield* core.mms.put(mm);
      });
      small.run();
      return frame.story === null;
    };
    expect(flushedFirst({})).toBe(true);
    expect(flushedFirst({ MmuNotifiers: DoesNotWait })).toBe(false);
  });

  it('is reported when it sleeps in a callback that comes under a spinlock (MN-10)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const listener = new Listener();
    listener.invalidateRange = function* () {
      yield* kernel.clock.sleep(1);
    };
    kernel.spawn('main', function* () {
      const mm = core.mms.create();
      const page = yield* filled(core, mm, 1);
      yield* core.notifiers.get(listener, mm, listener.make);
      const child = yield* core.mms.fork(mm);
      yield* store(core, mm, page, 2);
      yield* core.mms.put(child);
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10' } });
  });

  it('is told the start before and the end after, if it copies entries, and the change in between (MN-11)', () => {
    const log: string[] = [];
    const present = (mm: Mm, page: number): boolean => spaces.get(mm)!(page);
    const spaces = new Map<Mm, (page: number) => boolean>();
    const ops: MmuNotifierOps = {
      *release() {},
      *invalidateRange({ mm }, start) {
        log.push(`invalidate, present ${present(mm, Number(start >> 12n))}`);
      },
      *rangeStart({ mm }, start, _end, blockable) {
        log.push(`start, present ${present(mm, Number(start >> 12n))}, may sleep ${blockable}`);
        return true;
      },
      *rangeEnd({ mm }, start) {
        log.push(`end, present ${present(mm, Number(start >> 12n))}`);
      },
    };
    inSpace(
      function* ({ core, mm }) {
        spaces.set(mm, (page) => core.leaves.find(mm, page) !== null);
        const page = yield* filled(core, mm, 1);
        const subscription = yield* core.notifiers.get(ops, mm, function* () {});
        yield* core.mms.munmap(mm, at(page), PAGE);
        core.notifiers.put(subscription);
      },
      { settings: { 'mn.duplicate': 'on' } },
    );
    expect(log).toEqual([
      'start, present true, may sleep true',
      'invalidate, present false',
      'end, present false',
      'invalidate, present false',
    ]);
  });

  it('tells those the end who heard the start, when another one would have to sleep (MN-11, MM-14)', () => {
    const log: string[] = [];
    const copier = (name: string, willing: boolean): MmuNotifierOps => ({
      *release() {},
      *invalidateRange() {},
      *rangeStart() {
        log.push(`start ${name}`);
        return willing;
      },
      *rangeEnd() {
        log.push(`end ${name}`);
      },
    });
    inSpace(function* ({ core, mm }) {
      const subscriptions = [
        yield* core.notifiers.register(copier('a', true), mm, null),
        yield* core.notifiers.register(copier('b', false), mm, null),
        yield* core.notifiers.register(copier('c', true), mm, null),
      ];
      expect(yield* core.notifiers.rangeStart(mm, 0n, 4096n, false)).toBe(false);
      expect(log).toEqual(['start a', 'start b', 'end a']);
      for (const subscription of subscriptions) yield* core.notifiers.unregister(subscription);
    });
  });

  it('gets ranges whose end is excluded, up to everything there is (MN-17)', () => {
    const log: string[] = [];
    inSpace(
      function* ({ core, mm }) {
        const listener = new Listener(log);
        const subscription = yield* core.notifiers.get(listener, mm, listener.make);
        const address = yield* core.mms.mmap(mm, PAGE, RW);
        yield* store(core, mm, Number(address >> 12n), 1);
        yield* core.mms.put(yield* core.mms.fork(mm));
        yield* core.mms.munmap(mm, address, PAGE);
        core.notifiers.put(subscription);
      },
      { settings: { 'mn.duplicate': 'off' } },
    );
    expect(log).toEqual([
      'invalidate mm:1 [0x0, 0xffffffffffffffff)',
      'invalidate mm:1 [0xffffb9d16000, 0xffffb9d17000)',
    ]);
  });
});
