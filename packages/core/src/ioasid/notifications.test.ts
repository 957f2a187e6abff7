import { type Kernel, WorkQueue } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { census, smallKernel } from '../../test/small-kernel.js';
import type { Core } from '../core.js';
import type { Ioasid, IoasidSet } from './ioasid.js';
import { IoasidAllocator } from './ioasid-allocator.js';
import { ioasidParts } from './ioasid-table.js';
import {
  IOASID_CHAIN,
  IOASID_PRIORITY,
  type IoasidListener,
  type IoasidNotice,
  IoasidNotifications,
  type IoasidRegistration,
} from './notifications.js';

const SET: IoasidSet = { name: 'test' };
const OTHER: IoasidSet = { name: 'other' };

/** Writes down what it is told. */
class Scribe implements IoasidListener {
  readonly log: string[];
  readonly name: string;
  readonly priority: number;

  constructor(log: string[], name: string, priority = IOASID_PRIORITY.DEVICE) {
    this.log = log;
    this.name = name;
    this.priority = priority;
  }

  notify({ event, id }: IoasidNotice): void {
    this.log.push(`${this.name} ${event} ${id}`);
  }
}

function* codeOf(routine: Generator<number, unknown, void>): Generator<number, string, void> {
  try {
    yield* routine;
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('IoasidNotifications', () => {
  it('tells of each change of state once, however often a number is freed (IOASID-17)', () => {
    const small = smallKernel();
    const log: string[] = [];
    small.act(function* () {
      const { ioasid } = small.core;
      const scribe = new Scribe(log, 'it');
      yield* ioasid.notifications.register(scribe);
      const id = ioasid.alloc(SET, 1, 9, null);
      ioasid.bind(id);
      ioasid.bind(id);
      ioasid.get(id);
      ioasid.unbind(id);
      ioasid.unbind(id);
      ioasid.free(id);
      ioasid.free(id);
      ioasid.put(id);
      ioasid.put(ioasid.alloc(SET, 1, 9, null));
      yield* ioasid.notifications.unregister(scribe);
      ioasid.put(ioasid.alloc(SET, 1, 9, null));
    });
    expect(log).toEqual(['it ALLOC 1', 'it BIND 1', 'it UNBIND 1', 'it FREE 1', 'it ALLOC 1', 'it FREE 1']);
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('tells nobody of a number that was not handed out (IOASID-5, IOASID-17)', () => {
    const small = smallKernel();
    const log: string[] = [];
    small.act(function* () {
      const { ioasid } = small.core;
      ioasid.alloc(SET, 1, 1, null);
      yield* ioasid.notifications.register(new Scribe(log, 'it'));
      ioasid.alloc(SET, 1, 1, null);
    });
    expect(log).toEqual([]);
  });

  it('tells CPU, IOMMU, DEVICE and LAST in this order, whichever registered first (IOASID-17)', () => {
    const small = smallKernel();
    const log: string[] = [];
    small.act(function* () {
      const { ioasid } = small.core;
      const { CPU, IOMMU, DEVICE, LAST } = IOASID_PRIORITY;
      const order = { device: DEVICE, last: LAST, cpu: CPU, 'device 2': DEVICE, iommu: IOMMU, 'cpu 2': CPU };
      let own = false;
      for (const [name, priority] of Object.entries(order)) {
        yield* ioasid.notifications.register(new Scribe(log, name, priority), own ? { set: SET } : {});
        own = !own;
      }
      ioasid.alloc(SET, 1, 1, null);
    });
    const names = ['cpu', 'cpu 2', 'iommu', 'device', 'device 2', 'last'];
    expect(log).toEqual(names.map((name) => `${name} ALLOC 1`));
  });

  it("tells listeners of a set of that set's numbers only, and chooses chains by flags (IOASID-17)", () => {
    const small = smallKernel();
    const log: string[] = [];
    small.act(function* () {
      const { ioasid } = small.core;
      yield* ioasid.notifications.register(new Scribe(log, 'all'));
      yield* ioasid.notifications.register(new Scribe(log, 'own'), { set: SET });
      ioasid.alloc(SET, 1, 9, null);
      ioasid.alloc(OTHER, 1, 9, null);
      expect(log.splice(0)).toEqual(['all ALLOC 1', 'own ALLOC 1', 'all ALLOC 2']);
      ioasid.bind(1, IOASID_CHAIN.SET);
      ioasid.unbind(1, IOASID_CHAIN.GLOBAL);
      ioasid.bind(2, IOASID_CHAIN.SET);
      expect(log).toEqual(['own BIND 1', 'all UNBIND 1']);
    });
  });

  it('keeps a registration pending until a set with its token exists (IOASID-17)', () => {
    const small = smallKernel();
    const log: string[] = [];
    small.act(function* () {
      const { ioasid } = small.core;
      const token = { an: 'mm' };
      const early = new Scribe(log, 'early');
      yield* ioasid.notifications.register(early, { token });
      ioasid.alloc(OTHER, 1, 9, null);
      expect(ioasid.notifications.pending()).toEqual([early]);
      const id = ioasid.alloc({ name: 'of an mm', token }, 1, 9, null);
      expect(ioasid.notifications.pending()).toEqual([]);
      ioasid.alloc({ name: 'of another', token: { an: 'mm' } }, 1, 9, null);
      ioasid.free(id);
      expect(ioasid.notifications.pending()).toEqual([early]);
      yield* ioasid.notifications.unregister(early);
      expect(ioasid.notifications.pending()).toEqual([]);
    });
    expect(log).toEqual(['early ALLOC 2', 'early FREE 2']);
  });

  it('refuses a listener that is registered, and one that is not', () => {
    const small = smallKernel();
    small.act(function* () {
      const { notifications } = small.core.ioasid;
      const scribe = new Scribe([], 'it');
      expect(yield* codeOf(notifications.unregister(scribe))).toBe('ENOENT');
      expect(yield* codeOf(notifications.register(scribe))).toBe('ok');
      expect(yield* codeOf(notifications.register(scribe, { set: SET }))).toBe('EEXIST');
      expect(yield* codeOf(notifications.unregister(scribe))).toBe('ok');
    });
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('tells what it tells in atomic context: a listener that sleeps is reported (IOASID-17)', () => {
    const small = smallKernel();
    small.kernel.spawn('owner', function* () {
      const { ioasid, kernel } = small.core;
      yield* ioasid.notifications.register({
        priority: IOASID_PRIORITY.CPU,
        notify: () => kernel.mightSleep('a listener'),
      });
      ioasid.alloc(SET, 1, 9, null);
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10' } });
  });

  it('frees the number for its listeners before it is handed out again (IOASID-17)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      const seen: boolean[] = [];
      yield* ioasid.notifications.register({
        priority: IOASID_PRIORITY.CPU,
        notify: ({ event, id }) => {
          if (event === 'FREE') seen.push(ioasid.numbers().has(id));
        },
      });
      ioasid.free(ioasid.alloc(SET, 1, 9, null));
      ioasid.put(ioasid.alloc(SET, 1, 9, null));
      expect(seen).toEqual([true, true]);
    });
  });
});

/** Holds a reference while it is bound, and drops it when the number is freed: at once, or from deferred work. */
class Holder implements IoasidListener {
  readonly priority = IOASID_PRIORITY.CPU;
  readonly ioasid: IoasidAllocator;
  readonly work: WorkQueue | null;

  constructor(ioasid: IoasidAllocator, work: WorkQueue | null) {
    this.ioasid = ioasid;
    this.work = work;
  }

  notify({ event, id }: IoasidNotice): void {
    if (event === 'FREE') this.letGo(id);
  }

  letGo(id: number): void {
    const { ioasid } = this;
    if (this.work === null) ioasid.put(id);
    else {
      this.work.queue({
        *run() {
          yield* ioasid.lock.turn();
          ioasid.put(id);
        },
      });
    }
  }
}

function freeWithHolder(core: Core, kernel: Kernel, deferred: boolean): void {
  const work = deferred ? new WorkQueue(kernel, 'ioasid put', { ordered: true }) : null;
  kernel.spawn('owner', function* () {
    const { ioasid } = core;
    yield* ioasid.notifications.register(new Holder(ioasid, work));
    const id = ioasid.alloc(SET, 1, 9, null);
    ioasid.get(id);
    ioasid.free(id);
    ioasid.free(id);
  });
}

describe('broken notifications', () => {
  it('a listener that changes numbers itself recurses into the lock; one with deferred work does not (IOASID-17)', () => {
    for (const deferred of [true, false]) {
      const small = smallKernel();
      freeWithHolder(small.core, small.kernel, deferred);
      const violation = { end: 'violation', violation: { invariant: 'INV-10' } };
      expect(small.run()).toMatchObject(deferred ? { end: 'finished' } : violation);
      if (deferred) expect(small.core.ioasid.inUse()).toBe(0);
    }
  });

  it('a FREE event for every free drops a reference too many (broken IOASID-17)', () => {
    class NotifiesEveryFree extends IoasidAllocator {
      override freedAgain(record: Ioasid): void {
        this.deactivate(record);
      }
    }
    const small = smallKernel({ parts: { IoasidAllocator: NotifiesEveryFree } });
    freeWithHolder(small.core, small.kernel, true);
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it('a device is done with a number that the CPU still submits, without an order (broken IOASID-17)', () => {
    class Unordered extends IoasidNotifications {
      override insert(registration: IoasidRegistration): void {
        this.registrations.push(registration);
      }
    }
    class UnorderedAllocator extends IoasidAllocator {
      constructor(core: Core) {
        super(core, { ...ioasidParts, IoasidNotifications: Unordered });
      }
    }
    const submittedAfterStop = (part: typeof IoasidAllocator): boolean => {
      const small = smallKernel({ parts: { IoasidAllocator: part } });
      let submits = true;
      let late = false;
      small.act(function* () {
        const { ioasid } = small.core;
        const device = { priority: IOASID_PRIORITY.DEVICE, notify: () => void (late = submits) };
        const cpu = { priority: IOASID_PRIORITY.CPU, notify: () => void (submits = false) };
        const id = ioasid.alloc(SET, 1, 9, null);
        yield* ioasid.notifications.register(device);
        yield* ioasid.notifications.register(cpu);
        ioasid.free(id);
      });
      return late;
    };
    expect(submittedAfterStop(IoasidAllocator)).toBe(false);
    expect(submittedAfterStop(UnorderedAllocator)).toBe(true);
  });

  it('the last put from a grace-period callback is reported (broken IOASID-15)', () => {
    class PutsInGraceCallback extends IoasidAllocator {
      override put(id: number): boolean {
        this.core.kernel.rcu.call(() => super.put(id));
        return false;
      }
    }
    const small = smallKernel({ parts: { IoasidAllocator: PutsInGraceCallback } });
    small.kernel.spawn('owner', function* () {
      const { ioasid } = small.core;
      ioasid.put(ioasid.alloc(SET, 1, 9, null));
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10' } });
  });
});
