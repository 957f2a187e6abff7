import { PERM } from '@iommukit/core';
import { holds, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { PAGE, pageOf } from '../user.js';

const { READ, WRITE } = PERM;
const STEP = BigInt(PAGE);
const COHERENCE = { feature: 'coherence', ways: WAYS } as const;

/** Every operation on an address space, with the device's accesses before and after it (MN-11 … MN-18, VMA-2). */
export const COHERENCE_TESTS: readonly ConformanceTest[] = [
  {
    ...COHERENCE,
    name: 'munmap: the device loses the pages, and never sees what is mapped there next',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const at = 0x4000_0000n;
        yield* user.map(2, READ | WRITE, at);
        yield* user.fill(at, 2, 0x11);
        yield* user.deviceWrites(file, at, 2, 0x12);
        yield* user.unmap(at, 2);
        yield* user.deviceCannotWrite(file, at, 2, 'what is unmapped');
        yield* user.map(2, READ | WRITE, at);
        yield* user.fill(at, 2, 0x13);
        yield* user.deviceReads(file, at, 2, 0x13, 'what is mapped there now');
        yield* user.deviceWrites(file, at, 1, 0x14);
        yield* user.expect(at, 1, 0x14, 'what the device stored');
        yield* user.expect(at + STEP, 1, 0x13, 'the page behind it');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'munmap of the middle: the rest stays with the device (VMA-2)',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(5, 0x21);
        yield* user.deviceReads(file, area, 5, 0x21, 'before');
        yield* user.unmap(area + STEP, 3);
        yield* user.deviceWrites(file, area, 1, 0x22);
        yield* user.deviceWrites(file, area + 4n * STEP, 1, 0x23);
        for (const i of [1n, 2n, 3n]) yield* user.deviceCannotRead(file, area + i * STEP, 'the hole');
        yield* user.expect(area, 1, 0x22, 'before the hole');
        yield* user.expect(area + 4n * STEP, 1, 0x23, 'behind the hole');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'munmap of hundreds of pages at once (MN-17)',
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const pages = 600;
        const area = yield* user.map(pages);
        for (const i of [0, 1, 255, 256, 511, 512, 599]) {
          const page = area + BigInt(i) * STEP;
          yield* user.fill(page, 1, 0x31);
          yield* user.deviceReads(file, page, 1, 0x31, `page ${i}`);
        }
        yield* user.unmap(area, pages);
        for (const i of [0, 1, 255, 256, 511, 512, 599])
          yield* user.deviceCannotRead(file, area + BigInt(i) * STEP, `page ${i} of what is unmapped`);
      });
    },
  },
  {
    ...COHERENCE,
    name: 'mprotect to read-only and back: the device loses the right to write, and gets it again',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(2, 0x41);
        yield* user.deviceWrites(file, area, 2, 0x42);
        yield* user.protect(area, 2, READ);
        yield* user.deviceCannotWrite(file, area, 2, 'what is read-only now');
        yield* user.deviceReads(file, area, 2, 0x42, 'what is read-only now');
        yield* user.protect(area, 2, READ | WRITE);
        // Where the device can ask for nothing, somebody else makes the entry writable.
        if (bench.way === 'ats') yield* user.fill(area, 2, 0x43);
        yield* user.deviceWrites(file, area, 2, 0x44);
        yield* user.expect(area, 2, 0x44, 'what the device stored');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'mprotect of one page of three: the others keep their rights',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(3, 0x51);
        yield* user.deviceWrites(file, area, 3, 0x52);
        yield* user.protect(area + STEP, 1, 0);
        yield* user.deviceWrites(file, area, 1, 0x53);
        yield* user.deviceWrites(file, area + 2n * STEP, 1, 0x54);
        yield* user.deviceCannotRead(file, area + STEP, 'a page without rights');
        yield* user.protect(area + STEP, 1, READ | WRITE);
        yield* user.expect(area + STEP, 1, 0x52, 'the page that had no rights');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'mremap to another address: the page is reached there, and no longer here (MN-13)',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const { processes } = bench.core;
        const area = yield* user.map(2, READ | WRITE, 0x4000_0000n);
        yield* user.fill(area, 2, 0x61);
        // Something behind it, so that it has to move.
        yield* user.map(1, READ | WRITE, area + 2n * STEP);
        yield* user.deviceWrites(file, area, 2, 0x62);
        const moved = yield* processes.mremap(user.process, area, 2 * PAGE, 4 * PAGE);
        holds(moved !== area, 'the mapping has moved');
        yield* user.deviceCannotRead(file, area, 'where the mapping was');
        yield* user.deviceReads(file, moved, 2, 0x62, 'where the mapping is');
        yield* user.deviceWrites(file, moved, 2, 0x63);
        yield* user.expect(moved, 2, 0x63, 'where the mapping is');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'mremap to fewer pages: the device loses the end',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(3, 0x71);
        yield* user.deviceReads(file, area, 3, 0x71, 'before');
        same(yield* bench.core.processes.mremap(user.process, area, 3 * PAGE, PAGE), area, 'the address');
        yield* user.deviceWrites(file, area, 1, 0x72);
        yield* user.deviceCannotWrite(file, area + STEP, 2, 'what was cut off');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'madvise(DONTNEED): the next access finds zeros, whoever makes it',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(2, 0x81);
        yield* user.deviceWrites(file, area, 2, 0x82);
        yield* bench.core.processes.madvise(user.process, area, 2 * PAGE);
        if (bench.way === 'ats') yield* user.touch(area, 2);
        yield* user.deviceReads(file, area, 2, 0, 'what was dropped');
        yield* user.expect(area, 2, 0, 'what was dropped');
      });
    },
  },
  {
    ...COHERENCE,
    name: "fork: what the parent's device writes is not the child's, and the reverse (MN-13, L42)",
    body(bench) {
      bench.process('parent', function* (user) {
        const { processes, cpu } = bench.core;
        const file = yield* user.bound();
        const area = yield* user.filled(2, 0x91);
        yield* user.deviceWrites(file, area, 2, 0x92);
        const child = yield* processes.fork(user.process, 'child', function* (self) {
          same(bench.core.sva.hasPasid(self.mm!), false, 'the child has a PASID');
          const found = new Uint8Array(2 * PAGE);
          yield* cpu.load(self.mm!, area, found);
          holds(
            found.every((byte) => byte === 0x92),
            'the child sees what was there at its birth',
          );
          yield* cpu.fill(self.mm!, area, 2 * PAGE, () => 0x93);
          yield* bench.kernel.clock.sleep(1e6);
          yield* cpu.load(self.mm!, area, found);
          holds(
            found.every((byte) => byte === 0x93),
            'the child sees what it stored itself',
          );
        });
        if (bench.way === 'ats') yield* user.fill(area, 2, 0x94);
        yield* user.deviceWrites(file, area, 2, 0x94);
        yield* user.expect(area, 2, 0x94, 'what the device stored for the parent');
        yield* processes.join(child);
        yield* user.deviceReads(file, area, 2, 0x94, "the parent's pages");
      });
    },
  },
  {
    ...COHERENCE,
    name: 'a page that moves to another frame: the device follows (L43)',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const { mms } = bench.core;
        const area = yield* user.filled(2, 0xa1);
        yield* user.deviceWrites(file, area, 2, 0xa2);
        for (let i = 0; i < 2; i++) yield* mms.migrate(user.mm, pageOf(area) + i);
        yield* user.deviceReads(file, area, 2, 0xa2, 'what has moved');
        yield* user.deviceWrites(file, area, 2, 0xa3);
        yield* user.expect(area, 2, 0xa3, 'what the device stored');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'a page that is swapped out: what the device stored comes back (L43)',
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const { mms } = bench.core;
        const area = yield* user.filled(2, 0xb1);
        yield* user.deviceWrites(file, area, 2, 0xb2);
        for (let i = 0; i < 2; i++) yield* mms.reclaim(user.mm, pageOf(area) + i);
        if (bench.way === 'ats') yield* user.deviceCannotRead(file, area, 'what is swapped out');
        yield* user.expect(area, 2, 0xb2, 'what the device stored');
        yield* user.deviceReads(file, area, 2, 0xb2, 'what came back');
      });
    },
  },
  {
    ...COHERENCE,
    name: 'exec: the old address space is gone for the device, and the new one can be bound (MM-11)',
    body(bench) {
      bench.process('process', function* (user) {
        const { processes } = bench.core;
        const old = yield* user.bound();
        const area = yield* user.filled(1, 0xc1);
        yield* user.deviceWrites(old, area, 1, 0xc2);
        yield* processes.exec(user.process);
        yield* user.deviceCannotWrite(old, area, 1, 'an address space that is gone');
        const file = yield* user.bound();
        holds(user.mm.pasid !== 1, 'the old PASID is still taken');
        const fresh = yield* user.filled(1, 0xc3);
        yield* user.deviceReads(file, fresh, 1, 0xc3, 'the new address space');
        yield* user.close(old);
        yield* user.deviceWrites(file, fresh, 1, 0xc4);
      });
    },
  },
  {
    ...COHERENCE,
    name: 'every operation while the device is at work: the oracles find no stale access (INV-1, INV-7)',
    body(bench) {
      bench.process('process', function* (user) {
        const { processes, mms } = bench.core;
        const file = yield* user.bound();
        const area = yield* user.filled(4, 0xd1);
        yield* user.submit(file, { destination: area, bytes: 4 * PAGE, pattern: 0xd2d2d2d2, endless: true });
        yield* mms.migrate(user.mm, pageOf(area));
        yield* user.protect(area, 2, READ);
        yield* mms.reclaim(user.mm, pageOf(area) + 1);
        yield* user.protect(area, 2, READ | WRITE);
        yield* processes.madvise(user.process, area + STEP, PAGE);
        yield* user.unmap(area + 2n * STEP);
        yield* user.map(1, READ | WRITE, area + 2n * STEP);
        yield* user.fill(area + 2n * STEP, 1, 0xd3);
        yield* user.unmap(area, 4);
        yield* bench.engine().stop(file);
      });
    },
  },
];
