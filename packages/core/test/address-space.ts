import type { Coroutine, Settings } from '@iommukit/kernel';
import { expect } from 'vitest';
import { type Core, type CoreParts, type Mm, PERM } from '../src/index.js';
import { SecondaryTlb } from './secondary-tlb.js';
import { census, type SmallKernel, smallKernel } from './small-kernel.js';

export const RW = PERM.READ | PERM.WRITE;
export const PAGE = 4096;

/** An address space with a secondary TLB, for one test. */
export interface Space {
  readonly small: SmallKernel;
  readonly core: Core;
  readonly mm: Mm;
  readonly tlb: SecondaryTlb;
}

/** Runs `body` with a fresh address space, takes it down, and expects that nothing is left. */
export function inSpace(
  body: (space: Space) => Coroutine<void>,
  options: { settings?: Settings; parts?: Partial<CoreParts> } = {},
): SmallKernel {
  const small = smallKernel(options);
  const { core } = small;
  small.act(function* () {
    const mm = core.mms.create();
    const tlb = yield* new SecondaryTlb(core, mm).listen();
    yield* body({ small, core, mm, tlb });
    yield* core.mms.put(mm);
    core.notifiers.put(tlb.subscription!);
  });
  expect(census(core)).toEqual(small.baseline);
  return small;
}

/** Maps `pages` pages and writes its number plus one into the first byte of each. */
export function* filled(core: Core, mm: Mm, pages: number, perm = RW): Coroutine<number> {
  const address = yield* core.mms.mmap(mm, pages * PAGE, perm | PERM.WRITE);
  for (let i = 0; i < pages; i++) yield* store(core, mm, Number(address >> 12n) + i, i + 1);
  if (perm !== (perm | PERM.WRITE)) yield* core.mms.mprotect(mm, address, pages * PAGE, perm);
  return Number(address >> 12n);
}

/** The address of a page. */
export function at(page: number): bigint {
  return BigInt(page) << 12n;
}

/** Writes the first byte of a page. */
export function* store(core: Core, mm: Mm, page: number, byte: number): Coroutine<void> {
  yield* core.cpu.store(mm, at(page), Uint8Array.of(byte));
}

/** The first byte of a page. */
export function* load(core: Core, mm: Mm, page: number): Coroutine<number> {
  const byte = new Uint8Array(1);
  yield* core.cpu.load(mm, at(page), byte);
  return byte[0]!;
}

/** What an IommuError says, or 'none'. */
export function* codeOf(body: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* body;
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** The mappings: `first-end perm`. */
export function ranges(mm: Mm): string[] {
  return mm.vmas.map(({ first, end, perm }) => `${first.toString(16)}-${end.toString(16)} ${perm}`);
}
