import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, filled, inSpace, load, PAGE, RW, type Space, store } from '../../test/address-space.js';
import {
  Collapse,
  CopyOnWrite,
  type CoreParts,
  Forking,
  Mappings,
  Migration,
  type Mm,
  PERM,
  Protection,
  Reclaim,
  Remapping,
  Truncation,
  VMA_FLAG,
} from '../index.js';

/** One row of MN-13: an operation, how often it tells a secondary TLB in either generation, and a step that forgets to. */
interface Row {
  readonly what: string;
  readonly times: { readonly on: number; readonly off: number };
  /** Makes four pages from the first on, of which the TLB then caches all that is present. */
  make?(space: Space): Coroutine<number>;
  act(space: Space, first: number): Coroutine<void>;
  readonly silent: Partial<CoreParts>;
}

class SilentMappings extends Mappings {
  override *notify(): Coroutine<void> {}
}
class SilentProtection extends Protection {
  override *tell(): Coroutine<void> {}
}
class SilentRemapping extends Remapping {
  override *notifyOld(): Coroutine<void> {}
}
class SilentBreak extends CopyOnWrite {
  override *notifyClear(): Coroutine<void> {}
}
class SilentUpgrade extends CopyOnWrite {
  override *notifyUpgrade(): Coroutine<void> {}
}
class SilentFork extends Forking {
  override *notifyParent(): Coroutine<void> {}
}
class SilentMigration extends Migration {
  override *notifyTaken(): Coroutine<void> {}
}
class SilentReclaim extends Reclaim {
  override *notifyTaken(): Coroutine<void> {}
}
class SilentCollapse extends Collapse {
  override *notifyOld(): Coroutine<void> {}
}
class SilentTruncation extends Truncation {
  override *flush(): Coroutine<void> {}
}

const small = ({ core, mm }: Space): Coroutine<number> => filled(core, mm, 4);
const aligned = function* ({ core, mm }: Space): Coroutine<number> {
  const address = yield* core.mms.mmap(mm, 512 * PAGE, RW, null, { at: 0x4000_0000n });
  for (let i = 0; i < 4; i++) yield* store(core, mm, Number(address >> 12n) + i, i + 1);
  return Number(address >> 12n);
};
/** A file of four pages, mapped shared and written to by the CPU. */
const fileMapping = function* ({ core, mm }: Space): Coroutine<number> {
  const file = core.files.newContent(core.pageCache.create('data', 4 * PAGE));
  const address = yield* core.mms.mmap(mm, 4 * PAGE, RW, file, { flags: VMA_FLAG.SHARED });
  core.files.put(file);
  for (let i = 0; i < 4; i++) yield* store(core, mm, Number(address >> 12n) + i, i + 1);
  return Number(address >> 12n);
};
const contentOf = (mm: Mm) => mm.vmas[0]!.file!.content!;

const rows: Row[] = [
  {
    what: 'munmap',
    times: { on: 2, off: 1 },
    act: ({ core, mm }, first) => core.mms.munmap(mm, at(first), 4 * PAGE),
    silent: { Mappings: SilentMappings },
  },
  {
    what: 'mprotect, less access',
    times: { on: 1, off: 1 },
    act: ({ core, mm }, first) => core.mms.mprotect(mm, at(first), 4 * PAGE, PERM.READ),
    silent: { Protection: SilentProtection },
  },
  {
    what: 'mprotect, more access',
    times: { on: 1, off: 1 },
    make: ({ core, mm }) => filled(core, mm, 4, PERM.READ),
    act: ({ core, mm }, first) => core.mms.mprotect(mm, at(first), 4 * PAGE, RW | PERM.EXEC),
    silent: { Protection: SilentProtection },
  },
  {
    what: 'mremap, move',
    times: { on: 1, off: 1 },
    *act({ core, mm }, first) {
      yield* core.mms.mmap(mm, PAGE, RW, null, { at: at(first + 4) });
      expect(yield* core.mms.mremap(mm, at(first), 4 * PAGE, 8 * PAGE)).not.toBe(at(first));
    },
    silent: { Remapping: SilentRemapping },
  },
  {
    what: 'COW break',
    times: { on: 1, off: 1 },
    *make({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 1);
      yield* core.mms.put(yield* core.mms.fork(mm));
      // The child lives on while the parent writes.
      children.push(yield* core.mms.fork(mm));
      tlb.log.length = 0;
      return first;
    },
    *act({ core, mm }, first) {
      yield* store(core, mm, first, 9);
      for (const child of children.splice(0)) {
        expect(yield* load(core, child, first)).toBe(1);
        yield* core.mms.put(child);
      }
    },
    silent: { CopyOnWrite: SilentBreak },
  },
  {
    what: 'read-only to read-write, same page',
    times: { on: 1, off: 1 },
    *make({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 1);
      yield* core.mms.put(yield* core.mms.fork(mm));
      tlb.log.length = 0;
      return first;
    },
    act: ({ core, mm }, first) => store(core, mm, first, 9),
    silent: { CopyOnWrite: SilentUpgrade },
  },
  {
    what: 'fork',
    times: { on: 1, off: 1 },
    *act({ core, mm }) {
      yield* core.mms.put(yield* core.mms.fork(mm));
    },
    silent: { Forking: SilentFork },
  },
  {
    what: 'reclaim',
    times: { on: 4, off: 4 },
    *act({ core, mm }, first) {
      for (let i = 0; i < 4; i++) expect(yield* core.mms.reclaim(mm, first + i)).toBe(true);
    },
    silent: { Reclaim: SilentReclaim },
  },
  {
    what: 'migration',
    times: { on: 4, off: 4 },
    *act({ core, mm }, first) {
      for (let i = 0; i < 4; i++) expect(yield* core.mms.migrate(mm, first + i)).toBe(true);
    },
    silent: { Migration: SilentMigration },
  },
  {
    what: 'collapse into a block',
    times: { on: 1, off: 1 },
    make: aligned,
    *act({ core, mm }, first) {
      expect(yield* core.mms.collapse(mm, first)).toBe(true);
    },
    silent: { Collapse: SilentCollapse },
  },
  {
    what: 'split of a block',
    times: { on: 2, off: 2 },
    *make(space) {
      const first = yield* aligned(space);
      yield* space.core.mms.collapse(space.mm, first);
      space.tlb.log.length = 0;
      return first;
    },
    act: ({ core, mm }, first) => core.mms.mprotect(mm, at(first), 2 * PAGE, PERM.READ),
    silent: { Mappings: SilentMappings },
  },
  {
    what: 'madvise DONTNEED',
    times: { on: 2, off: 1 },
    act: ({ core, mm }, first) => core.mms.madviseDontneed(mm, at(first), 4 * PAGE),
    silent: { Mappings: SilentMappings },
  },
  {
    what: 'truncate',
    times: { on: 2, off: 1 },
    make: fileMapping,
    act: ({ core, mm }) => core.truncation.truncate(contentOf(mm), PAGE),
    silent: { Truncation: SilentTruncation },
  },
  {
    what: 'hole punch',
    times: { on: 2, off: 1 },
    make: fileMapping,
    act: ({ core, mm }) => core.truncation.punchHole(contentOf(mm), PAGE, 2 * PAGE),
    silent: { Truncation: SilentTruncation },
  },
  {
    what: 'OOM reaping',
    times: { on: 2, off: 1 },
    *act({ core, mm }) {
      expect(yield* core.mms.oomReap(mm)).toBe(true);
    },
    silent: { Mappings: SilentMappings },
  },
];
/** Address spaces that outlive a preparation. */
const children: Mm[] = [];

function run(row: Row, duplicate: 'on' | 'off', parts: Partial<CoreParts>): { told: number; stale: number[] } {
  const seen = { told: 0, stale: [] as number[] };
  inSpace(
    function* (space) {
      const { tlb } = space;
      const first = yield* (row.make ?? small)(space);
      tlb.log.length = 0;
      for (let i = 0; i < 4; i++) tlb.translate(first + i);
      yield* row.act(space, first);
      seen.told = tlb.log.length;
      seen.stale = tlb.stale().map((page) => page - first);
    },
    { settings: { 'mn.duplicate': duplicate }, parts },
  );
  return seen;
}

describe('secondary TLBs', () => {
  it.each(rows)('are told of: $what, as often as the generation does (MN-12, MN-13)', (row) => {
    expect(run(row, 'on', {})).toEqual({ told: row.times.on, stale: [] });
    expect(run(row, 'off', {})).toEqual({ told: row.times.off, stale: [] });
  });

  it.each(rows)('are left with a stale translation when one step forgets them: $what (MN-13)', (row) => {
    expect(run(row, 'off', row.silent).stale).not.toEqual([]);
  });

  it('are not told when a page becomes present (MN-13)', () => {
    inSpace(function* ({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 2);
      yield* load(core, mm, first);
      expect(tlb.log).toEqual([]);
    });
  });

  it('are told of nothing but release when the address space ends (MN-8, MN-13)', () => {
    let log: string[] = [];
    inSpace(function* ({ core, mm, tlb }) {
      const first = yield* filled(core, mm, 2);
      tlb.translate(first);
      log = tlb.log;
    });
    expect(log).toEqual(['release']);
  });

  it('are told of the whole parent by a fork from 6.6 on, and of each mapping that is copied before (MN-13)', () => {
    const logs = (duplicate: string): string[] => {
      let log: string[] = [];
      inSpace(
        function* ({ core, mm, tlb }) {
          const first = yield* filled(core, mm, 1);
          yield* core.mms.mmap(mm, PAGE, PERM.READ);
          const lower = yield* filled(core, mm, 1);
          expect(lower).toBe(first - 2);
          tlb.log.length = 0;
          yield* core.mms.put(yield* core.mms.fork(mm));
          log = [...tlb.log];
        },
        { settings: { 'mn.duplicate': duplicate } },
      );
      return log;
    };
    // The mapping between has no page, so that there is nothing to copy.
    expect(logs('on')).toEqual(['ffffb9d14-ffffb9d15', 'ffffb9d16-ffffb9d17']);
    expect(logs('off')).toEqual(['0-10000000000000']);
  });
});
