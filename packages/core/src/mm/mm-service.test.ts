import { RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import {
  coreParts,
  type Gather,
  Mappings,
  type Mm,
  MmService,
  MmuNotifiers,
  PERM,
  type Vma,
  VmaEdits,
} from '../index.js';

const RW = PERM.READ | PERM.WRITE;

describe('MmService', () => {
  it('starts with one user, one reference and no PASID (MM-1, IOASID-3)', () => {
    const { core, bus } = smallKernel();
    const mm = core.mms.create();
    expect(mm).toMatchObject({ id: 1, space: 'mm:1', users: 1, count: 1, pasid: 0 });
    expect(bus.frames.ownerOf(mm.pgd / 4096)).toBe('mm:1 page table');
    expect(core.mms.create().space).toBe('mm:2');
  });

  it('leaves nothing behind when there is no memory for it', () => {
    const { core, kernel, baseline } = smallKernel();
    for (const n of [1, 2]) {
      kernel.injection.failAt = kernel.injection.state.count + n;
      expect(() => core.mms.create()).toThrowError(expect.objectContaining({ code: 'ENOMEM' }));
    }
    expect(census(core)).toEqual(baseline);
    expect(core.mms.create().id).toBe(1);
  });

  it('tears down in the order release, entries, tables, flush, pages, mappings (MM-5)', () => {
    const log: string[] = [];
    class Notifiers extends MmuNotifiers {
      override *release(mm: Mm) {
        log.push('release');
        yield* super.release(mm);
      }
    }
    class Steps extends MmService {
      override *unmapVmas(mm: Mm, gather: Gather) {
        yield* super.unmapVmas(mm, gather);
        log.push(`unmap ${gather.pages.length} pages, ${this.core.bus.frames.inUse()} frames in use`);
      }
      override *freePageTables(mm: Mm, gather: Gather) {
        yield* super.freePageTables(mm, gather);
        log.push(`unhook ${gather.tables.length} tables, ${this.core.bus.frames.inUse()} frames in use`);
      }
      override *removeVmas(mm: Mm) {
        log.push(`remove ${mm.vmas.length} mappings`);
        yield* super.removeVmas(mm);
      }
      override lastReference(mm: Mm) {
        log.push('free the record');
        super.lastReference(mm);
      }
    }
    class Maps extends Mappings {
      override *flushCpu() {
        log.push('flush');
      }
      override freeGather(gather: Gather) {
        super.freeGather(gather);
        log.push(`${this.core.bus.frames.inUse()} frames in use`);
      }
    }
    class Edits extends VmaEdits {
      override free(vma: Vma) {
        log.push('mapping');
        super.free(vma);
      }
    }
    const small = smallKernel({
      parts: { ...coreParts, MmService: Steps, MmuNotifiers: Notifiers, Mappings: Maps, VmaEdits: Edits },
    });
    const { core, baseline } = small;
    const listener = new Listener(log);
    small.act(function* () {
      const mm = core.mms.create();
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      const address = yield* core.mms.mmap(mm, 8192, RW);
      yield* core.mms.mmap(mm, 4096, PERM.READ);
      yield* core.cpu.fill(mm, address, 8192, () => 1);
      yield* core.mms.put(mm);
      core.notifiers.put(subscription);
    });
    expect(log).toEqual([
      'release',
      'release mm:1',
      'unmap 2 pages, 6 frames in use',
      'unhook 3 tables, 6 frames in use',
      'flush',
      '1 frames in use',
      'remove 2 mappings',
      'mapping',
      'mapping',
      'free the record',
    ]);
    expect(census(core)).toEqual(baseline);
  });

  it('keeps the top-level table until the last reference, past the end of the address space (MM-4)', () => {
    const small = smallKernel();
    const { core, bus } = small;
    small.act(function* () {
      const mm = core.mms.create();
      core.mms.grab(mm);
      yield* core.mms.put(mm);
      expect(mm.users).toBe(0);
      expect(bus.frames.story(mm.pgd / 4096)).toBe(null);
      const pgd = mm.pgd / 4096;
      core.mms.drop(mm);
      expect(bus.frames.story(pgd)).toContain('it was freed');
    });
    expect(small.log).toEqual(['mm_exit_mmap: mm=mm:1', 'mm_free: mm=mm:1']);
  });

  it('refuses a user after the last one (MM-1)', () => {
    const small = smallKernel();
    small.act(function* () {
      const mm = small.core.mms.create();
      small.core.mms.grab(mm);
      yield* small.core.mms.put(mm);
      expect(yield* small.core.mms.getNotZero(mm)).toBe(false);
      small.core.mms.drop(mm);
    });
  });

  it('reports a user that goes without having come', () => {
    const small = smallKernel();
    small.kernel.spawn('stray', function* () {
      const mm = small.core.mms.create();
      small.core.mms.grab(mm);
      yield* small.core.mms.put(mm);
      yield* small.core.mms.put(mm);
    });
    expect(small.run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-9' } });
  });

  it('runs the teardown in whichever task puts the last user, under any schedule (MM-8)', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const small = smallKernel();
      const { core, kernel } = small;
      const mm = core.mms.create();
      mm.users = 2;
      let who = '';
      kernel.trace.add({
        event: ({ point, task }) => {
          if (point.name === 'mm_exit_mmap') who += task;
        },
      });
      for (const name of ['a', 'b']) kernel.spawn(name, () => core.mms.put(mm));
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
      expect(census(core)).toEqual(small.baseline);
      seen.add(who);
    }
    expect([...seen].sort()).toEqual(['a', 'b']);
  });
});
