import type { SvaHandle } from '@iommukit/core';
import { codeOf, holds, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { PAGE, pageOf } from '../user.js';

const EXIT = { feature: 'exit', ways: WAYS } as const;

/** Processes die at any moment (MM-5 … MM-11, SVA-7 … SVA-11, INV-5). */
export const EXIT_TESTS: readonly ConformanceTest[] = [
  {
    ...EXIT,
    name: 'ends a process that dies right after it launched a job',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(2);
        yield* user.submit(file, { destination: area, bytes: 2 * PAGE });
      });
    },
  },
  {
    ...EXIT,
    name: 'ends a process whose runaway device never stops by itself',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(2, 0x11);
        yield* user.submit(file, { destination: area, bytes: 2 * PAGE, endless: true });
      });
    },
  },
  {
    ...EXIT,
    name: 'ends a process that maps the device file: the bond holds no user of the address space (MM-7, L01)',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        yield* bench.core.processes.mmapFile(user.process, file, PAGE);
        const area = yield* user.map(1);
        yield* user.submit(file, { destination: area });
      });
    },
  },
  {
    ...EXIT,
    name: 'either binds a process that is dying, or refuses it (EINVAL, SVA-6, L12)',
    body(bench) {
      const { mms } = bench.core;
      const mm = mms.create();
      mms.grab(mm);
      bench.task('exit', () => mms.put(mm));
      bench.task('bind', function* () {
        if (yield* mms.getNotZero(mm)) {
          let handle: SvaHandle | null = null;
          const code = yield* codeOf(
            (function* () {
              handle = yield* bench.iommu.bind(bench.device(), mm);
            })(),
          );
          yield* mms.put(mm);
          holds(code === null || code === 'EINVAL', `binding a dying process: ${code}`);
          if (handle !== null) yield* bench.iommu.unbind(handle);
        }
        mms.drop(mm);
      });
    },
  },
  {
    feature: 'quietDeath',
    ways: WAYS,
    name: 'ends quietly between death and unbind: a device that goes on records nothing (INV-5, SVA-9, SVA-11)',
    body(bench) {
      const { mms } = bench.core;
      const [stream] = bench.device().streams;
      bench.process('driver', function* (user) {
        const mm = mms.create();
        const handle = yield* bench.iommu.bind(bench.device(), mm);
        const area = yield* mms.mmap(mm, 2 * PAGE, 3);
        yield* bench.core.cpu.fill(mm, area, 2 * PAGE, () => 0x21);
        const file = yield* user.open();
        const job = { destination: area, bytes: 2 * PAGE } as const;
        same((yield* user.jobAs(handle.pasid, file, job)).status, 'done', 'the job before the death');
        mms.grab(mm);
        yield* mms.put(mm);
        const late = yield* user.jobAs(handle.pasid, file, job);
        holds(late.status === 'cancelled' || late.status === 'failed', `the job after the death ended ${late.status}`);
        same(bench.translate(stream!, handle.pasid, pageOf(area)), -1, 'a translation after the death');
        yield* bench.engine().stopQueue(handle.pasid);
        yield* bench.iommu.unbind(handle);
        mms.drop(mm);
      });
    },
  },
  {
    feature: 'quietDeath',
    counter: true,
    ways: WAYS,
    name: 'refuses and records what a device does for a dead process (SVA-7)',
    body(bench) {
      const { mms } = bench.core;
      bench.process('driver', function* (user) {
        const mm = mms.create();
        const handle = yield* bench.iommu.bind(bench.device(), mm);
        const area = yield* mms.mmap(mm, PAGE, 3);
        yield* bench.core.cpu.fill(mm, area, PAGE, () => 0x22);
        const file = yield* user.open();
        const job = { destination: area } as const;
        same((yield* user.jobAs(handle.pasid, file, job)).status, 'done', 'the job before the death');
        mms.grab(mm);
        yield* mms.put(mm);
        const late = yield* user.jobAs(handle.pasid, file, job);
        holds(late.status === 'cancelled' || late.status === 'failed', `the job after the death ended ${late.status}`);
        yield* bench.engine().stopQueue(handle.pasid);
        yield* bench.iommu.unbind(handle);
        mms.drop(mm);
      });
      return () => holds(bench.oracles.recorded.length > 0, 'what the device did is recorded');
    },
  },
  {
    ...EXIT,
    name: 'survives a death under a runaway, and unbinds long after (SVA-7)',
    body(bench) {
      const { mms } = bench.core;
      bench.process('driver', function* (user) {
        const mm = mms.create();
        const handle = yield* bench.iommu.bind(bench.device(), mm);
        const area = yield* mms.mmap(mm, 2 * PAGE, 3);
        yield* bench.core.cpu.fill(mm, area, 2 * PAGE, () => 0x31);
        const file = yield* user.open();
        const job = { op: 'fill', source: 0n, destination: area, bytes: 2 * PAGE, pattern: 0, prefetch: 0 } as const;
        yield* bench.engine().submitWith(file, { ...job, endless: true, eager: true }, handle.pasid);
        yield* mms.put(mm);
        yield* bench.kernel.clock.sleep(3000);
        yield* bench.engine().stop(file);
        yield* bench.iommu.unbind(handle);
      });
    },
  },
  {
    ...EXIT,
    name: 'lets a death and an unbind meet in any order (MN-7, SVA-23, L05)',
    body(bench) {
      const { mms } = bench.core;
      bench.task('driver', function* () {
        const mm = mms.create();
        const handle = yield* bench.iommu.bind(bench.device(), mm);
        const area = yield* mms.mmap(mm, PAGE, 3);
        yield* bench.core.cpu.fill(mm, area, PAGE, () => 0x41);
        mms.grab(mm);
        bench.task('exit', () => mms.put(mm));
        yield* bench.iommu.unbind(handle);
        mms.drop(mm);
      });
    },
  },
  {
    ...EXIT,
    name: 'keeps a PASID from its next owner until the bond is gone (SVA-15, L09)',
    body(bench) {
      const { mms } = bench.core;
      bench.task('driver', function* () {
        const [dead, live] = [mms.create(), mms.create()];
        const first = yield* bench.iommu.bind(bench.device(), dead);
        yield* mms.put(dead);
        const second = yield* bench.iommu.bind(bench.device(), live);
        same([first.pasid, second.pasid], [1, 2], 'the PASIDs');
        yield* bench.iommu.unbind(first);
        yield* bench.iommu.unbind(second);
        const third = yield* bench.iommu.bind(bench.device(), live);
        same(third.pasid, 1, 'the PASID, once the bond is gone');
        yield* bench.iommu.unbind(third);
        yield* mms.put(live);
      });
    },
  },
  {
    ...EXIT,
    name: 'disturbs nobody else by a death (INV-15, L20)',
    body(bench) {
      bench.process('victim', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(1, 3, 0x4000_0000n);
        yield* user.submit(file, { destination: area });
      });
      bench.process('survivor', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(2, 3, 0x4000_0000n);
        yield* user.fill(area, 2, 0x51);
        for (let round = 0; round < 3; round++) yield* user.deviceReads(file, area, 2, 0x51, `round ${round}`);
        yield* user.deviceWrites(file, area, 2, 0x52);
        yield* user.expect(area, 2, 0x52, 'what the device stored for the survivor');
      });
    },
  },
  {
    ...EXIT,
    name: 'unbinds when a child closes the file of a parent that is long dead (MM-13)',
    body(bench) {
      bench.process('parent', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(1, 0x61);
        yield* user.deviceReads(file, area, 1, 0x61, 'the parent');
        yield* bench.core.processes.fork(user.process, 'child', function* (self) {
          yield* bench.kernel.clock.sleep(1e6);
          yield* bench.core.processes.close(self, file);
        });
      });
    },
  },
];
