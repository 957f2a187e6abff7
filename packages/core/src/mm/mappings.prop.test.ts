import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { MMAP_TOP, type Mm, PERM } from '../index.js';

/** Pages of the window that operations fall into, counted down from the top; it spans two last-level tables. */
const WINDOW = 600;
/** Half of the places are mapped ones, counted from the top, so that operations meet what there is. */
const place = fc.record({ mapped: fc.boolean(), n: fc.integer({ min: 1, max: WINDOW }) });
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('mmap' as const),
    pages: fc.integer({ min: 1, max: 40 }),
    perm: fc.constantFrom(1, 3),
  }),
  fc.record({ kind: fc.constant('munmap' as const), place, pages: fc.integer({ min: 1, max: 80 }) }),
  fc.record({ kind: fc.constant('store' as const), place, byte: fc.nat(255) }),
);

/** What an address space is, obviously: page → rights and first byte. */
type Model = Map<number, { readonly perm: number; byte: number; touched: boolean }>;

function highestFit(model: Model, pages: number): number {
  for (let first = MMAP_TOP - pages; ; first--) {
    if (Array.from({ length: pages }, (_, i) => first + i).every((page) => !model.has(page))) return first;
  }
}

function pageAt(model: Model, { mapped, n }: { readonly mapped: boolean; readonly n: number }): number {
  const pages = [...model.keys()].sort((a, b) => b - a);
  return mapped && pages.length > 0 ? pages[n % pages.length]! : MMAP_TOP - n;
}

describe('address spaces', () => {
  it('agree with a flat map of pages after any sequence of mmap, munmap and stores, and leave nothing behind', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), fc.constantFrom('on', 'off'), (operations, duplicate) => {
        const small = smallKernel({ settings: { 'mn.duplicate': duplicate } });
        const { core } = small;
        const flushed = new Set<number>();
        const listener = new Listener();
        listener.invalidateRange = function* (_subscription, start, end) {
          for (let page = Number(start >> 12n); page < Number(end >> 12n); page++) flushed.add(page);
        };
        small.act(function* () {
          const mm = core.mms.create();
          const subscription = yield* core.notifiers.get(listener, mm, listener.make);
          const model: Model = new Map();
          for (const op of operations) {
            if (op.kind === 'mmap') {
              const first = highestFit(model, op.pages);
              expect(yield* core.mms.mmap(mm, op.pages * 4096, op.perm)).toBe(BigInt(first) << 12n);
              for (let i = 0; i < op.pages; i++) model.set(first + i, { perm: op.perm, byte: 0, touched: false });
            } else if (op.kind === 'munmap') {
              const first = pageAt(model, op.place);
              flushed.clear();
              yield* core.mms.munmap(mm, BigInt(first) << 12n, op.pages * 4096);
              for (let page = first; page < first + op.pages; page++) {
                if (model.get(page)?.touched === true) expect(flushed.has(page)).toBe(true);
                model.delete(page);
              }
            } else {
              const page = pageAt(model, op.place);
              const there = model.get(page);
              let code = '';
              try {
                yield* core.cpu.store(mm, BigInt(page) << 12n, Uint8Array.of(op.byte));
              } catch (error) {
                ({ code } = error as { code: string });
              }
              expect(code).toBe(there !== undefined && (there.perm & PERM.WRITE) !== 0 ? '' : 'EFAULT');
              if (code === '') Object.assign(there!, { byte: op.byte, touched: true });
            }
            compare(mm, model);
          }
          core.notifiers.put(subscription);
          yield* core.mms.put(mm);
        });
        expect(census(core)).toEqual(small.baseline);

        function compare(mm: Mm, model: Model): void {
          for (let page = MMAP_TOP - WINDOW; page < MMAP_TOP; page++) {
            const want = model.get(page);
            expect(core.mms.findVma(mm, page)?.perm).toBe(want?.perm);
            expect(core.cpu.translate(mm, page, false)).toBe(want?.touched === true);
            if (want?.touched === true) expect(small.bus.read8(core.cpu.hit.frame * 4096)).toBe(want.byte);
          }
          // Every frame is the top table, a table on the way to a page, or a page.
          const touched = [...model].filter(([, page]) => page.touched).length;
          expect(small.bus.frames.inUse()).toBeGreaterThanOrEqual(1 + touched + (touched > 0 ? 3 : 0));
          if (model.size === 0) expect(small.bus.frames.inUse()).toBe(1);
        }
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});
