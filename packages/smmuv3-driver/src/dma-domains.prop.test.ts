import { PERM } from '@iommukit/core';
import type { Coroutine, Settings } from '@iommukit/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf } from '../test/bench.js';

const OTHER = 0x50;
/** 32 MiB of IOVAs, aligned for every block. */
const BASE = 2 ** 32 / 4096;
const PAGES = 8192;
/** The first frame that is mapped. */
const FRAMES = 0x41000;
/** Where looks go: page numbers around the ends of pages and blocks of every size. */
const SPOTS = [0, 1, 3, 4, 15, 16, 31, 511, 512, 513, 1024, 2047, 2048, 4096, 8191];

interface Operation {
  readonly map: boolean;
  readonly first: number;
  readonly count: number;
  /** Frame of the first page, in pages. */
  readonly frame: number;
  readonly write: boolean;
}

const operation = (unit: number): fc.Arbitrary<Operation> => {
  const pages = fc.oneof(fc.constantFrom(1, 2, 16, 512, 1024, 2048), fc.integer({ min: 1, max: 600 }));
  const place = fc.oneof(fc.constantFrom(0, 512, 1024, 2048, 4096), fc.integer({ min: 0, max: PAGES - 1 }));
  return fc.record({
    map: fc.boolean(),
    first: place.map((page) => Math.floor(page / unit) * unit),
    count: pages.map((count) => Math.ceil(count / unit) * unit),
    frame: fc
      .oneof(fc.constantFrom(0, 512, 2048), fc.integer({ min: 0, max: 4096 }))
      .map((n) => Math.floor(n / unit) * unit),
    write: fc.boolean(),
  });
};

/** Makes the operations, looks around after each, and unmaps everything. */
function* apply(bench: Bench, operations: readonly Operation[]): Coroutine<void> {
  const { driver } = bench;
  const { domain } = driver.smmu.masters.find(OTHER)!;
  const flat = new Map<number, { frame: number; write: boolean }>();
  for (const { map, first, count, frame, write } of operations) {
    const last = Math.min(first + count, PAGES);
    const [iova, bytes] = [BigInt(BASE + first) * 4096n, (last - first) * 4096];
    if (map) {
      const perm = PERM.READ | (write ? PERM.WRITE : 0);
      let free = true;
      for (let page = first; page < last; page++) if (flat.has(page)) free = false;
      expect(yield* codeOf(driver.map(domain!, iova, (FRAMES + frame) * 4096, bytes, perm))).toBe(
        free ? 'none' : 'EEXIST',
      );
      for (let page = first; free && page < last; page++)
        flat.set(page, { frame: FRAMES + frame + page - first, write });
    } else {
      yield* driver.unmap(domain!, iova, bytes);
      for (let page = first; page < last; page++) flat.delete(page);
    }
    // Every look leaves lines in the caches that the next unmap has to find.
    for (const page of [...SPOTS, first, last - 1]) look(bench, page, flat.get(page));
  }
  yield* driver.unmap(domain!, BigInt(BASE) * 4096n, PAGES * 4096);
  for (const page of [...SPOTS, ...flat.keys()]) look(bench, page, undefined);
}

function look(bench: Bench, page: number, there: { frame: number; write: boolean } | undefined): void {
  const at = BigInt(BASE + page) * 4096n;
  const [read, write] = [1, 2].map((want) => bench.translate(-1, at, want, OTHER));
  const domain = bench.driver.smmu.masters.find(OTHER)!.domain!;
  const found = [read, write, bench.driver.iovaToPhys(domain, at)];
  const { frame } = there ?? { frame: 0 };
  const expected = there === undefined ? [-0x10, -0x10, null] : [frame, there.write ? frame : -0x13, frame * 4096];
  expect(found, `page ${page}`).toEqual(expected);
}

describe('a DMA domain and the TLB behind it', () => {
  it.each([
    ['4K', false, {}],
    ['4K', true, {}],
    ['16K', true, {}],
    ['64K', false, {}],
    ['64K', true, { 'cpu-el2': 'on' }],
  ] as [string, boolean, Settings][])(
    'agree with a flat map after any maps and unmaps, %s pages, range commands %s (SMMU-19, SMMU-24, MN-18)',
    (page, rangeInvalidation, more) => {
      const settings = { 'cpu-page': page, ...more };
      const bench = new Bench({ settings, capabilities: { rangeInvalidation } }).boot();
      const unit = { '4K': 1, '16K': 4, '64K': 16 }[page]!;
      bench.do(function* () {
        const { driver } = bench;
        const other = yield* bench.plug('other', OTHER, {}, false);
        const domain = yield* driver.allocDomain(other);
        yield* driver.attach(other, domain);
      });
      const start = bench.kernel.checkpoints.take();
      const run = (operations: readonly Operation[]): void => {
        start.restore();
        bench.do(function* () {
          // Once more after everything was unmapped: tables that went must not be walked from caches.
          for (let round = 0; round < 2; round++) yield* apply(bench, operations);
        });
      };
      fc.assert(fc.property(fc.array(operation(unit), { minLength: 1, maxLength: 12 }), run), { seed: 7, numRuns: 60 });
    },
  );
});
