import { type Coroutine, Observer, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import type { Subscription } from './mmu-notifier.js';

describe('MmuNotifiers', () => {
  it('finds an existing subscription by ops and address space, and counts its users (MN-2)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener();
    const other = new Listener();
    let made = 0;
    const make = function* (subscription: Subscription): Coroutine<void> {
      made++;
      subscription.data = 'data';
    };
    small.act(function* () {
      const mm = core.mms.create();
      const first = yield* core.notifiers.get(listener, mm, make);
      expect(yield* core.notifiers.get(listener, mm, make)).toBe(first);
      expect(yield* core.notifiers.get(other, mm, make)).not.toBe(first);
      expect([made, first.users, first.data, mm.count]).toEqual([2, 2, 'data', 3]);
      core.notifiers.put(first);
      expect(first.listed).toBe(true);
      for (const subscription of [...mm.subscriptions]) core.notifiers.put(subscription);
      yield* core.notifiers.synchronize();
      expect([listener.freed, other.freed, mm.count]).toEqual([1, 1, 1]);
      yield* core.mms.put(mm);
      expect([...listener.log, ...other.log]).toEqual([]);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('refuses a dying address space (MN-1, SVA-6)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener();
    const codes: string[] = [];
    small.act(function* () {
      const mm = core.mms.create();
      core.mms.grab(mm);
      yield* core.mms.put(mm);
      for (const attempt of [
        () => core.notifiers.get(listener, mm, listener.make),
        () => core.notifiers.register(listener, mm, null),
      ]) {
        try {
          yield* attempt();
        } catch (error) {
          codes.push((error as { code: string }).code);
        }
      }
      core.mms.drop(mm);
    });
    expect(codes).toEqual(['EINVAL', 'EINVAL']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('leaves nothing behind when making the data fails', () => {
    const small = smallKernel();
    const { core } = small;
    small.act(function* () {
      const mm = core.mms.create();
      let message = '';
      try {
        yield* core.notifiers.get(new Listener(), mm, function* () {
          throw new Error('no ASID');
        });
      } catch (error) {
        message = (error as Error).message;
      }
      expect([message, mm.count, mm.subscriptions.length]).toEqual(['no ASID', 1, 0]);
      yield* core.mms.put(mm);
    });
    expect(census(core)).toEqual(small.baseline);
  });

  it('calls release once at the end of the address space, and nothing after it (MN-6, MN-8)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener();
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      const address = yield* core.mms.mmap(mm, 4096, 3);
      yield* core.cpu.store(mm, address, Uint8Array.of(1));
      yield* core.mms.put(mm);
      expect([subscription.listed, mm.count]).toEqual([false, 1]);
      core.notifiers.put(subscription);
    });
    expect(listener.log).toEqual(['release mm:1']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('puts from within release (MN-4)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener();
    listener.release = function* (subscription) {
      core.notifiers.put(subscription);
    };
    small.act(function* () {
      const mm = core.mms.create();
      yield* core.notifiers.get(listener, mm, listener.make);
      yield* core.mms.put(mm);
    });
    expect(listener.freed).toBe(1);
    expect(census(core)).toEqual(small.baseline);
  });

  it('unregisters with a release, and waits for running callbacks (MN-3)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const log: string[] = [];
    const slow = new Listener(log);
    slow.invalidateRange = function* () {
      log.push('begin');
      yield* kernel.clock.sleep(100);
      log.push('end');
    };
    let subscription: Subscription | null = null;
    const mm = core.mms.create();
    kernel.spawn('owner', function* () {
      subscription = yield* core.notifiers.register(slow, mm, null);
      yield* kernel.clock.sleep(50);
      yield* core.notifiers.unregister(subscription);
      log.push('unregistered');
      yield* core.mms.put(mm);
    });
    kernel.spawn('munmap', function* () {
      yield* kernel.clock.sleep(10);
      yield* core.notifiers.invalidateRange(mm, 0x1000n, 0x2000n);
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual(['begin', 'release mm:1', 'end', 'unregistered']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('makes exit wait for a release that unregister started, before any page goes (MN-9)', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const small = smallKernel();
      const { core, kernel } = small;
      let releases = 0;
      let running = 0;
      const slow = new Listener();
      slow.release = function* () {
        running++;
        releases++;
        yield* kernel.clock.sleep(100);
        running--;
      };
      const mm = core.mms.create();
      kernel.observer = new (class extends Observer {
        override frame(_pfn: number, owner: string, allocated: boolean) {
          if (!allocated && owner === 'mm:1 page') expect(running).toBe(0);
        }
      })();
      const subscriptions: Subscription[] = [];
      kernel.spawn('exit', function* () {
        subscriptions.push(yield* core.notifiers.register(slow, mm, null));
        const address = yield* core.mms.mmap(mm, 4096, 3);
        yield* core.cpu.store(mm, address, Uint8Array.of(1));
        yield* kernel.clock.sleep(1);
        yield* core.mms.put(mm);
      });
      kernel.spawn('owner', function* () {
        yield* kernel.clock.sleep(1);
        yield* core.notifiers.unregister(subscriptions[0]!);
      });
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
      expect(releases).toBeGreaterThan(0);
      expect(census(core)).toEqual(small.baseline);
    }
  });

  it('does not free a subscription under a running callback (SVA-14)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const listener = new Listener();
    let alive = 0;
    listener.invalidateRange = function* (subscription) {
      yield* kernel.clock.sleep(100);
      expect(subscription.mm).toBe(mm);
      alive++;
    };
    const mm = core.mms.create();
    kernel.spawn('owner', function* () {
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      yield* kernel.clock.sleep(50);
      core.notifiers.put(subscription);
      expect(listener.freed).toBe(0);
      yield* core.notifiers.synchronize();
      expect([alive, listener.freed]).toEqual([1, 1]);
      yield* core.mms.put(mm);
    });
    kernel.spawn('munmap', function* () {
      yield* kernel.clock.sleep(10);
      yield* core.notifiers.invalidateRange(mm, 0n, 0x1000n);
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });

  it('tells the observer of callbacks, in pages, both ends included', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const log: string[] = [];
    kernel.observer = new (class extends Observer {
      override invalidating(...about: number[]) {
        log.push(`invalidating ${about}`);
      }
      override invalidated(...about: number[]) {
        log.push(`invalidated ${about}`);
      }
      override releasing(pasid: number) {
        log.push(`releasing ${pasid}`);
      }
      override released(pasid: number) {
        log.push(`released ${pasid}`);
      }
    })();
    const listener = new Listener(log);
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      yield* core.notifiers.invalidateRange(mm, 0x1000n, 0x3000n);
      core.sva.allocPasid(mm, 1, 7);
      yield* core.notifiers.invalidateRange(mm, 0x1000n, 0x3000n);
      yield* core.mms.put(mm);
      core.sva.freePasid(mm);
      core.notifiers.put(subscription);
    });
    expect(log).toEqual([
      'invalidate mm:1 [0x1000, 0x3000)',
      'invalidating 1,1,2',
      'invalidate mm:1 [0x1000, 0x3000)',
      'invalidated 1,1,2',
      'releasing 1',
      'release mm:1',
      'released 1',
    ]);
    expect(census(core)).toEqual(small.baseline);
  });
});
