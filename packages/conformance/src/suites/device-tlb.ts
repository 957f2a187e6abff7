import { PERM } from '@iommukit/core';
import { type Coroutine, Rng } from '@iommukit/kernel';
import { decodeInvalidate } from '@iommukit/pci-ats';
import type { Bench } from '../bench.js';
import { holds, same } from '../checks.js';
import type { ConformanceTest } from '../conformance-test.js';
import { PAGE, pageOf, type User } from '../user.js';

const { READ, WRITE } = PERM;
const PROBE = { probes: [{}] };
const STEP = BigInt(PAGE);

/** A process that the probe is bound to. */
function withBond(bench: Bench, body: (user: User, pasid: number) => Coroutine<void>): void {
  bench.process('process', function* (user) {
    yield* enable(bench);
    const handle = yield* bench.iommu.bind(bench.probeDevice(), user.mm);
    yield* body(user, handle.pasid);
    yield* bench.iommu.unbind(handle);
    yield* disable(bench);
  });
}

function* enable(bench: Bench): Coroutine<void> {
  if (bench.manifest.pri === true) yield* bench.enableProbe();
  else yield* bench.iommu.enable(bench.probeDevice(), 'sva');
}

function* disable(bench: Bench): Coroutine<void> {
  if (bench.manifest.pri === true) yield* bench.disableProbe();
  else yield* bench.iommu.disable(bench.probeDevice(), 'sva');
}

/** Pages of [first, first + count) that no invalidation of the PASID covers. */
function uncovered(bench: Bench, from: number, pasid: number, first: number, count: number): number[] {
  const ranges = bench
    .probe()
    .invalidations.slice(from)
    .filter((tlp) => tlp.pasid === pasid || tlp.pasid === -1)
    .map(({ lo, hi }) => decodeInvalidate(lo, hi));
  return Array.from({ length: count }, (_unused, i) => first + i).filter(
    (page) => !ranges.some((range) => page >= range.page && page < range.page + 2 ** range.order),
  );
}

/** What a function with ATS hears from its root complex (AtsEndpoint; pcie-ats.md 2.4, ATC-7 … ATC-9). */
export const DEVICE_TLB: readonly ConformanceTest[] = [
  {
    name: 'grants what the tables give: the frame, and no right that the mapping has not (INV-12)',
    feature: 'ats',
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const [stream] = bench.probeDevice().streams;
        const area = yield* user.filled(2, 0x11);
        yield* user.protect(area + STEP, 1, READ);
        const rw = yield* bench.probe().translation(pasid, pageOf(area));
        same([rw?.perm, rw?.frame], [READ | WRITE, bench.translate(stream!, pasid, pageOf(area))], 'a writable page');
        const ro = yield* bench.probe().translation(pasid, pageOf(area) + 1);
        same([ro?.perm, ro?.frame], [READ, bench.translate(stream!, pasid, pageOf(area) + 1)], 'a read-only page');
      });
    },
  },
  {
    name: 'grants nothing where nothing is: absent pages, unknown PASIDs, requests without one',
    feature: 'ats',
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const page = pageOf(yield* user.map(1));
        const there = pageOf(yield* user.filled(1, 0x21));
        for (const [who, what] of [
          [pasid, page],
          [pasid, 0x5_0000],
          [pasid + 1, there],
          [0, there],
          [-1, there],
          [pasid, 2 ** 52 - 1],
        ] as const) {
          const grant = yield* bench.probe().translation(who, what);
          same(grant?.perm ?? 0, 0, `what PASID ${who} is granted of page 0x${what.toString(16)}`);
        }
      });
    },
  },
  {
    name: 'grants nothing from the death of the process on, and still answers (SVA-7)',
    feature: 'ats',
    machine: PROBE,
    body(bench) {
      bench.task('driver', function* () {
        const { mms, cpu } = bench.core;
        yield* enable(bench);
        const mm = mms.create();
        const handle = yield* bench.iommu.bind(bench.probeDevice(), mm);
        const { pasid } = handle;
        const area = yield* mms.mmap(mm, PAGE, READ | WRITE);
        yield* cpu.fill(mm, area, PAGE, () => 0x31);
        same((yield* bench.probe().translation(pasid, pageOf(area)))?.perm, READ | WRITE, 'what is granted');
        const before = bench.probe().invalidations.length;
        yield* mms.put(mm);
        same(uncovered(bench, before, pasid, pageOf(area), 1), [], 'pages of the dead that the device keeps');
        same((yield* bench.probe().translation(pasid, pageOf(area)))?.perm ?? 0, 0, 'what is granted after the death');
        yield* bench.iommu.unbind(handle);
        yield* disable(bench);
      });
    },
  },
  {
    name: 'waits for the device: munmap returns only when the invalidation is complete (MN-18, ATC-8)',
    feature: 'ats',
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const probe = bench.probe();
        const area = yield* user.filled(2, 0x41);
        yield* probe.translation(pasid, pageOf(area));
        probe.state.holds = true;
        let over = false;
        const unmapping = bench.core.processes.spawnThread(user.process, 'unmapping', function* () {
          yield* user.unmap(area, 2);
          over = true;
        });
        yield* probe.until(() => probe.held.length > 0, 'an invalidation');
        yield* bench.kernel.clock.sleep(1e6);
        same(over, false, 'munmap has returned before the device was through');
        yield* probe.release();
        yield* bench.core.processes.join(unmapping);
        same(over, true, 'munmap has returned');
      });
    },
  },
  {
    name: 'tells the device of every page that goes, whatever the range (MN-17, L44)',
    feature: 'ats',
    machine: PROBE,
    schedules: false,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const rng = new Rng(3);
        const pages = 96;
        for (let round = 0; round < 24; round++) {
          const area = yield* user.filled(pages, 0x51);
          const first = rng.below(pages);
          const count = 1 + rng.below(pages - first);
          const before = bench.probe().invalidations.length;
          yield* user.unmap(area + BigInt(first) * STEP, count);
          same(
            uncovered(bench, before, pasid, pageOf(area) + first, count),
            [],
            `pages of round ${round} that it keeps`,
          );
          yield* user.unmap(area, pages);
        }
      });
    },
  },
  {
    name: 'tells the device before a page is another one: migration, reclaim, mprotect, copy on write (MN-13)',
    feature: 'ats',
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const { mms, processes } = bench.core;
        const area = yield* user.filled(4, 0x61);
        const page = pageOf(area);
        const acts = [
          () => mms.migrate(user.mm, page),
          () => mms.reclaim(user.mm, page + 1),
          () => user.protect(area + 2n * STEP, 1, READ),
          () => processes.fork(user.process, 'child', function* () {}),
        ];
        for (const [i, act] of acts.entries()) {
          const before = bench.probe().invalidations.length;
          yield* act();
          same(uncovered(bench, before, pasid, page + i, 1), [], `act ${i}: pages that the device keeps`);
        }
        const before = bench.probe().invalidations.length;
        yield* user.fill(area + 3n * STEP, 1, 0x62);
        same(uncovered(bench, before, pasid, page + 3, 1), [], 'a copied page that the device keeps');
      });
    },
  },
  {
    name: 'tells only the devices of a process: others hear nothing of its PASID',
    feature: 'ats',
    machine: { probes: [{}, {}] },
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const area = yield* user.filled(2, 0x71);
        const before = bench.probe(1).invalidations.length;
        yield* user.unmap(area, 2);
        const heard = bench.probe(1).invalidations.slice(before);
        holds(
          heard.every((tlp) => tlp.pasid !== pasid),
          'a device that is bound to nothing hears of an invalidation',
        );
      });
    },
  },
];
