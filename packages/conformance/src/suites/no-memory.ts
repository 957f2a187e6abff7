import type { Coroutine } from '@iommukit/kernel';
import type { Bench } from '../bench.js';
import { codeOf, holds, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';

/** What a call may say; an allocator of PASIDs that has no memory has no PASID (IOASID-5). */
const LACKS: readonly string[] = ['ENOMEM', 'ENOSPC'];
/** What may end a process besides: a page that cannot be made present. */
const DEADLY: readonly string[] = [...LACKS, 'EFAULT'];

/** More allocations than anything here makes. */
const LIMIT = 1000;

/** Does something again and again, each time with a later allocation failing, until it has none left to fail. */
function* withEachAllocationFailing(bench: Bench, what: string, body: () => Coroutine<void>): Coroutine<void> {
  const { injection } = bench.kernel;
  for (let n = 1; n < LIMIT; n++) {
    const last = injection.state.count + n;
    injection.failAt = last;
    const code = yield* codeOf(body());
    injection.failAt = 0;
    if (injection.state.count < last) return same(code, null, `${what} with memory`);
    holds(code === null || LACKS.includes(code), `${what} without memory: ${code}`);
  }
  holds(false, `${what} allocates without end`);
}

/** Any allocation may fail: the call says so, and nothing is left behind (L32, L54). */
export const NO_MEMORY: readonly ConformanceTest[] = [
  {
    name: 'refuses to bind (ENOMEM) at whatever allocation fails, and leaves nothing',
    feature: 'noMemory',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        yield* withEachAllocationFailing(bench, 'bind', function* () {
          yield* bench.iommu.unbind(yield* bench.iommu.bind(bench.device(), user.mm));
        });
        const area = yield* user.filled(1, 0x11);
        yield* user.deviceReads(yield* user.bound(), area, 1, 0x11, 'afterwards');
      });
    },
  },
  {
    name: 'refuses features (ENOMEM) at whatever allocation fails, and leaves nothing',
    feature: 'noMemory',
    ways: ['pri', 'stall'],
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const device = bench.device();
        yield* bench.engine().disableFeatures();
        yield* withEachAllocationFailing(bench, 'enabling IOPF', function* () {
          yield* bench.iommu.enable(device, 'iopf');
          yield* bench.iommu.disable(device, 'iopf');
        });
        yield* bench.engine().enableFeatures();
      });
    },
  },
  {
    name: 'refuses to probe a device (ENOMEM) at whatever allocation fails, and leaves nothing',
    feature: 'noMemory',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const device = bench.device();
        yield* bench.engine().disableFeatures();
        yield* bench.iommu.releaseDevice(device);
        yield* withEachAllocationFailing(bench, 'probing', function* () {
          yield* bench.iommu.probeDevice(device);
          yield* bench.iommu.releaseDevice(device);
        });
        yield* bench.iommu.probeDevice(device);
        yield* bench.engine().enableFeatures();
      });
    },
  },
  {
    name: "ends a process's whole life at whatever allocation fails: nothing leaks, everybody gets an answer",
    feature: 'noMemory',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const { kernel, core } = bench;
        const { injection } = kernel;
        for (let n = 1; n < LIMIT; n++) {
          const last = injection.state.count + n;
          injection.failAt = last;
          const process = core.processes.spawn('process', (self) => wholeLife(bench, self));
          yield* core.processes.join(process);
          injection.failAt = 0;
          const { failure } = process;
          const died = failure === null || DEADLY.includes(failure.code);
          holds(died, `allocation ${n} failed: the process ended by ${failure?.message}`);
          if (injection.state.count < last) return same(failure, null, 'a life with memory');
        }
        holds(false, 'a life allocates without end');
      });
    },
  },
];

function* wholeLife(bench: Bench, self: Parameters<Bench['core']['processes']['mmOf']>[0]): Coroutine<void> {
  const { processes, cpu } = bench.core;
  const engine = bench.engine();
  const file = yield* engine.open(self);
  yield* engine.bind(file, processes.mmOf(self));
  const area = yield* processes.mmap(self, 3 * 4096, 3);
  yield* cpu.fill(processes.mmOf(self), area, 4096, () => 0x22);
  const job = { op: 'fill', source: 0n, destination: area, bytes: 3 * 4096, pattern: 1, prefetch: 0 } as const;
  yield* engine.submit(file, job);
  yield* engine.wait(file);
  yield* processes.munmap(self, area, 4096);
}
