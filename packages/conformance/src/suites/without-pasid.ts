import type { OpenFile } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Bench } from '../bench.js';
import { holds, refused, same } from '../checks.js';
import { type ConformanceTest, EVERY_WAY } from '../conformance-test.js';
import { PAGE, type User } from '../user.js';

const FEATURE = { feature: 'processesWithoutPasid', ways: EVERY_WAY } as const;
const WITHOUT = { withoutPasid: true } as const;
const TWO = { engines: [{}, {}] };

/** Opens an accelerator, and binds it to the process for requests without PASID. */
function* bound(bench: Bench, user: User, engine = 0): Coroutine<OpenFile> {
  const file = yield* user.open(engine);
  same(yield* bench.engine(engine).bind(file, user.mm, WITHOUT), 0, 'the PASID of requests without one');
  return file;
}

/** The device copies pages, as far as it gets: a copy is all that every device can do, and some tell nobody how it went. */
function* copy(user: User, file: OpenFile, source: bigint, destination: bigint, pages = 1, engine = 0) {
  yield* user.job(file, { op: 'copy', source, destination, bytes: pages * PAGE }, engine);
}

/** The same, of a file that is not bound any more. */
function* copyUnbound(user: User, file: OpenFile, source: bigint, destination: bigint, engine = 0): Coroutine<void> {
  yield* user.jobAs(-1, file, { op: 'copy', source, destination }, engine);
}

/** Memory of processes for requests without PASID (VTD-40, SMMU-28). */
export const PROCESSES_WITHOUT_PASID: readonly ConformanceTest[] = [
  {
    ...FEATURE,
    name: "lets a device without PASIDs use a process's memory, from bind to unbind",
    body(bench) {
      bench.process('process', function* (user) {
        const [source, destination] = [yield* user.filled(2, 0x11), yield* user.filled(2, 0x12)];
        const file = yield* bound(bench, user);
        yield* copy(user, file, source, destination, 2);
        yield* user.expect(destination, 2, 0x11, 'what the device copied');
        yield* bench.engine().unbind(file);
        yield* user.fill(source, 1, 0x13);
        yield* copyUnbound(user, file, source, destination);
        yield* user.expect(destination, 2, 0x11, 'what the device copied before unbind');
      });
    },
  },
  {
    ...FEATURE,
    name: 'follows munmap: what was there is out of reach, and what comes there is reached',
    body(bench) {
      bench.process('process', function* (user) {
        const [source, destination] = [yield* user.filled(1, 0x21), yield* user.filled(1, 0x22)];
        const owner = yield* user.map(1);
        const file = yield* bound(bench, user);
        yield* copy(user, file, source, destination);
        yield* user.unmap(destination);
        // The last freed page is the next that is handed out: what goes to the old one is found in the new one.
        yield* user.fill(owner, 1, 0x23);
        yield* copy(user, file, source, destination);
        yield* user.expect(owner, 1, 0x23, "the page's next owner");
        yield* user.map(1, undefined, destination);
        yield* user.fill(destination, 1, 0x24);
        yield* copy(user, file, source, destination);
        yield* user.expect(destination, 1, 0x21, 'the page that came there');
        yield* bench.engine().unbind(file);
      });
    },
  },
  {
    ...FEATURE,
    name: 'gives no right to write what the process may only read',
    body(bench) {
      bench.process('process', function* (user) {
        const [source, destination] = [yield* user.filled(1, 0x31), yield* user.filled(1, 0x32)];
        const file = yield* bound(bench, user);
        yield* copy(user, file, destination, source);
        yield* user.expect(source, 1, 0x32, 'what the device copied');
        yield* user.protect(source, 1, 1);
        yield* user.fill(destination, 1, 0x33);
        yield* copy(user, file, destination, source);
        yield* user.expect(source, 1, 0x32, 'what is for reading');
        yield* bench.engine().unbind(file);
      });
    },
  },
  {
    ...FEATURE,
    name: 'keeps processes of different devices apart, though their requests look the same',
    machine: TWO,
    body(bench) {
      for (const engine of [0, 1]) {
        bench.process(`process ${engine}`, function* (user) {
          const byte = 0x41 + engine;
          const [source, destination] = [yield* user.filled(1, byte), yield* user.filled(1, 0)];
          const file = yield* bound(bench, user, engine);
          for (let round = 0; round < 3; round++) {
            yield* user.fill(destination, 1, 0);
            yield* copy(user, file, source, destination, 1, engine);
            yield* user.expect(destination, 1, byte, `round ${round} of device ${engine}`);
          }
          if (engine === 0) yield* bench.engine(engine).unbind(file);
        });
      }
    },
  },
  {
    ...FEATURE,
    name: 'closes the memory of a process that exits in the middle of a job, and gives everything back',
    body(bench) {
      bench.process('process', function* (user) {
        const [source, destination] = [yield* user.filled(1, 0x51), yield* user.filled(1, 0x52)];
        const file = yield* bound(bench, user);
        yield* user.submit(file, { op: 'copy', source, destination, bytes: PAGE, endless: true });
        yield* bench.kernel.clock.sleep(2000);
      });
    },
  },
  {
    ...FEATURE,
    name: 'takes one process a device, counts its binds, and lets the device go after the last unbind (SVA-3, FEAT-6)',
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const { iommu } = bench;
        const device = bench.device();
        const other = bench.core.mms.create();
        const handle = yield* iommu.bind(device, user.mm, WITHOUT);
        holds((yield* iommu.bind(device, user.mm, WITHOUT)) === handle, 'a second bind gives another handle');
        yield* refused('EBUSY', iommu.bind(device, other, WITHOUT), 'binding a second process');
        yield* refused('EBUSY', iommu.releaseDevice(device), 'releasing a device that is bound');
        yield* iommu.unbind(handle);
        yield* refused('EBUSY', iommu.bind(device, other, WITHOUT), 'binding a second process');
        yield* iommu.unbind(handle);
        const second = yield* iommu.bind(device, other, WITHOUT);
        yield* iommu.unbind(second);
        yield* bench.core.mms.put(other);
      });
    },
  },
  {
    ...FEATURE,
    name: 'is no DMA domain at the same time (EBUSY)',
    needs: ['dmaDomains'],
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const { iommu } = bench;
        const device = bench.device();
        const sharing = bench.engine().state.sharing;
        yield* bench.engine().disableFeatures();
        const domain = yield* iommu.allocDomain(device);
        yield* iommu.attach(device, domain);
        yield* refused('EBUSY', iommu.bind(device, user.mm, WITHOUT), 'binding a device in a DMA domain');
        yield* iommu.detach(device);
        const handle = yield* iommu.bind(device, user.mm, WITHOUT);
        yield* refused('EBUSY', iommu.attach(device, domain), 'attaching a device that is bound');
        yield* refused('EBUSY', iommu.detach(device), 'detaching a device that is bound');
        yield* iommu.unbind(handle);
        yield* iommu.freeDomain(domain);
        if (sharing) yield* bench.engine().enableFeatures();
      });
    },
  },
  {
    ...FEATURE,
    name: 'refuses to bind a process for requests without PASID, and keeps nothing of it',
    counter: true,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const { iommu } = bench;
        const codes = ['ENODEV', 'EOPNOTSUPP'] as const;
        yield* refused(codes, iommu.bind(bench.device(), user.mm, WITHOUT), 'binding without PASID');
      });
    },
  },
];
