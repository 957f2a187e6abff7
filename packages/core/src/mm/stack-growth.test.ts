import type { Settings } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { at, codeOf, inSpace, load, PAGE, RW, type Space, store } from '../../test/address-space.js';
import { VMA_FLAG } from '../index.js';

const STACK = 0x8_0000;

/** A stack of two pages, and what may lie below it. */
function* stack({ core, mm }: Space, below?: number): ReturnType<typeof store> {
  yield* core.mms.mmap(mm, 2 * PAGE, RW, null, { at: at(STACK), flags: VMA_FLAG.GROWSDOWN });
  if (below !== undefined) yield* core.mms.mmap(mm, PAGE, RW, null, { at: at(below) });
}

describe('a mapping that grows downwards', () => {
  const modes: Settings[] = [{ 'grow-stack': 'on' }, { 'grow-stack': 'off' }];
  it.each(modes)("grows to the place of a CPU's fault in every generation (VMA-3): %o", (settings) => {
    inSpace(
      function* (space) {
        const { core, mm } = space;
        yield* stack(space);
        yield* store(core, mm, STACK - 10, 5);
        expect(mm.vmas.map(({ first, end }) => [first, end])).toEqual([[STACK - 10, STACK + 2]]);
        expect(yield* load(core, mm, STACK - 10)).toBe(5);
        expect(yield* load(core, mm, STACK - 5)).toBe(0);
      },
      { settings },
    );
  });

  it("grows to a device's fault only where the generation lets it (VMA-3)", () => {
    for (const grow of ['on', 'off']) {
      inSpace(
        function* (space) {
          const { core, mm } = space;
          yield* stack(space);
          const lock = yield* mm.mmapLock.read();
          const vma = core.mms.findVma(mm, STACK - 1);
          expect(vma?.first).toBe(grow === 'on' ? STACK - 1 : undefined);
          lock.release();
        },
        { settings: { 'grow-stack': grow } },
      );
    }
  });

  it('stays within 8 MiB', () => {
    inSpace(function* (space) {
      const { core, mm } = space;
      yield* stack(space);
      expect(yield* codeOf(store(core, mm, STACK + 2 - 2049, 1))).toBe('EFAULT');
      yield* store(core, mm, STACK + 2 - 2048, 1);
    });
  });

  it('keeps 1 MiB free below it, unless another stack is there', () => {
    inSpace(function* (space) {
      const { core, mm } = space;
      yield* stack(space, STACK - 400);
      expect(yield* codeOf(store(core, mm, STACK - 399 + 255, 1))).toBe('EFAULT');
      yield* store(core, mm, STACK - 399 + 256, 1);
    });
    inSpace(function* (space) {
      const { core, mm } = space;
      yield* stack(space);
      yield* core.mms.mmap(mm, PAGE, RW, null, { at: at(STACK - 400), flags: VMA_FLAG.GROWSDOWN });
      yield* store(core, mm, STACK - 300, 1);
    });
  });

  it('does not grow when it is an ordinary mapping, nor to below the first MiB', () => {
    inSpace(function* ({ core, mm }) {
      yield* core.mms.mmap(mm, PAGE, RW, null, { at: at(STACK) });
      expect(yield* codeOf(store(core, mm, STACK - 1, 1))).toBe('EFAULT');
      yield* core.mms.mmap(mm, PAGE, RW, null, { at: at(258), flags: VMA_FLAG.GROWSDOWN });
      expect(yield* codeOf(store(core, mm, 255, 1))).toBe('EFAULT');
      yield* store(core, mm, 256, 1);
    });
  });
});
