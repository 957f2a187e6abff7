import {
  CacheLines,
  FairChooser,
  Kernel,
  LINE,
  type Outcome,
  PhysicalMemory,
  type TracePoint,
  tracepoint,
} from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { leaks, Oracles } from './index.js';

/** A kernel with RAM, watched; `task` runs as its only task, and the outcome is returned. */
function watched() {
  const kernel = new Kernel();
  const memory = new PhysicalMemory(kernel, [{ base: 0x40000000, bytes: 4 << 20 }]);
  const oracles = new Oracles(kernel, memory);
  kernel.observer = oracles;
  const run = (task: () => void) => {
    kernel.spawn('device', function* () {
      task();
    });
    kernel.begin(new FairChooser());
    return kernel.run();
  };
  return { kernel, memory, oracles, run };
}

/** Three devices, the third behind another unit. */
const BONDS = [
  ['a', 'unit-1'],
  ['b', 'unit-1'],
  ['c', 'unit-2'],
] as const;

/** A cache with one line: page 5 of PASID 1. */
function oneLine(memory: PhysicalMemory, pfn: number, name = 'unit-1 IOTLB'): CacheLines {
  const lines = new CacheLines(name, 4);
  lines.tag[0] = 5;
  lines.page[0] = 5;
  lines.pasid[0] = 1;
  lines.frame[0] = pfn;
  lines.flags[0] = LINE.READ;
  lines.generation[0] = memory.generationOf(pfn);
  return lines;
}

const violation = (invariant: string, story: RegExp) => ({
  end: 'violation',
  violation: { invariant, story: expect.stringMatching(story) as unknown },
});

describe('Oracles', () => {
  it('reports INV-1 when a cached line leads to a frame that was freed', () => {
    const { memory, oracles, run } = watched();
    const outcome = run(() => {
      const pfn = memory.frames.alloc('mm:1 page');
      const lines = oneLine(memory, pfn);
      oracles.used(lines, 0);
      memory.frames.free(pfn);
      oracles.used(lines, 0);
    });
    expect(outcome).toMatchObject(violation('INV-1', /freed by device.*mm:1 page/));
  });

  it('reports INV-1 when the frame was freed and given to somebody else', () => {
    const { memory, oracles, run } = watched();
    const outcome = run(() => {
      const pfn = memory.frames.alloc('mm:1 page');
      const witness = memory.generationOf(pfn);
      oracles.dma('0000:00:03.0', 24, 1, pfn, witness, true);
      memory.frames.free(pfn);
      memory.frames.alloc('mm:2 page');
      oracles.dma('0000:00:03.0', 24, 1, pfn, witness, true);
    });
    expect(outcome).toMatchObject(violation('INV-1', /writes frame.*belongs to mm:2 page now/));
  });

  it('reports INV-2 when a walker fetches from a frame that is free, or that is no table any more', () => {
    for (const reuse of [false, true]) {
      const { memory, oracles, run } = watched();
      const outcome = run(() => {
        const pfn = memory.frames.alloc('mm:1 page table');
        oracles.fetched('smmu', pfn, 'page table', 24, 1);
        memory.frames.free(pfn);
        if (reuse) memory.frames.alloc('mm:2 page');
        oracles.fetched('smmu', pfn, 'page table', 24, 1);
      });
      expect(outcome).toMatchObject(violation('INV-2', /fetches a page table entry/));
    }
  });

  it('reports INV-2 for a frame that was never allocated', () => {
    const { memory, oracles, run } = watched();
    const pfn = memory.firstPfn + 7;
    expect(run(() => oracles.fetched('smmu', pfn, 'page table', 24, 1))).toMatchObject(
      violation('INV-2', /never allocated/),
    );
  });

  it('judges a frame anew after a restore (INV-2)', () => {
    const { kernel, memory, oracles, run } = watched();
    const checkpoint = kernel.checkpoints.take();
    const first = run(() => oracles.fetched('smmu', memory.frames.alloc('mm:1 page table'), 'page table', 24, 1));
    expect(first.end).toBe('finished');
    checkpoint.restore();
    const again = run(() => oracles.fetched('smmu', memory.frames.alloc('mm:1 page'), 'page table', 24, 1));
    expect(again).toMatchObject(violation('INV-2', /fetches a page table entry/));
  });

  it('reports INV-3 for an answer to a group that is not pending, and for a group that is never answered', () => {
    const { oracles, run } = watched();
    expect(run(() => oracles.faultAnswered('dev', 1, 7, 0))).toMatchObject(violation('INV-3', /group 7.*not pending/));
    const other = watched();
    other.run(() => {
      other.oracles.faultAccepted('dev', 1, 8, false, 5);
      other.oracles.faultAccepted('dev', 1, 8, true, 6);
    });
    expect(other.oracles.atEnd([], [])).toEqual([
      { invariant: 'INV-3', story: 'group 8 of dev, PASID 1 was never answered' },
    ]);
  });

  it('reports INV-5 for an unrecoverable event between release and unbind, and only there', () => {
    const { oracles, run } = watched();
    const outcome = run(() => {
      oracles.event('smmu', 24, 1, 'C_BAD_CD', false);
      oracles.releasing(1);
      oracles.event('smmu', 24, 2, 'C_BAD_CD', false);
      oracles.event('smmu', 24, 1, 'F_TRANSLATION', true);
      oracles.unbound(24, 1);
      oracles.event('smmu', 24, 1, 'C_BAD_CD', false);
    });
    expect(outcome.end).toBe('finished');
    const dying = watched();
    const end = dying.run(() => {
      dying.oracles.releasing(1);
      dying.oracles.event('smmu', 24, 1, 'C_BAD_CD', false);
    });
    expect(end).toMatchObject(violation('INV-5', /records C_BAD_CD/));
  });

  it('reports INV-7 when a line older than an invalidation is used after it returned', () => {
    const { kernel, memory, oracles, run } = watched();
    const outcome = run(() => {
      const lines = oneLine(memory, memory.frames.alloc('mm:1 page'));
      oracles.cache(lines);
      kernel.steps = 10;
      oracles.invalidating(1, 5, 6);
      oracles.used(lines, 0);
      oracles.invalidated(1, 5, 6);
      oracles.used(lines, 0);
    });
    expect(outcome).toMatchObject(violation('INV-7', /page 0x5 of PASID 1/));
  });

  it('accepts a line outside the range, of another PASID, or filled after the invalidation began (INV-7)', () => {
    const { kernel, memory, oracles, run } = watched();
    const outcome = run(() => {
      const lines = oneLine(memory, memory.frames.alloc('mm:1 page'));
      oracles.cache(lines);
      kernel.steps = 10;
      for (const [pasid, first, last] of [
        [1, 6, 9],
        [2, 5, 5],
      ] as const) {
        oracles.invalidating(pasid, first, last);
        oracles.invalidated(pasid, first, last);
      }
      oracles.invalidating(1, 5, 5);
      lines.born[0] = 11;
      oracles.invalidated(1, 5, 5);
      oracles.used(lines, 0);
    });
    expect(outcome.end).toBe('finished');
  });

  it('reports INV-7 when a walk that an invalidation has overtaken fills a line, and that is used (MN-18)', () => {
    const after = (filledBy: (kernel: Kernel) => number): Outcome => {
      const { kernel, memory, oracles, run } = watched();
      return run(() => {
        const lines = oneLine(memory, memory.frames.alloc('mm:1 page'));
        lines.tag[0] = -1;
        oracles.cache(lines);
        kernel.steps = 10;
        oracles.invalidating(1, 5, 6);
        oracles.invalidated(1, 5, 6);
        kernel.steps = 12;
        lines.tag[0] = 5;
        lines.born[0] = filledBy(kernel);
        oracles.filled(lines, 0);
        oracles.used(lines, 0);
      });
    };
    expect(after(() => 9)).toMatchObject(violation('INV-7', /page 0x5 of PASID 1/));
    expect(after(() => 10).end).toBe('finished');
    // Another run: its steps count from 0 again.
    const next = after((kernel) => {
      kernel.steps = 4;
      return 3;
    });
    expect(next.end).toBe('finished');
  });

  it('judges lines about tables by what becomes of the tables, not of pages (INV-2, INV-7)', () => {
    const make = (): ReturnType<typeof watched> & { lines: CacheLines; frame: number } => {
      const it = watched();
      const frame = it.memory.frames.alloc('mm:1 page table');
      const lines = new CacheLines('walk cache', 1, 'tables');
      const one = oneLine(it.memory, frame);
      for (const field of ['tag', 'page', 'frame', 'pasid', 'generation'] as const) lines[field][0] = one[field][0]!;
      it.oracles.cache(lines);
      return { ...it, lines, frame };
    };
    const kept = make();
    const unmapped = kept.run(() => {
      kept.kernel.steps = 10;
      kept.oracles.invalidating(1, 5, 6);
      kept.oracles.invalidated(1, 5, 6);
      kept.oracles.used(kept.lines, 0);
    });
    expect(unmapped.end).toBe('finished');
    const freed = make();
    const outcome = freed.run(() => {
      freed.memory.frames.free(freed.frame);
      freed.oracles.used(freed.lines, 0);
    });
    expect(outcome).toMatchObject(violation('INV-2', /walk cache/));
    const released = make();
    const late = released.run(() => {
      released.oracles.released(1);
      released.oracles.used(released.lines, 0);
    });
    expect(late).toMatchObject(violation('INV-7', /walk cache/));
  });

  it('leaves what devices share to those that are still bound, and reports the caches of those that are not (INV-7)', () => {
    const after = (name: string, gone: number) => {
      const { memory, oracles, run } = watched();
      return run(() => {
        const lines = oneLine(memory, memory.frames.alloc('mm:1 page'), name);
        oracles.cache(lines);
        // The streams of one unit mean nothing to another one.
        for (const [device, unit] of BONDS) oracles.bound(24, 1, 'mm:1', device, unit);
        for (const [device, unit] of BONDS.slice(0, gone)) oracles.unbound(24, 1, device, unit);
        oracles.used(lines, 0);
      });
    };
    const stale = violation('INV-7', /page 0x5 of PASID 1/);
    expect(after('a ATC', 1)).toMatchObject(stale);
    for (const name of ['b ATC', 'c ATC', 'unit-1 IOTLB', 'unit-2 IOTLB']) expect(after(name, 1).end).toBe('finished');
    for (const name of ['b ATC', 'unit-1 IOTLB']) expect(after(name, 2)).toMatchObject(stale);
    for (const name of ['c ATC', 'unit-2 IOTLB']) expect(after(name, 2).end).toBe('finished');
    for (const name of ['c ATC', 'unit-2 IOTLB']) expect(after(name, 3)).toMatchObject(stale);
  });

  it('goes on watching a death while one of two devices is unbound (INV-5)', () => {
    const { oracles, run } = watched();
    const outcome = run(() => {
      for (const stream of [24, 32]) oracles.bound(stream, 1, 'mm:1');
      oracles.releasing(1);
      oracles.unbound(24, 1);
      oracles.event('smmu', 32, 1, 'C_BAD_CD', false);
    });
    expect(outcome).toMatchObject(violation('INV-5', /PASID 1/));
  });

  it('reports INV-7 for any line that survives release or unbind', () => {
    for (const how of ['released', 'unbound'] as const) {
      const { memory, oracles, run } = watched();
      const outcome = run(() => {
        const lines = oneLine(memory, memory.frames.alloc('mm:1 page'));
        oracles.cache(lines);
        if (how === 'released') oracles.released(1);
        else oracles.unbound(24, 1);
        oracles.used(lines, 0);
      });
      expect(outcome).toMatchObject(violation('INV-7', /after an invalidation/));
    }
  });

  it('reports INV-18 for a trace that is not legal', () => {
    const bind = tracepoint<{ dev: string; pasid: number }>('smmu_bind_alloc', (r) => `dev=${r.dev}`);
    const free = tracepoint<{ dev: string; pasid: number }>('smmu_unbind_free', (r) => `dev=${r.dev}`);
    const release = tracepoint<{ pasid: number }>('smmu_mm_release', (r) => `pasid=${r.pasid}`);
    const bond = { dev: 'd', pasid: 1 };
    type Bond = { dev: string; pasid: number; notifier?: number };
    const cases: [RegExp, TracePoint<Bond>[]][] = [
      [/smmu_mm_release of PASID 1 a second time/, [bind, release, release]],
      [/smmu_unbind_free of PASID 1 without its bind_alloc/, [free]],
      [/smmu_mm_release of PASID 1 without a bond/, [bind, free, release]],
    ];
    for (const [story, points] of cases) {
      const { kernel, run } = watched();
      const emit = () => {
        for (const point of points) kernel.trace.emit(point, bond);
      };
      expect(run(emit)).toMatchObject(violation('INV-18', story));
    }
  });

  it('takes one release of each notifier of a PASID for legal, and a second one of any for not (INV-18)', () => {
    const bind = tracepoint<{ pasid: number }>('vtd_bind_alloc', (r) => `pasid=${r.pasid}`);
    const release = tracepoint<{ pasid: number; notifier: number }>('vtd_mm_release', (r) => `pasid=${r.pasid}`);
    const after = (...notifiers: readonly number[]) => {
      const { kernel, run } = watched();
      return run(() => {
        for (const _device of [1, 2]) kernel.trace.emit(bind, { pasid: 1 });
        for (const notifier of notifiers) kernel.trace.emit(release, { pasid: 1, notifier });
      });
    };
    expect(after(7, 8).end).toBe('finished');
    expect(after(7, 8, 7)).toMatchObject(violation('INV-18', /vtd_mm_release of PASID 1 a second time/));
  });

  it('names what is not back at its baseline (INV-9)', () => {
    expect(
      leaks(
        [
          ['frames', 4],
          ['bond', 0],
        ],
        [
          ['frames', 5],
          ['bond', 0],
          ['mm', 1],
        ],
      ),
    ).toEqual(['frames: 5 at the end, 4 after boot', 'mm: 1 at the end, 0 after boot']);
    // Two units have a slab of this name each.
    const domains = (one: number, two: number) => [['domain', one] as const, ['domain', two] as const];
    expect(leaks(domains(1, 0), domains(1, 0))).toEqual([]);
    expect(leaks(domains(1, 0), domains(1, 1))).toEqual(['domain: 1 at the end, 0 after boot']);
  });
});
