import { VMSA } from '@iommukit/paging';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { smallKernel } from '../../test/small-kernel.js';
import {
  type AddressSpaceFormat,
  ENTRY,
  IoPageTables,
  newGather,
  PERM,
  type TableRoot,
  VmsaFormat,
  X86Format,
} from '../index.js';

const formats: AddressSpaceFormat[] = [
  ...Object.values(VMSA).map((layout) => new VmsaFormat(layout)),
  new VmsaFormat(VMSA['4K/48'], 39),
  new X86Format(4),
  new X86Format(5),
];

/** Places: blocks, groups or pages before or after one another; so is every length, and what frames are off by. */
const distance = fc.record({
  blocks: fc.integer({ min: 0, max: 3 }),
  groups: fc.constantFrom(0, 0, 1, 2),
  pages: fc.constantFrom(0, 0, 0, 1, 2, 15, 16, 33),
});
const perm = fc.constantFrom(PERM.READ, PERM.READ | PERM.WRITE, 7);
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('map' as const),
    at: distance,
    length: distance,
    skew: fc.constantFrom(0, 0, 1, 16),
    perm,
  }),
  fc.record({ kind: fc.constant('unmap' as const), at: distance, length: distance }),
  fc.record({ kind: fc.constant('split' as const), at: distance }),
  fc.record({ kind: fc.constant('protect' as const), at: distance, length: distance, perm }),
);

interface Change {
  readonly first: number;
  readonly end: number;
  /** Null: unmapped. Else the frame and the rights of a page, given what it was before. */
  at(page: number, before: () => [frame: number, perm: number] | null): [frame: number, perm: number] | null;
}

/** What is mapped, obviously: the changes so far, the newest first. */
class Flat {
  readonly changes: Change[] = [];

  at(page: number, from = 0): [frame: number, perm: number] | null {
    for (let i = from; i < this.changes.length; i++) {
      const change = this.changes[i]!;
      if (page >= change.first && page < change.end) return change.at(page, () => this.at(page, i + 1));
    }
    return null;
  }

  /** Where something may begin or end, and the pages beside. */
  edges(unit: number): number[] {
    const pages = this.changes.flatMap(({ first, end }) => [first - unit, first, end - unit, end]);
    return [...new Set(pages)].filter((page) => page >= 0);
  }

  anyIn(first: number, end: number, unit: number): boolean {
    return [first, ...this.edges(unit)].some((page) => page >= first && page < end && this.at(page) !== null);
  }

  change(first: number, end: number, at: Change['at']): void {
    this.changes.unshift({ first, end, at });
  }
}

/** A leaf in no contiguous group, or one whose neighbours in it go on where it ends, with its rights (smmuv3.md 3.1). */
function isWhole(tables: IoPageTables, root: TableRoot, page: number): boolean {
  const { format } = tables;
  const { entry, level } = tables.find(root, page);
  if (!format.isContiguous(entry)) return true;
  const span = format.span(level);
  const pages = span * format.groupEntries(level);
  const first = Math.floor(page / pages) * pages;
  const frame = format.frameOf(entry, level) - (Math.floor(page / span) * span - first);
  const perm = format.permOf(entry);
  for (let at = first; at < first + pages; at += span) {
    const member = tables.find(root, at);
    if (member.level !== level || !format.isContiguous(member.entry)) return false;
    if (format.frameOf(member.entry, level) !== frame + at - first || format.permOf(member.entry) !== perm)
      return false;
  }
  return frame % pages === 0;
}

describe('IoPageTables', () => {
  it.each(formats.map((format) => [format.name, format] as const))(
    'agree with a flat map after any sequence of map, unmap, split and protect, and leave nothing behind: %s',
    (_name, format) => {
      const unit = format.pageFrames;
      const group = Math.max(1, format.groupEntries(3)) * unit;
      const pagesOf = (d: { blocks: number; groups: number; pages: number }) =>
        d.blocks * format.span(2) + d.groups * group + d.pages * unit;
      // The window begins below a border of two tables of the level above.
      const base = format.span(1) * 3 - format.span(2);
      fc.assert(
        fc.property(fc.array(operation, { minLength: 5, maxLength: 25 }), fc.constantFrom(0, 2), (operations, bbml) => {
          const small = smallKernel();
          const tables = new IoPageTables(small.core, { format, bbml: bbml as 0 | 2, *flush() {} });
          small.act(function* () {
            const root = tables.create('domain page table');
            const flat = new Flat();
            for (const op of operations) {
              const first = base + pagesOf(op.at);
              const pages = 'length' in op ? Math.max(unit, pagesOf(op.length)) : unit;
              const end = first + pages;
              if (op.kind === 'map') {
                const frame = format.span(2) * 5 + ((first + op.skew * unit) % format.span(2));
                let refused = false;
                try {
                  yield* tables.map(root, first, frame, pages, op.perm);
                } catch (error) {
                  expect(error).toMatchObject({ code: 'EEXIST' });
                  refused = true;
                }
                expect(refused).toBe(flat.anyIn(first, end, unit));
                if (!refused) flat.change(first, end, (page) => [frame + page - first, op.perm]);
              } else if (op.kind === 'unmap') {
                const gather = yield* tables.unmap(root, first, pages);
                expect(gather.unmapped > 0).toBe(flat.anyIn(first, end, unit));
                if (gather.unmapped > 0) expect([gather.first >= first, gather.end <= end]).toEqual([true, true]);
                tables.release(gather);
                flat.change(first, end, () => null);
              } else if (op.kind === 'split') {
                yield* tables.splitBlock(root, first);
                const look = tables.find(root, first);
                if (look.kind === ENTRY.LEAF) expect([look.level, format.isContiguous(look.entry)]).toEqual([3, false]);
              } else {
                yield* tables.protectRange(root, first, end, op.perm, newGather());
                flat.change(first, end, (_page, before) => {
                  const was = before();
                  return was && [was[0], op.perm & (was[1] | ~PERM.WRITE)];
                });
              }
              for (const page of flat.edges(unit)) {
                const look = tables.find(root, page);
                const now = look.kind === ENTRY.LEAF ? [tables.frameAt(look, page), format.permOf(look.entry)] : null;
                const then = flat.at(page);
                // A comparison of its own: expect() for every page would take most of the time.
                if (String(now) !== String(then)) expect([page, now]).toEqual([page, then]);
                if (now !== null && !isWhole(tables, root, page)) expect.fail(`the group of page ${page} has a hole`);
              }
            }
            tables.destroy(root);
          });
          expect(small.bus.frames.inUse()).toBe(0);
        }),
        { seed: 43, numRuns: 20 },
      );
    },
  );
});
