import { holds, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { PAGE, pageOf } from '../user.js';

const AT = 0x4000_0000n;

/** A device reaches what is bound to it, and nothing else (INV-8, SVA-19, IOASID-2). */
export const ISOLATION: readonly ConformanceTest[] = [
  {
    name: 'keeps a device from the PASIDs of another one (SVA-19, L38)',
    feature: 'ownPasids',
    ways: WAYS,
    machine: { engines: [{}, {}], hostile: true },
    body(bench) {
      bench.process('owner', function* (user) {
        const file = yield* user.bound(0);
        const area = yield* user.map(1, 3, AT);
        yield* user.fill(area, 1, 0x11);
        const { pasid } = user.mm;
        same(
          bench.translate(bench.device(1).streams[0]!, pasid, pageOf(area)),
          -1,
          'a translation of the other device',
        );
        const thief = bench.process('thief', function* (other) {
          const mine = yield* other.open(1);
          yield* other.jobAs(pasid, mine, { destination: AT, pattern: 0xeeeeeeee }, 1);
          const stolen = yield* other.jobAs(pasid, mine, { op: 'checksum', source: AT }, 1);
          holds(stolen.status !== 'done', 'the other device reads what is bound to the first');
        });
        yield* bench.core.processes.join(thief);
        yield* user.expect(area, 1, 0x11, "the owner's page");
        yield* user.deviceReads(file, area, 1, 0x11, "the owner's page");
      });
    },
  },
  {
    name: 'lets every device reach what is bound to one, and none afterwards (SVA-19)',
    feature: 'ownPasids',
    counter: true,
    ways: WAYS,
    machine: { engines: [{}, {}] },
    body(bench) {
      bench.process('owner', function* (user) {
        const file = yield* user.bound(0);
        const page = pageOf(yield* user.filled(1, 0x12));
        const reach = (i: number): number => bench.translate(bench.device(i).streams[0]!, 1, page);
        same(reach(1), reach(0), 'the frame that the other device reaches');
        yield* user.close(file);
        same([reach(0), reach(1)], [-1, -1], 'what they reach when it is unbound');
      });
    },
  },
  {
    name: 'keeps a device from PASIDs that are bound to nothing',
    feature: 'isolation',
    ways: WAYS,
    machine: { hostile: true },
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(1, 0x21);
        const [stream] = bench.device().streams;
        for (const pasid of [0, 2, 3, 0xfffff]) {
          const what = `PASID ${pasid}`;
          same(bench.translate(stream!, pasid, pageOf(area)), -1, `a translation of ${what}`);
          const { status } = yield* user.jobAs(pasid, yield* user.open(), { op: 'checksum', source: area });
          holds(status !== 'done', `the device reads with ${what}, which is bound to nothing`);
        }
        yield* user.deviceReads(file, area, 1, 0x21, 'with its own PASID');
      });
    },
  },
  {
    name: 'ends requests without PASID, be the address virtual or physical (SMMU-28)',
    feature: 'isolation',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        yield* user.bound();
        const area = yield* user.filled(1, 0x31);
        const [stream] = bench.device().streams;
        const frame = bench.translate(stream!, 1, pageOf(area));
        const file = yield* user.open();
        for (const page of [pageOf(area), frame]) {
          same(bench.translate(stream!, -1, page), -1, 'a translation without PASID');
          const address = BigInt(page) * BigInt(PAGE);
          yield* user.job(file, { destination: address, pattern: 0xeeeeeeee, noPasid: true });
          const { status } = yield* user.job(file, { op: 'checksum', source: address, noPasid: true });
          holds(status !== 'done', 'the device reads without PASID');
        }
        yield* user.expect(area, 1, 0x31, "the process's page");
      });
    },
  },
  {
    name: 'keeps a device from an address space that it was unbound from, whatever it has cached (L25)',
    feature: 'isolation',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const area = yield* user.map(1, 3, AT);
        yield* user.fill(area, 1, 0x41);
        const file = yield* user.bound();
        yield* user.deviceReads(file, area, 1, 0x41, 'before');
        yield* bench.engine().unbind(file);
        const successor = bench.process('successor', function* (other) {
          const theirs = yield* other.bound();
          same(other.mm.pasid, 1, 'the PASID');
          yield* other.deviceCannotRead(theirs, AT, 'what nobody has mapped in the new address space');
          yield* other.map(1, 3, AT);
          yield* other.fill(AT, 1, 0x42);
          yield* other.deviceReads(theirs, AT, 1, 0x42, 'the new address space');
          yield* other.deviceWrites(theirs, AT, 1, 0x43);
        });
        yield* bench.core.processes.join(successor);
        yield* user.expect(area, 1, 0x41, 'the old address space');
      });
    },
  },
];
