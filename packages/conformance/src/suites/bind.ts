import { holds, refused, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { supports } from '../manifest.js';
import { pageOf } from '../user.js';

const TWO = { engines: [{}, {}] };

/** Bind and unbind (SVA-1 … SVA-6, SVA-12, SVA-15). */
export const BIND: readonly ConformanceTest[] = [
  {
    name: 'gives one handle a device and process, counted: the last unbind ends it (SVA-3)',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const device = bench.device();
        const area = yield* user.filled(1, 0x11);
        const reach = (): number => bench.translate(device.streams[0]!, 1, pageOf(area));
        const first = yield* bench.iommu.bind(device, user.mm);
        const second = yield* bench.iommu.bind(device, user.mm);
        holds(first === second, 'two binds of one device and process give one handle');
        same([first.pasid, first.device.name, first.mm === user.mm], [1, device.name, true], 'the handle');
        yield* bench.iommu.unbind(first);
        holds(reach() >= 0, 'one unbind of two leaves the device what it had');
        yield* bench.iommu.unbind(second);
        same(reach(), -1, 'after the last unbind a translation');
      });
    },
  },
  {
    name: 'gives a process one PASID on all devices, and unbinds each on its own (SVA-2, SVA-4)',
    feature: 'bind',
    ways: WAYS,
    machine: TWO,
    body(bench) {
      bench.process('process', function* (user) {
        const [a, b] = [yield* user.bound(0), yield* user.bound(1)];
        same(user.mm.pasid, 1, "the process's PASID");
        const area = yield* user.filled(2, 0x21);
        yield* user.deviceReads(a, area, 2, 0x21, 'the first device', 0);
        yield* user.deviceReads(b, area, 2, 0x21, 'the second device', 1);
        yield* bench.engine(0).unbind(a);
        if (supports(bench.manifest, 'ownPasids'))
          same(bench.translate(bench.device(0).streams[0]!, 1, pageOf(area)), -1, 'a translation of the first device');
        yield* user.deviceWrites(b, area, 2, 0x22, 1);
        yield* user.unmap(area);
        yield* user.deviceCannotWrite(b, area, 1, 'what is unmapped', 1);
      });
    },
  },
  {
    name: 'gives two processes two PASIDs, and each its own memory at the same address',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      const pasids: number[] = [];
      for (const [i, name] of ['first', 'second'].entries()) {
        bench.process(name, function* (user) {
          const file = yield* user.bound();
          pasids.push(user.mm.pasid);
          const area = yield* user.map(2, 3, 0x4000_0000n);
          yield* user.fill(area, 2, 0x31 + i);
          yield* user.deviceReads(file, area, 2, 0x31 + i, name);
          yield* user.deviceWrites(file, area, 1, 0x41 + i);
          yield* user.expect(area, 1, 0x41 + i, name);
        });
      }
      return () => holds(!pasids.includes(0), 'PASID 0 is for requests without PASID (IOASID-2)');
    },
  },
  {
    name: 'lets a device reach nothing before bind and after unbind',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const area = yield* user.filled(1, 0x41);
        const [stream] = bench.device().streams;
        const reach = (): number => bench.translate(stream!, 1, pageOf(area), 3);
        same(reach(), -1, 'before bind a translation');
        const handle = yield* bench.iommu.bind(bench.device(), user.mm);
        holds(reach() >= 0, 'a bound device translates');
        yield* bench.iommu.unbind(handle);
        same(reach(), -1, 'after unbind a translation');
      });
    },
  },
  {
    name: 'hands out the lowest free PASID, and hands it out again after the last unbind (IOASID-4, SVA-15)',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        for (let round = 0; round < 3; round++) {
          const file = yield* user.bound();
          same(user.mm.pasid, 1, 'the PASID');
          const area = yield* user.filled(1, 0x50 + round);
          yield* user.deviceReads(file, area, 1, 0x50 + round, `bond ${round}`);
          yield* user.unmap(area);
          yield* user.close(file);
        }
      });
    },
  },
  {
    name: 'gives a reused PASID to a new process, with nothing of the old one left (TLB-5, L25)',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      const first = bench.process('first', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(2, 3, 0x4000_0000n);
        yield* user.fill(area, 2, 0x61);
        yield* user.deviceReads(file, area, 2, 0x61, 'the first process');
      });
      bench.process('second', function* (user) {
        yield* bench.core.processes.join(first);
        const file = yield* user.bound();
        same(user.mm.pasid, 1, 'the PASID');
        const area = yield* user.map(2, 3, 0x4000_0000n);
        yield* user.fill(area, 2, 0x62);
        yield* user.deviceReads(file, area, 2, 0x62, 'the second process');
      });
    },
  },
  {
    name: 'refuses an address space whose last user is gone (EINVAL, SVA-6)',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      bench.task('kernel', function* () {
        const { mms } = bench.core;
        const mm = mms.create();
        mms.grab(mm);
        yield* mms.put(mm);
        yield* refused('EINVAL', bench.iommu.bind(bench.device(), mm), 'binding a dead address space');
        mms.drop(mm);
      });
    },
  },
  {
    name: 'makes one bond when threads bind at once (L31)',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const area = yield* user.filled(1, 0x71);
        const handles: object[] = [];
        const threads = ['a', 'b', 'c'].map((name) =>
          bench.core.processes.spawnThread(user.process, name, function* ({ mm }) {
            const handle = yield* bench.iommu.bind(bench.device(), mm!);
            handles.push(handle);
            same(handle.pasid, 1, 'the PASID');
            holds(bench.translate(bench.device().streams[0]!, 1, pageOf(area)) >= 0, 'what bind returned is live');
            yield* bench.kernel.clock.sleep(1e6);
            yield* bench.iommu.unbind(handle);
          }),
        );
        for (const thread of threads) yield* bench.core.processes.join(thread);
        same(new Set(handles).size, 1, 'handles');
      });
    },
  },
  {
    name: 'binds and unbinds many processes at once',
    feature: 'bind',
    ways: WAYS,
    body(bench) {
      for (let i = 0; i < 4; i++) {
        bench.process(`process-${i}`, function* (user) {
          const area = yield* user.filled(1, 0x80 + i);
          for (let round = 0; round < 2; round++) {
            const file = yield* user.bound();
            yield* user.deviceReads(file, area, 1, 0x80 + i, `process ${i}`);
            yield* user.close(file);
          }
        });
      }
    },
  },
];

/** PASIDs fit the device (IOASID-19, SVA-21). */
export const PASID_WIDTH: readonly ConformanceTest[] = [
  {
    name: 'gives a device of one bit PASID 1 only, and refuses the next process (ENOSPC) until it is free',
    feature: 'pasidWidth',
    ways: WAYS,
    machine: { engines: [{ pasidBits: 1 }] },
    body(bench) {
      const first = bench.process('first', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(1, 0x11);
        const other = bench.process('other', function* (stranger) {
          yield* refused('ENOSPC', bench.iommu.bind(bench.device(), stranger.mm), 'a second process of one bit');
        });
        yield* bench.core.processes.join(other);
        yield* user.deviceReads(file, area, 1, 0x11, 'after the refusal');
      });
      bench.process('second', function* (user) {
        yield* bench.core.processes.join(first);
        const area = yield* user.filled(1, 0x12);
        yield* user.deviceReads(yield* user.bound(), area, 1, 0x12, 'the next owner');
      });
    },
  },
  {
    name: 'refuses a process whose PASID a narrow device cannot send (EOVERFLOW), and leaves its other bonds (L28)',
    feature: 'pasidWidth',
    ways: WAYS,
    machine: { engines: [{}, { pasidBits: 1 }] },
    body(bench) {
      bench.process('first', function* (user) {
        const first = yield* user.bound();
        const second = bench.process('second', function* (other) {
          const file = yield* other.bound();
          same(other.mm.pasid, 2, 'the second PASID');
          yield* refused('EOVERFLOW', bench.iommu.bind(bench.device(1), other.mm), 'PASID 2 on a device of one bit');
          const area = yield* other.filled(1, 0x21);
          yield* other.deviceReads(file, area, 1, 0x21, 'after the refusal');
        });
        yield* bench.core.processes.join(second);
        const narrow = yield* user.bound(1);
        const area = yield* user.filled(1, 0x22);
        yield* user.deviceReads(narrow, area, 1, 0x22, 'the narrow device', 1);
        yield* user.close(first);
      });
    },
  },
  {
    name: 'uses every PASID that a device of two bits can send',
    feature: 'pasidWidth',
    ways: WAYS,
    machine: { engines: [{ pasidBits: 2 }] },
    schedules: false,
    body(bench) {
      const { mms } = bench.core;
      bench.task('kernel', function* () {
        const spaces = Array.from({ length: 4 }, () => mms.create());
        const handles = [];
        for (const mm of spaces.slice(0, 3)) handles.push(yield* bench.iommu.bind(bench.device(), mm));
        same(
          handles.map(({ pasid }) => pasid),
          [1, 2, 3],
          'the PASIDs',
        );
        yield* refused('ENOSPC', bench.iommu.bind(bench.device(), spaces[3]!), 'a fourth process of two bits');
        for (const handle of handles) yield* bench.iommu.unbind(handle);
        for (const mm of spaces) yield* mms.put(mm);
      });
    },
  },
];
