import type { Coroutine, Slab } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { census, type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import type { Core } from '../core.js';
import type { AllocatorGroup, IoasidOps } from './allocator-group.js';
import { CustomAllocators } from './custom-allocators.js';
import { INVALID_IOASID, type IoasidSet } from './ioasid.js';
import { IoasidAllocator } from './ioasid-allocator.js';
import { ioasidParts } from './ioasid-table.js';

const SET: IoasidSet = { name: 'test' };

/** A hypervisor that counts upwards, and never gives a number twice. */
class Hypervisor implements IoasidOps {
  readonly data: unknown;
  readonly log: string[];
  readonly alloc: IoasidOps['alloc'];
  readonly free: IoasidOps['free'];

  constructor(log: string[], data: { name: string; next: number }, functions?: IoasidOps) {
    this.log = log;
    this.data = data;
    this.alloc =
      functions?.alloc ??
      ((_min, _max, through) => {
        const guest = through as { name: string; next: number };
        log.push(`${guest.name} alloc`);
        return guest.next++;
      });
    this.free =
      functions?.free ??
      ((id, through) => {
        log.push(`${(through as { name: string }).name} free ${id}`);
      });
  }
}

function broken(overrides: Partial<typeof ioasidParts>): typeof IoasidAllocator {
  return class extends IoasidAllocator {
    constructor(core: Core) {
      super(core, { ...ioasidParts, ...overrides });
    }
  };
}

function* codeOf(routine: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* routine;
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('CustomAllocators', () => {
  it('asks the default allocator until one is registered, and again when none is left (IOASID-16 a, e)', () => {
    const small = smallKernel();
    const log: string[] = [];
    small.act(function* () {
      const { ioasid } = small.core;
      const ops = new Hypervisor(log, { name: 'a', next: 100 });
      expect(ioasid.alloc(SET, 1, 999, null)).toBe(1);
      ioasid.put(1);
      yield* ioasid.custom.register(ops);
      expect(ioasid.alloc(SET, 1, 999, 'guest')).toBe(100);
      expect(yield* ioasid.find(SET, 100)).toBe('guest');
      expect(ioasid.put(100)).toBe(true);
      yield* ioasid.custom.unregister(ops);
      expect(ioasid.alloc(SET, 1, 999, null)).toBe(1);
      ioasid.put(1);
    });
    expect(log).toEqual(['a alloc', 'a free 100']);
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('is not activated while the default allocator holds a number (IOASID-16 b)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      const ops = new Hypervisor([], { name: 'a', next: 1 });
      ioasid.alloc(SET, 1, 9, null);
      expect(yield* codeOf(ioasid.custom.register(ops))).toBe('EAGAIN');
      ioasid.put(1);
      expect(yield* codeOf(ioasid.custom.register(ops))).toBe('ok');
      yield* ioasid.custom.unregister(ops);
    });
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('refuses the same ops a second time, first of their group or not, and keeps its lists (IOASID-16 c)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { custom } = small.core.ioasid;
      const a = new Hypervisor([], { name: 'a', next: 1 });
      const b = new Hypervisor([], { name: 'b', next: 1 }, a);
      const c = new Hypervisor([], { name: 'c', next: 1 });
      for (const ops of [a, b, c]) expect(yield* codeOf(custom.register(ops))).toBe('ok');
      for (const ops of [a, b, c, b]) expect(yield* codeOf(custom.register(ops))).toBe('EEXIST');
      for (const ops of [b, a, c]) expect(yield* codeOf(custom.unregister(ops))).toBe('ok');
      expect(yield* codeOf(custom.unregister(a))).toBe('ENOENT');
    });
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('keeps one number space for ops with the same functions, whichever of them leaves first (IOASID-16 d)', () => {
    const log: string[] = [];
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      const a = new Hypervisor(log, { name: 'a', next: 10 });
      const b = new Hypervisor(log, { name: 'b', next: 20 }, a);
      yield* ioasid.custom.register(a);
      yield* ioasid.custom.register(b);
      expect(ioasid.custom.groups).toHaveLength(1);
      expect(ioasid.alloc(SET, 1, 99, null)).toBe(10);
      yield* ioasid.custom.unregister(a);
      expect(yield* ioasid.find(SET, 10)).toBe(null);
      expect(ioasid.alloc(SET, 1, 99, null)).toBe(20);
      ioasid.put(10);
      ioasid.put(20);
      yield* ioasid.custom.unregister(b);
    });
    expect(log).toEqual(['a alloc', 'b alloc', 'b free 10', 'b free 20']);
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('makes the next in order of registration active when the active one leaves (IOASID-16 e)', () => {
    const log: string[] = [];
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      const [a, b, c] = ['a', 'b', 'c'].map((name, i) => new Hypervisor(log, { name, next: 10 * (i + 1) })) as [
        Hypervisor,
        Hypervisor,
        Hypervisor,
      ];
      for (const ops of [a, b, c]) yield* ioasid.custom.register(ops);
      yield* ioasid.custom.unregister(a);
      expect(ioasid.alloc(SET, 1, 99, null)).toBe(20);
      ioasid.put(20);
      yield* ioasid.custom.unregister(c);
      expect(ioasid.alloc(SET, 1, 99, null)).toBe(21);
      ioasid.put(21);
      yield* ioasid.custom.unregister(b);
    });
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('warns and loses what the last allocator of a group holds (IOASID-16 f)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      const ops = new Hypervisor([], { name: 'a', next: 100 });
      yield* ioasid.custom.register(ops);
      ioasid.alloc(SET, 1, 999, null);
      ioasid.alloc(SET, 1, 999, null);
      yield* ioasid.custom.unregister(ops);
      expect(yield* codeOf(ioasid.find(SET, 100))).toBe('ENOENT');
    });
    expect(small.log.join()).toMatch(/ioasid_lost: count=2 ids=100,101/);
    expect(census(small.core)).toEqual(small.baseline);
  });

  it('stores the record at exactly the number that it was given, in the range or not (IOASID-16 g)', () => {
    const small = smallKernel();
    small.act(function* () {
      const { ioasid } = small.core;
      yield* ioasid.custom.register(new Hypervisor([], { name: 'a', next: 77 }));
      expect(ioasid.alloc(SET, 1, 9, 'here')).toBe(77);
      expect(yield* ioasid.find(SET, 77)).toBe('here');
    });
  });

  it('gives a refusal on, and gives a number back that it cannot track (IOASID-5)', () => {
    const log: string[] = [];
    const small = smallKernel();
    const { injection } = small.kernel;
    const guest = { name: 'a', next: INVALID_IOASID };
    small.act(function* () {
      const { ioasid } = small.core;
      yield* ioasid.custom.register(new Hypervisor(log, guest));
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(INVALID_IOASID);
      expect(log.splice(0)).toEqual(['a alloc']);
      guest.next = 5;
      injection.only = 'ioasid table';
      injection.failAt = injection.state.count + 1;
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(INVALID_IOASID);
      expect(log.splice(0)).toEqual(['a alloc', 'a free 5']);
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(6);
      guest.next = 6;
      expect(ioasid.alloc(SET, 1, 9, null)).toBe(INVALID_IOASID);
      expect(log.splice(0)).toEqual(['a alloc', 'a alloc', 'a free 6']);
      ioasid.put(6);
    });
    expect(small.core.ioasid.slab.live()).toBe(0);
  });

  it('leaves nothing behind when there is no memory to register', () => {
    for (let failAt = 1; failAt <= 2; failAt++) {
      const small = smallKernel();
      small.act(function* () {
        const { kernel, ioasid } = small.core;
        kernel.injection.failAt = kernel.injection.state.count + failAt;
        expect(yield* codeOf(ioasid.custom.register(new Hypervisor([], { name: 'a', next: 1 })))).toBe('ENOMEM');
        expect(ioasid.alloc(SET, 1, 9, null)).toBe(1);
        ioasid.put(1);
      });
      expect(census(small.core)).toEqual(small.baseline);
    }
  });

  it('is restored with a checkpoint', () => {
    const small = smallKernel();
    const a = new Hypervisor([], { name: 'a', next: 10 });
    const b = new Hypervisor([], { name: 'b', next: 20 }, a);
    const { ioasid } = small.core;
    small.act(function* () {
      yield* ioasid.custom.register(a);
      ioasid.alloc(SET, 1, 99, null);
    });
    const checkpoint = small.kernel.checkpoints.take();
    for (let run = 0; run < 2; run++) {
      small.act(function* () {
        expect(ioasid.put(10)).toBe(true);
        yield* ioasid.custom.register(b);
        yield* ioasid.custom.unregister(a);
        yield* ioasid.custom.unregister(b);
        expect(ioasid.alloc(SET, 1, 99, null)).toBe(1);
      });
      checkpoint.restore();
      expect(ioasid.inUse()).toBe(1);
      expect(ioasid.custom.groups).toHaveLength(1);
    }
  });
});

describe('broken custom allocators', () => {
  it('a list that is linked before the check leads into a freed group (broken IOASID-16 c)', () => {
    class LinksBeforeCheck extends CustomAllocators {
      override makeGroup(ops: IoasidOps): AllocatorGroup {
        const group = super.makeGroup(ops);
        this.link(ops, group);
        return group;
      }
    }
    const registerTwice = (small: SmallKernel): void => {
      small.kernel.spawn('admin', function* () {
        const { custom } = small.core.ioasid;
        const a = new Hypervisor([], { name: 'a', next: 1 });
        yield* custom.register(a);
        expect(yield* codeOf(custom.register(a))).toBe('EEXIST');
        yield* custom.register(new Hypervisor([], { name: 'b', next: 1 }));
      });
    };
    const clean = smallKernel();
    registerTwice(clean);
    expect(clean.run().end).toBe('finished');
    const small = smallKernel({ parts: { IoasidAllocator: broken({ CustomAllocators: LinksBeforeCheck }) } });
    registerTwice(small);
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it('a group that keeps the ops that left uses their freed data (broken IOASID-16 d)', () => {
    class KeepsOps extends CustomAllocators {
      override repoint(): void {}
    }
    const removeFirst = (small: SmallKernel): void => {
      const guests: Slab<{ name: string; next: number }> = small.kernel.slab('guest', { name: '', next: 1 });
      small.kernel.spawn('admin', function* () {
        const { ioasid } = small.core;
        const data = guests.alloc();
        const a = new Hypervisor([], data);
        yield* ioasid.custom.register(a);
        yield* ioasid.custom.register(new Hypervisor([], { name: 'b', next: 1 }, a));
        yield* ioasid.custom.unregister(a);
        guests.free(data);
        ioasid.alloc(SET, 1, 9, null);
      });
    };
    const clean = smallKernel();
    removeFirst(clean);
    expect(clean.run().end).toBe('finished');
    const small = smallKernel({ parts: { IoasidAllocator: broken({ CustomAllocators: KeepsOps }) } });
    removeFirst(small);
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it('a switch with numbers outstanding hands one out twice (broken IOASID-16 b)', () => {
    class NoEmptyCheck extends CustomAllocators {
      override checkDefaultEmpty(): void {}
    }
    const small = smallKernel({ parts: { IoasidAllocator: broken({ CustomAllocators: NoEmptyCheck }) } });
    small.kernel.spawn('admin', function* () {
      const { ioasid } = small.core;
      ioasid.alloc(SET, 1, 9, null);
      yield* ioasid.custom.register(new Hypervisor([], { name: 'a', next: 1 }));
      ioasid.alloc(SET, 1, 9, null);
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-4' } });
  });

  it('a number without a record stays with the hypervisor if it is not given back (broken IOASID-5)', () => {
    class NoRollback extends IoasidAllocator {
      override giveBack(): void {}
    }
    const outstanding = (part: typeof IoasidAllocator): number => {
      const log: string[] = [];
      const small = smallKernel({ parts: { IoasidAllocator: part } });
      small.act(function* () {
        const { ioasid, kernel } = small.core;
        yield* ioasid.custom.register(new Hypervisor(log, { name: 'a', next: 5 }));
        kernel.injection.only = 'ioasid table';
        kernel.injection.failAt = kernel.injection.state.count + 1;
        ioasid.alloc(SET, 1, 9, null);
      });
      return log.filter((line) => line === 'a alloc').length - log.filter((line) => line.includes('free')).length;
    };
    expect(outstanding(IoasidAllocator)).toBe(0);
    expect(outstanding(NoRollback)).toBe(1);
  });
});
