import { LEAF } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Bench } from '../bench.js';
import { holds, same } from '../checks.js';
import type { ConformanceTest } from '../conformance-test.js';
import { pageOf, type User } from '../user.js';

const WAYS = ['ats', 'stall'] as const;

/** Changes the entry of a page in memory, behind everybody's back. */
function rewrite(bench: Bench, user: User, page: number, change: (entry: Uint32Array) => void): void {
  const { at, entry } = bench.core.pageTables.find(user.mm, page);
  change(entry);
  bench.bus.store64(at, entry[0]!, entry[1]!);
}

/** A page that nobody has used since it was made old: the device is bound to the process. */
function* oldPage(bench: Bench, user: User): Coroutine<{ page: number; frame: number }> {
  yield* user.bound();
  const page = pageOf(yield* user.filled(1, 0x11));
  const { pageTables, format } = bench.core;
  const frame = pageTables.frameAt(pageTables.find(user.mm, page), page);
  rewrite(bench, user, page, (entry) => format.setFlags(entry, LEAF.OLD));
  return { page, frame };
}

/** Names of those that follow the CPUs' broadcasts, other CPUs left out. */
function followers(bench: Bench): readonly string[] {
  return bench.kernel.tlbBroadcast.ports.map(({ listener }) => listener.name).filter((name) => !/^cpu\d/.test(name));
}

/** What the hardware does by itself, where it can (MN-15, TLB-9; PF-10). */
export const HARDWARE: readonly ConformanceTest[] = [
  {
    name: 'follows the TLB maintenance that CPUs broadcast: an old translation is gone when it has applied it (MN-15)',
    feature: 'broadcastMaintenance',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        yield* user.bound();
        const area = yield* user.filled(2, 0x11);
        const { format, tlb } = bench.core;
        const [stream] = bench.device().streams;
        const reach = (i: number): number => bench.translate(stream!, 1, pageOf(area) + i);
        const frames = [reach(0), reach(1)];
        const swap = (to: number): void =>
          rewrite(bench, user, pageOf(area), (entry) => format.encodeLeaf(to, 3, false, entry));
        swap(frames[1]!);
        yield* tlb.flushRange(user.mm, pageOf(area), pageOf(area) + 1);
        same(reach(0), frames[1], 'the frame after the broadcast');
        swap(frames[0]!);
        yield* tlb.flushRange(user.mm, pageOf(area), pageOf(area) + 1);
        same(reach(0), frames[0], 'the frame after the second broadcast');
      });
    },
  },
  {
    name: 'takes no part in the TLB maintenance of CPUs: what the driver invalidates itself is all there is',
    feature: 'broadcastMaintenance',
    counter: true,
    schedules: false,
    body(bench) {
      same(followers(bench), [], 'those that follow the broadcasts');
    },
  },
  {
    name: 'sets the access flag itself (PF-10)',
    feature: 'hardwareFlags',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const { page, frame } = yield* oldPage(bench, user);
        same(bench.translate(bench.device().streams[0]!, 1, page), frame, 'the frame of an old page');
        const { entry } = bench.core.pageTables.find(user.mm, page);
        holds(bench.core.format.isAccessed(entry), 'the entry says that it was accessed');
      });
    },
  },
  {
    name: 'keeps what the device stored when the page is swapped out: the dirty state is set by hardware (PF-10)',
    feature: 'hardwareFlags',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const { mms, pageTables, format } = bench.core;
        const area = yield* user.filled(1, 0x21);
        yield* mms.reclaim(user.mm, pageOf(area));
        yield* user.touch(area, 1);
        yield* user.deviceWrites(file, area, 1, 0x22);
        holds(format.isDirty(pageTables.find(user.mm, pageOf(area)).entry), 'the entry says that it was written to');
        yield* mms.reclaim(user.mm, pageOf(area));
        yield* user.expect(area, 1, 0x22, 'what the device stored');
      });
      return () => same(bench.log.faults.length, 0, 'faults');
    },
  },
  {
    name: 'changes no entry, and gives no page that nobody has accessed: a fault sets the flag',
    feature: 'hardwareFlags',
    counter: true,
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const { page } = yield* oldPage(bench, user);
        const before = [...bench.core.pageTables.find(user.mm, page).entry];
        same(bench.translate(bench.device().streams[0]!, 1, page), -1, 'the translation of an old page');
        same([...bench.core.pageTables.find(user.mm, page).entry], before, 'the entry');
      });
    },
  },
];
