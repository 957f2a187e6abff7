import { RESPONSE, type ResponseCode } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Bench } from '../bench.js';
import { holds, same } from '../checks.js';
import type { ConformanceTest, Way } from '../conformance-test.js';
import { INTENTS, type Intent } from '../encodings.js';
import { PAGE, type User } from '../user.js';

const AT = 0x1_2345_f000n;
const GROUP = 5;

/** Does what an intent says; `begin` is called right before it. */
type Act = (bench: Bench, user: User, begin: () => void) => Coroutine<void>;

/** Binds the probe to an address space of its own with pages that are there. */
function* bound(bench: Bench, pages: number, act: (mm: User['mm']) => Coroutine<void>): Coroutine<void> {
  const { mms, cpu } = bench.core;
  const mm = mms.create();
  const handle = yield* bench.iommu.bind(bench.probeDevice(), mm);
  yield* mms.mmap(mm, pages * PAGE, 3, null, { at: AT });
  yield* cpu.fill(mm, AT, pages * PAGE, () => 0x11);
  mms.grab(mm);
  yield* act(mm);
  if (mm.users > 0) yield* mms.put(mm);
  yield* bench.iommu.unbind(handle);
  mms.drop(mm);
}

function unmapping(pages: number): Act {
  return (bench, _user, begin) =>
    bound(bench, pages, function* (mm) {
      begin();
      yield* bench.core.mms.munmap(mm, AT, pages * PAGE);
      bench.takeCommands();
    });
}

function answering(code: ResponseCode): Act {
  return (bench, _user, begin) =>
    bound(bench, 1, function* ({ pasid }) {
      begin();
      yield* bench.iommu.respond(bench.probeDevice(), { pasid, group: GROUP, code });
      bench.takeCommands();
    });
}

function stalling(mapped: boolean): Act {
  return function* (bench, user, begin) {
    const file = yield* user.bound();
    if (mapped) yield* user.map(1, 3, AT);
    begin();
    yield* user.deviceFill(file, AT, 1, 0x11);
    bench.takeCommands();
  };
}

const ACTS: Readonly<Record<Intent, Act>> = {
  *bind(bench, user, begin) {
    begin();
    const handle = yield* bench.iommu.bind(bench.probeDevice(), user.mm);
    bench.takeCommands();
    yield* bench.iommu.unbind(handle);
  },
  'invalidate-page': unmapping(1),
  'invalidate-range': unmapping(18),
  release: (bench, _user, begin) =>
    bound(bench, 1, function* (mm) {
      begin();
      yield* bench.core.mms.put(mm);
      bench.takeCommands();
    }),
  *unbind(bench, user, begin) {
    const handle = yield* bench.iommu.bind(bench.probeDevice(), user.mm);
    begin();
    yield* bench.iommu.unbind(handle);
    bench.takeCommands();
  },
  'answer-success': answering(RESPONSE.SUCCESS),
  'answer-invalid': answering(RESPONSE.INVALID),
  'answer-failure': answering(RESPONSE.FAILURE),
  'stall-retry': stalling(true),
  'stall-abort': stalling(false),
  *'domain-unmap'(bench, _user, begin) {
    const { iommu } = bench;
    const device = bench.probeDevice();
    const domain = yield* iommu.allocDomain(device);
    yield* iommu.attach(device, domain);
    yield* iommu.map(domain, AT, 0x4000_0000, PAGE, 3);
    begin();
    yield* iommu.unmap(domain, AT, PAGE);
    bench.takeCommands();
    yield* iommu.detach(device);
    yield* iommu.freeDomain(domain);
  },
};

/** Intents of a platform device that stalls. */
const STALLS: readonly Intent[] = ['stall-retry', 'stall-abort'];

function encodingTest(intent: Intent): ConformanceTest {
  const stalls = STALLS.includes(intent);
  const ways: readonly Way[] = ['stall'];
  return {
    name: `${INTENTS[intent]} (${intent})`,
    feature: 'encodings',
    ...(stalls ? { needs: ['stall'], ways } : { machine: { probes: [{}] } }),
    schedules: false,
    body(bench) {
      const expected = bench.candidate.encodings?.expected[intent];
      holds(expected !== undefined, 'the candidate says what words it has for the intent');
      if ('notSupported' in expected!) {
        holds(expected.notSupported !== '', 'a reason is given');
        return undefined;
      }
      bench.process('process', function* (user) {
        if (!stalls && intent !== 'domain-unmap') {
          if (bench.manifest.pri === true) yield* bench.enableProbe();
          else yield* bench.iommu.enable(bench.probeDevice(), 'sva');
        }
        bench.commands = [];
        yield* ACTS[intent](bench, user, () => bench.watchCommands());
        if (!stalls && intent !== 'domain-unmap') {
          yield* bench.iommu.disable(bench.probeDevice(), 'sva');
          if (bench.manifest.pri === true) yield* bench.iommu.disable(bench.probeDevice(), 'iopf');
        }
      });
      return () => same(bench.commands, expected, 'the commands');
    },
  };
}

/** One intent, and the words of each backend for it. */
export const ENCODINGS: readonly ConformanceTest[] = (Object.keys(INTENTS) as Intent[]).map(encodingTest);
