import type { Mm, SvaHandle } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { expect } from 'vitest';
import { Bench, type BenchOptions, SID } from './bench.js';

export const CM = { cap: 0x01d2_018c_222f_0686n };
export const OTHER = 0x20;

/** Stores to the entry of PASID 1, as `s +offset value`, and descriptors but waits, since the log was emptied. */
export function events(bench: Bench, sid = SID): string[] {
  const entry = bench.entryAt(1, sid);
  return bench.unit
    .take(/^[qs] /)
    .flatMap((line) => {
      if (line.startsWith('q')) return [line.replace(/( 0)+$/, '')];
      const [, pa, value] = line.split(' ') as [string, string, string];
      const offset = Number.parseInt(pa, 16) - entry;
      return offset >= 0 && offset < 64 ? [`s +${offset} ${value}`] : [];
    })
    .filter((line) => !/^s \+(24|32|40|48|56) 0$/.test(line));
}

/** A bound process: what `body` makes of it. */
export function bound(
  body: (bench: Bench, given: { mm: Mm; va: bigint; handle: SvaHandle }) => Coroutine<void>,
  options: BenchOptions = {},
): Bench {
  const bench = new Bench(options).boot();
  const before = bench.inUse();
  bench.do(function* () {
    const { mm, va } = yield* bench.makeMm();
    const handle = yield* bench.driver.bind(bench.device, mm);
    bench.unit.log.length = 0;
    bench.trace.length = 0;
    yield* body(bench, { mm, va, handle });
  });
  expect(bench.inUse()).toEqual(before);
  return bench;
}

export const lines = (bench: Bench, pattern: RegExp): string[] => bench.trace.filter((line) => pattern.test(line));
