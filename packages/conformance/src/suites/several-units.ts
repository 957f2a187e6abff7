import type { Bench } from '../bench.js';
import { refused, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { capabilitiesWithout, LACKS, type Lack } from '../two-units.js';
import { PAGE, pageOf } from '../user.js';

const TWO = { feature: 'severalUnits', ways: WAYS } as const;
const BOTH = { machine: { engines: [{}, {}], twoUnits: null } } as const;

/** Frames that the two devices reach with PASID 1. */
function reached(bench: Bench, page: number): readonly number[] {
  return [0, 1].map((i) => bench.reach(bench.device(i), 1, page));
}

/** The device behind the second unit cannot share address spaces there; the other one does. */
function refusesSva(lack: Lack): ConformanceTest {
  return {
    ...TWO,
    name: `refuses SVA of the device whose unit is in the way, ${LACKS[lack]} (ENODEV, FEAT-3), and serves the other`,
    machine: { engines: [{}], probes: [{}, {}], twoUnits: lack },
    schedules: false,
    body(bench) {
      if (capabilitiesWithout(bench.candidate.twoUnits!, lack) === null) return undefined;
      bench.process('process', function* (user) {
        const device = bench.probeDevice(1);
        const second = bench.iommuOf(device);
        yield* refused('ENODEV', second.enable(device, 'sva'), 'SVA of the second unit');
        yield* refused('ENODEV', second.bind(device, user.mm), 'binding a device behind it');
        const area = yield* user.filled(1, 0x11);
        yield* user.deviceReads(yield* user.bound(), area, 1, 0x11, 'the device of the first unit');
      });
      return undefined;
    },
  };
}

/** Several units in one machine: each device is judged by its own, and one PASID serves a process on all (SVA-2, IOASID-19). */
export const SEVERAL_UNITS: readonly ConformanceTest[] = [
  {
    ...TWO,
    ...BOTH,
    name: 'serves a process behind both units with one PASID, and another one with another (SVA-2)',
    body(bench) {
      const program = (byte: number, pasids: readonly number[]) =>
        bench.process(`process-${byte}`, function* (user) {
          const files = [yield* user.bound(0), yield* user.bound(1)];
          same(pasids.includes(user.mm.pasid), true, 'the PASID is one of the two');
          const at = 0x4000_0000n;
          yield* user.map(2, 3, at);
          yield* user.fill(at, 2, byte - 1);
          for (const [i, file] of files.entries()) {
            yield* user.deviceWrites(file, at, 2, byte + i, i);
            yield* user.expect(at, 2, byte + i, `what device ${i} stored`);
          }
        });
      program(0x11, [1, 2]);
      program(0x21, [1, 2]);
    },
  },
  {
    ...TWO,
    ...BOTH,
    name: 'tells both units of what is unmapped and protected (MN-18, SVA-4)',
    body(bench) {
      bench.process('process', function* (user) {
        const files = [yield* user.bound(0), yield* user.bound(1)];
        const area = yield* user.filled(3, 0x11);
        for (const [i, file] of files.entries()) yield* user.deviceWrites(file, area, 3, 0x12 + i, i);
        yield* user.protect(area, 1, 1);
        yield* user.unmap(area + BigInt(PAGE), 1);
        for (const [i, file] of files.entries()) {
          yield* user.deviceCannotWrite(file, area, 1, 'what is read-only', i);
          yield* user.deviceCannotRead(file, area + BigInt(PAGE), 'what is unmapped', i);
          yield* user.deviceWrites(file, area + BigInt(2 * PAGE), 1, 0x22 + i, i);
        }
        yield* user.expect(area, 1, 0x13, 'what is read-only');
      });
    },
  },
  {
    ...TWO,
    ...BOTH,
    name: 'unbinds behind one unit, and leaves the other and the PASID (SVA-12, SVA-15)',
    body(bench) {
      bench.process('process', function* (user) {
        const area = yield* user.filled(1, 0x11);
        for (const gone of [0, 1]) {
          const files = [yield* user.bound(0), yield* user.bound(1)];
          const page = pageOf(area);
          for (const [i, file] of files.entries()) yield* user.deviceWrites(file, area, 1, 0x12 + i, i);
          yield* user.close(files[gone]!);
          same(
            reached(bench, page).map((frame) => frame >= 0),
            [gone !== 0, gone !== 1],
            `what is reached when device ${gone} is unbound`,
          );
          yield* user.deviceWrites(files[1 - gone]!, area, 1, 0x22 + gone, 1 - gone);
          same(user.mm.pasid, 1, 'the PASID');
          yield* user.close(files[1 - gone]!);
        }
      });
    },
  },
  {
    ...TWO,
    ...BOTH,
    name: 'takes a dead address space from both units, and lets its devices end (SVA-8, MM-11)',
    body(bench) {
      bench.process('process', function* (user) {
        const files = [yield* user.bound(0), yield* user.bound(1)];
        const area = yield* user.filled(2, 0x11);
        for (const [i, file] of files.entries()) {
          yield* user.submit(file, { destination: area, bytes: 2 * PAGE, endless: true }, i);
        }
        yield* bench.core.processes.exec(user.process);
        same(reached(bench, pageOf(area)), [-1, -1], 'what is reached of a dead address space');
        for (const file of files) yield* user.close(file);
      });
    },
  },
  {
    ...TWO,
    name: 'binds a PASID that fits both units, and refuses one that does not (EOVERFLOW, ENOSPC, IOASID-19)',
    machine: { engines: [{}, {}], twoUnits: 'width' },
    body(bench) {
      if (capabilitiesWithout(bench.candidate.twoUnits!, 'width') === null) return;
      const narrow = bench.device(1);
      const second = bench.iommuOf(narrow);
      bench.process('first', function* (user) {
        const files = [yield* user.bound(0), yield* user.bound(1)];
        same(user.mm.pasid, 1, 'the PASID');
        const area = yield* user.filled(1, 0x11);
        for (const [i, file] of files.entries()) yield* user.deviceReads(file, area, 1, 0x11, `device ${i}`, i);
        const other = bench.process('second', function* (its) {
          yield* refused('ENOSPC', second.bind(narrow, its.mm), 'a second PASID of one bit');
          const file = yield* its.bound(0);
          same(its.mm.pasid, 2, 'the second PASID');
          yield* refused('EOVERFLOW', second.bind(narrow, its.mm), 'PASID 2 behind the narrow unit');
          const own = yield* its.filled(1, 0x21);
          yield* its.deviceReads(file, own, 1, 0x21, 'after the refusal');
        });
        yield* bench.core.processes.join(other);
        yield* user.deviceReads(files[1]!, area, 1, 0x11, 'the narrow unit', 1);
      });
    },
  },
  {
    ...TWO,
    name: 'refuses page faults behind the unit that takes no page requests (ENODEV), and handles the other one’s',
    ways: ['pri'],
    machine: { engines: [{}], probes: [{}, {}], twoUnits: 'pageRequests' },
    body(bench) {
      if (capabilitiesWithout(bench.candidate.twoUnits!, 'pageRequests') === null) return;
      bench.process('process', function* (user) {
        const device = bench.probeDevice(1);
        yield* refused('ENODEV', bench.iommuOf(device).enable(device, 'iopf'), 'IOPF behind the second unit');
        const area = yield* user.map(2);
        yield* user.deviceWrites(yield* user.bound(), area, 2, 0x31);
      });
    },
  },
  refusesSva('pasids'),
  refusesSva('tables'),
  refusesSva('coherence'),
  {
    feature: 'severalUnits',
    name: 'drives the devices behind its IOMMU, and refuses all others (ENODEV)',
    counter: true,
    machine: { probes: [{}] },
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const stranger = Object.create(bench.probeDevice(), { name: { value: '0001:00:05.0' } });
        yield* refused('ENODEV', bench.iommu.enable(stranger, 'sva'), 'SVA of a device behind no unit');
        yield* refused('ENODEV', bench.iommu.bind(stranger, user.mm), 'binding it');
      });
    },
  },
];
