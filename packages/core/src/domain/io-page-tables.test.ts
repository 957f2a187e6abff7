import { type Coroutine, FairChooser, Kernel, PhysicalBus, RandomChooser } from '@iommukit/kernel';
import { VMSA } from '@iommukit/paging';
import { describe, expect, it } from 'vitest';
import { type SmallKernel, smallKernel } from '../../test/small-kernel.js';
import {
  type AddressSpaceFormat,
  createCore,
  IoPageTables,
  PERM,
  type TableRoot,
  VMSA_4K_48,
  VmsaFormat,
} from '../index.js';

const RW = PERM.READ | PERM.WRITE;
/** VA 3 GiB and PA 5 GiB, as page numbers: aligned to anything below 1 GiB. */
const VA = 0xc_0000;
const PA = 0x14_0000;
const MB2 = 512;

function domain(options: { format?: AddressSpaceFormat; bbml?: 0 | 1 | 2 } = {}) {
  const small = smallKernel();
  const log: string[] = [];
  const tables = new IoPageTables(small.core, {
    ...options,
    *flush(root, first, end): Coroutine<void> {
      log.push(`flush ${first - VA}-${end - VA} while ${words(tables, root, first)}`);
    },
  });
  return { small, tables, log };
}

/** The last entry on the way to a page: its level and its words. */
function words(tables: IoPageTables, root: TableRoot, page: number): string {
  const { level, entry } = tables.find(root, page);
  return `L${level} ${entry[1]!.toString(16)}:${entry[0]!.toString(16).padStart(8, '0')}`;
}

/** Runs `body` with tables that are destroyed afterwards, and expects that nothing is left. */
function within(small: SmallKernel, tables: IoPageTables, body: (root: TableRoot) => Coroutine<void>): void {
  small.act(function* () {
    const root = tables.create('domain page table');
    yield* body(root);
    tables.destroy(root);
  });
  expect(small.bus.frames.inUse()).toBe(0);
}

describe('IoPageTables.map', () => {
  it('uses the largest blocks and contiguous groups that both addresses are aligned to', () => {
    const { small, tables } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA - 1, PA - 1, 1 + 17 * MB2 + 17, RW);
      // The page before, 16 blocks of 2 MiB with the hint, one without, 16 pages with the hint, one without.
      const places = [-1, 0, 15 * MB2, 16 * MB2, 17 * MB2, 17 * MB2 + 15, 17 * MB2 + 16];
      expect(places.map((i) => words(tables, root, VA + i))).toEqual([
        'L3 600001:3fffff47',
        'L2 700001:40000f45',
        'L2 700001:41e00f45',
        'L2 600001:42000f45',
        'L3 700001:42200f47',
        'L3 700001:4220ff47',
        'L3 600001:42210f47',
      ]);
    });
  });

  it('uses pages where the two addresses are aligned differently', () => {
    const { small, tables } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA, PA + 1, MB2, RW);
      expect(words(tables, root, VA)).toBe('L3 600001:40001f47');
    });
  });

  it('maps all of a range or nothing: EEXIST leaves no page behind, ENOMEM neither', () => {
    const { small, tables, log } = domain();
    const codes: string[] = [];
    within(small, tables, function* (root) {
      yield* tables.map(root, VA + 700, PA, 1, RW);
      try {
        yield* tables.map(root, VA, PA, 1024, RW);
      } catch (error) {
        codes.push((error as { code: string }).code);
      }
      expect(tables.frameOf(root, VA)).toBe(-1);
      // The block is mapped; the table for what is left is refused.
      small.kernel.injection.failAt = small.kernel.injection.state.count + 1;
      try {
        yield* tables.map(root, VA + 2 * MB2, PA, MB2 + 1, RW);
      } catch (error) {
        codes.push((error as { code: string }).code);
      }
      expect(tables.frameOf(root, VA + 2 * MB2)).toBe(-1);
    });
    expect(codes).toEqual(['EEXIST', 'ENOMEM']);
    expect(log).toEqual(['flush 1024-1536 while L2 0:00000000']);
  });

  it('refuses what is no multiple of the format’s pages, or has too many bits', () => {
    const { small, tables } = domain({ format: new VmsaFormat(VMSA['64K/48']) });
    const refused: string[] = [];
    within(small, tables, function* (root) {
      for (const [page, frame, pages] of [
        [8, 0, 16],
        [0, 8, 16],
        [0, 0, 24],
        [0, 0, 0],
        [2 ** 36, 0, 16],
        [2 ** 36 - 16, 0, 32],
        [0, 2 ** 36, 16],
      ] as const) {
        try {
          yield* tables.map(root, page, frame, pages, RW);
        } catch (error) {
          refused.push((error as { code: string }).code);
        }
      }
    });
    expect(refused).toEqual(Array(7).fill('EINVAL'));
  });

  it('puts a block where a table without entries is, when no walk cache knows the table (MN-18)', () => {
    const { small, tables, log } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA + 3, PA, 1, RW);
      tables.release(yield* tables.unmap(root, VA + 3, 1));
      const before = small.bus.frames.inUse();
      yield* tables.map(root, VA, PA, MB2, RW);
      expect(words(tables, root, VA)).toBe('L2 600001:40000f45');
      expect(small.bus.frames.inUse()).toBe(before - 1);
    });
    expect(log).toEqual(['flush 0-512 while L2 0:00000000']);
  });
});

describe('IoPageTables', () => {
  it.each(['4K/52', '16K/52', '64K/52'] as const)('reach tables and pages above 48 bits: %s', (name) => {
    const kernel = new Kernel();
    // RAM at 0xd_8000_0000_0000: bits [51:50] are 0b11, [51:48] 0b1101.
    const bus = new PhysicalBus(kernel, [{ base: 0xd_8000_0000_0000, bytes: 2 ** 22 }]);
    const core = createCore({ kernel, bus });
    const tables = new IoPageTables(core, { format: new VmsaFormat(VMSA[name]), *flush() {} });
    kernel.spawn('driver', function* () {
      const root = tables.create('domain page table');
      expect(root.pgd).toBeGreaterThanOrEqual(0xd_8000_0000_0000);
      const last = 2 ** 40 - 32;
      yield* tables.map(root, last, 0xe_4000_1234_0, 32, RW);
      expect([tables.frameOf(root, last), tables.frameOf(root, last + 31)]).toEqual([0xe_4000_1234_0, 0xe_4000_1235_f]);
      tables.destroy(root);
    });
    kernel.begin(new FairChooser());
    expect([kernel.run().end, bus.frames.inUse()]).toEqual(['finished', 0]);
  });

  it('upgrade one block of a contiguous group, as a block (PF-5)', () => {
    const { small, tables, log } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, 2 * VA, 2 * PA, 16 * MB2, PERM.READ);
      expect(yield* tables.upgradeLeaf(root, 2 * VA + 3 * MB2 + 7, RW)).toBe(true);
      // PA 0x2_8000_0000, and 6 MiB on.
      expect([2, 3, 4].map((i) => words(tables, root, 2 * VA + i * MB2))).toEqual([
        'L2 600002:80400fc5',
        'L2 600002:80600f45',
        'L2 600002:80800fc5',
      ]);
    });
    expect(log).toEqual([`flush ${VA}-${VA + 16 * MB2} while L2 0:00000000`]);
  });

  it('let calls about different pages share tables, blocks and groups, under any schedule', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const { small, tables } = domain({ bbml: seed % 2 === 0 ? 2 : 0 });
      const { kernel } = small;
      const root = tables.create('domain page table');
      kernel.spawn('maps all', function* () {
        yield* tables.map(root, VA, PA, 2 * MB2, RW);
        const job = (name: string, first: number, pages: number) =>
          kernel.spawn(name, function* () {
            tables.release(yield* tables.unmap(root, VA + first, pages));
            yield* tables.map(root, VA + first, PA + 4 * MB2 + first, pages, PERM.READ);
          });
        job('one', 3, 2);
        job('two', 16, 16);
        job('three', 5, 1);
        job('four', MB2 - 8, 24);
        job('five', MB2 + 16, MB2 - 16);
      });
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
      const moved = (i: number) => [3, 4, 5].includes(i) || (i >= 16 && i < 32) || (i >= MB2 - 8 && i < 2 * MB2);
      for (let i = 0; i < 2 * MB2; i++) {
        const frame = tables.frameOf(root, VA + i);
        if (frame !== PA + i + (moved(i) ? 4 * MB2 : 0)) expect.fail(`seed ${seed}: page ${i} has frame ${frame - PA}`);
      }
      tables.destroy(root);
      expect(small.bus.frames.inUse()).toBe(0);
    }
  });
});

describe('IoPageTables.unmap', () => {
  it('says what to flush, and keeps unhooked tables until it was (MN-18)', () => {
    const { small, tables, log } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA + 1, PA + 1, 2 * MB2 - 1, RW);
      const before = small.bus.frames.inUse();
      const gather = yield* tables.unmap(root, VA - MB2, 4 * MB2);
      expect(gather).toMatchObject({ first: VA, end: VA + 2 * MB2, unmapped: 2 * MB2 - 1, leaf: 1, largest: MB2 });
      expect(gather.tables).toHaveLength(1);
      expect(small.bus.frames.inUse()).toBe(before);
      tables.release(gather);
      expect(small.bus.frames.inUse()).toBe(before - 1);
    });
    expect(log).toEqual([]);
  });

  it('has a table flushed that was empty already: a walk cache may know it (MN-18)', () => {
    const { small, tables } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA + 3, PA, 1, RW);
      expect(yield* tables.unmap(root, VA + 3, 1)).toMatchObject({ tables: [], first: VA + 3, end: VA + 4 });
      const gather = yield* tables.unmap(root, VA, MB2);
      expect(gather).toMatchObject({ unmapped: 0, first: VA, end: VA + MB2 });
      expect(gather.tables).toHaveLength(1);
      tables.release(gather);
      expect(yield* tables.unmap(root, VA, MB2)).toMatchObject({ unmapped: 0, tables: [], end: 0 });
    });
  });

  it('says to flush what a table without entries served: walk caches may know it (MN-18)', () => {
    const { small, tables } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA + 5, PA + 5, 1, RW);
      tables.release(yield* tables.unmap(root, VA + 5, 1));
      const gather = yield* tables.unmap(root, VA, MB2);
      expect(gather).toMatchObject({ first: VA, end: VA + MB2, unmapped: 0 });
      expect(gather.tables).toHaveLength(1);
      tables.release(gather);
    });
  });

  it('splits a block that sticks out by break-before-make: absent, flushed, then a table (smmuv3.md 3.4)', () => {
    const { small, tables, log } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA, PA, MB2, RW);
      const gather = yield* tables.unmap(root, VA + 5, 1);
      expect(gather).toMatchObject({ first: VA + 5, end: VA + 6, unmapped: 1, tables: [] });
      expect([4, 5, 511].map((i) => tables.frameOf(root, VA + i))).toEqual([PA + 4, -1, PA + 511]);
    });
    expect(log).toEqual(['flush 0-512 while L2 0:00000000']);
  });

  it('takes the hint off a contiguous group that sticks out, by break-before-make (smmuv3.md 3.4)', () => {
    const { small, tables, log } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA, PA, 32, RW);
      yield* tables.unmap(root, VA + 5, 1);
      expect([0, 5, 15, 16].map((i) => words(tables, root, VA + i))).toEqual([
        'L3 600001:40000f47',
        'L3 0:00000000',
        'L3 600001:4000ff47',
        'L3 700001:40010f47',
      ]);
    });
    expect(log).toEqual(['flush 0-16 while L3 0:00000000']);
  });

  it('changes nothing when there is no memory to split a block', () => {
    const { small, tables } = domain();
    within(small, tables, function* (root) {
      yield* tables.map(root, VA, PA, 2 * MB2, RW);
      small.kernel.injection.failAt = small.kernel.injection.state.count + 1;
      let code = '';
      try {
        yield* tables.unmap(root, VA, MB2 + 1);
      } catch (error) {
        code = (error as { code: string }).code;
      }
      expect([code, tables.frameOf(root, VA), tables.frameOf(root, VA + MB2)]).toEqual(['ENOMEM', PA, PA + MB2]);
    });
  });

  // What a device that uses the rest of a block sees while one page of it is unmapped, under many schedules.
  const holes = (bbml: 0 | 2): number => {
    let seen = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const { small, tables } = domain({ bbml });
      const { kernel } = small;
      const root = tables.create('domain page table');
      kernel.spawn('driver', function* () {
        yield* tables.map(root, VA, PA, MB2, RW);
        kernel.spawn('device', function* () {
          for (let i = 0; i < 60; i++) {
            yield* kernel.point(0, false);
            if (tables.frameOf(root, VA + 9) !== PA + 9) seen++;
          }
        });
        yield* tables.unmap(root, VA + 5, 1);
        yield* tables.unmap(root, VA + 7, 1);
      });
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
    }
    return seen;
  };

  it('interrupts those who use the rest of a block, unless hardware copes with a change of size (BBML 2)', () => {
    expect(holes(2)).toBe(0);
    expect(holes(0)).toBeGreaterThan(0);
  });

  it('keeps a dirty flag that hardware sets in a block while its table is being made (PF-10)', () => {
    const { small, tables } = domain({ format: VMSA_4K_48, bbml: 2 });
    const { kernel, bus } = small;
    let lost = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const root = tables.create('domain page table');
      kernel.spawn('driver', function* () {
        yield* tables.setBlock(root, VA, PA, RW, false, { dirty: false });
        kernel.spawn('device', function* () {
          yield* kernel.point(0, true);
          const { at, entry } = tables.find(root, VA + 9);
          VMSA_4K_48.markUsed(entry, true);
          bus.store64(at, entry[0]!, entry[1]!);
        });
        yield* tables.splitBlock(root, VA + 5);
      });
      small.run(new RandomChooser(seed));
      if (!VMSA_4K_48.isDirty(tables.find(root, VA + 9).entry)) lost++;
      tables.destroy(root);
    }
    expect(lost).toBe(0);
  });
});
