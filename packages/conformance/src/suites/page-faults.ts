import { PERM, RESPONSE } from '@iommukit/core';
import { holds, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { PAGE } from '../user.js';

const FAULTING = ['pri', 'stall'] as const;

/** Page faults of devices, asked for by an accelerator (PF-1 … PF-7, MN-14). */
export const PAGE_FAULTS: readonly ConformanceTest[] = [
  {
    name: 'brings in pages that nobody has touched, for a write, and answers SUCCESS',
    feature: 'pageFaults',
    ways: FAULTING,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(3);
        yield* user.deviceWrites(file, area, 3, 0x11);
        yield* user.expect(area, 3, 0x11, 'what the device stored');
      });
      return () => {
        holds(bench.log.faults.length >= 3, 'three untouched pages are three faults at least');
        same(new Set([...bench.log.codes]).size === 1 && bench.log.codes[0], RESPONSE.SUCCESS, 'every answer');
      };
    },
  },
  {
    name: 'brings in pages that nobody has touched, for a read: they are zero',
    feature: 'pageFaults',
    ways: FAULTING,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(2);
        yield* user.deviceReads(file, area, 2, 0, 'untouched pages');
        yield* user.expect(area, 2, 0, 'untouched pages');
      });
    },
  },
  {
    name: 'reaches only what is there where devices cannot ask for pages, and reports no fault',
    feature: 'pageFaults',
    ways: ['ats'],
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(2);
        yield* user.deviceCannotWrite(file, area, 1, 'a page that nobody has touched');
        yield* user.fill(area, 1, 0x21);
        yield* user.deviceReads(file, area, 1, 0x21, 'a page that is there');
        yield* user.deviceCannotRead(file, area + BigInt(PAGE), 'a page that nobody has touched');
      });
      return () => same(bench.log.faults.length, 0, 'faults of a device that asks for no pages');
    },
  },
  {
    name: 'gives no right to write what is mapped read-only, and answers INVALID (PF-1, PF-2)',
    feature: 'pageFaults',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(2, 0x31);
        yield* user.protect(area, 2, PERM.READ);
        yield* user.deviceCannotWrite(file, area, 1, 'what is mapped read-only');
        yield* user.expect(area, 2, 0x31, 'what is mapped read-only');
        yield* user.deviceReads(file, area, 2, 0x31, 'what is mapped read-only');
        yield* user.deviceCannotWrite(file, area, 1, 'what it has read, and is mapped read-only');
        yield* user.expect(area, 2, 0x31, 'what is mapped read-only');
      });
      return () => {
        if (bench.way !== 'ats') holds(bench.log.codes.includes(RESPONSE.INVALID), 'an answer is INVALID');
      };
    },
  },
  {
    name: 'gives nothing where nothing is mapped, and answers INVALID',
    feature: 'pageFaults',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        yield* user.deviceCannotWrite(file, 0x5000_0000n, 1, 'where nothing is mapped');
        yield* user.deviceCannotRead(file, 0x5000_0000n, 'where nothing is mapped');
        const area = yield* user.filled(1, 0x41);
        yield* user.deviceReads(file, area, 1, 0x41, 'after the refusals');
      });
      return () => {
        if (bench.way === 'ats') return;
        same([...new Set(bench.log.codes)], [RESPONSE.INVALID], 'the answers');
      };
    },
  },
  {
    name: 'gives nothing of a mapping without rights',
    feature: 'pageFaults',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(1, 0x51);
        yield* user.protect(area, 1, 0);
        yield* user.deviceCannotWrite(file, area, 1, 'a mapping without rights');
        yield* user.deviceCannotRead(file, area, 'a mapping without rights');
        yield* user.protect(area, 1, PERM.READ);
        yield* user.expect(area, 1, 0x51, 'the page');
      });
    },
  },
  {
    name: 'writes up to the hole in the middle of a job, and not beyond',
    feature: 'pageFaults',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(3, 0x61);
        yield* user.unmap(area + BigInt(PAGE));
        yield* user.deviceCannotWrite(file, area, 3, 'over a hole');
        yield* user.expect(area, 1, 0xee, 'before the hole');
        yield* user.expect(area + BigInt(2 * PAGE), 1, 0x61, 'behind the hole');
      });
    },
  },
  {
    name: 'writes a page that it has read before: the right is added, without an endless fault (MN-14, INV-6)',
    feature: 'pageFaults',
    ways: FAULTING,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(2);
        yield* user.touch(area, 2);
        yield* user.deviceReads(file, area, 2, 0, 'pages of zeros');
        yield* user.deviceWrites(file, area, 2, 0x71);
        yield* user.expect(area, 2, 0x71, 'what the device stored');
      });
    },
  },
  {
    name: 'serves the faults of two processes and a CPU at once, at equal addresses',
    feature: 'pageFaults',
    ways: FAULTING,
    machine: { engines: [{}, {}] },
    body(bench) {
      for (const i of [0, 1]) {
        bench.process(`process-${i}`, function* (user) {
          const file = yield* user.bound(i);
          const area = yield* user.map(3, 3, 0x4000_0000n);
          yield* user.submit(file, { destination: area, bytes: 2 * PAGE, pattern: (0x81 + i) * 0x01010101 }, i);
          yield* user.fill(area + BigInt(2 * PAGE), 1, 0x91 + i);
          same((yield* bench.engine(i).wait(file)).status, 'done', 'the job');
          yield* user.expect(area, 2, 0x81 + i, `what the device stored for process ${i}`);
          yield* user.expect(area + BigInt(2 * PAGE), 1, 0x91 + i, `what process ${i} stored`);
        });
      }
    },
  },
  {
    name: 'brings back pages that were swapped out',
    feature: 'pageFaults',
    ways: FAULTING,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(2, 0xa1);
        for (let i = 0; i < 2; i++) yield* bench.core.mms.reclaim(user.mm, Number(area / 4096n) + i);
        yield* user.deviceReads(file, area, 2, 0xa1, 'pages that were swapped out');
      });
    },
  },
];

/** Accesses that wait in the IOMMU (smmuv3.md 5.4, FEAT-5). */
export const STALLS: readonly ConformanceTest[] = [
  {
    name: 'lets an access go on when its page is there, and ends one whose page never will be',
    feature: 'stall',
    ways: ['stall'],
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(1);
        yield* user.deviceWrites(file, area, 1, 0x11);
        yield* user.deviceCannotRead(file, 0x5000_0000n, 'where nothing is mapped');
      });
      return () => {
        same([...bench.log.codes], [RESPONSE.SUCCESS, RESPONSE.INVALID], 'the answers');
        same(
          bench.log.faults.every(({ flags }) => flags === 3),
          true,
          'each fault is a group of its own',
        );
      };
    },
  },
  {
    name: "holds back one device's access, and not another's",
    feature: 'stall',
    ways: ['stall'],
    machine: { engines: [{}, {}] },
    body(bench) {
      for (const i of [0, 1]) {
        bench.process(`process-${i}`, function* (user) {
          const file = yield* user.bound(i);
          const area = yield* user.map(3);
          yield* user.deviceWrites(file, area, 3, 0x21 + i, i);
          yield* user.expect(area, 3, 0x21 + i, `process ${i}`);
        });
      }
    },
  },
];
