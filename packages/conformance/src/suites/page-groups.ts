import { PERM } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { PRG_RESPONSE } from '@iommukit/pci-ats';
import type { Bench } from '../bench.js';
import { holds, same } from '../checks.js';
import type { ConformanceTest } from '../conformance-test.js';
import { PAGE, pageOf, type User } from '../user.js';

const { SUCCESS, INVALID_REQUEST } = PRG_RESPONSE;
const { READ, WRITE, EXEC } = PERM;
const PROBE = { probes: [{}] };

/** A process that the probe is bound to; `body` speaks for the device. */
function withBond(bench: Bench, body: (user: User, pasid: number) => Coroutine<void>): void {
  bench.process('process', function* (user) {
    yield* bench.enableProbe();
    const handle = yield* bench.iommu.bind(bench.probeDevice(), user.mm);
    yield* body(user, handle.pasid);
    yield* bench.iommu.unbind(handle);
    yield* bench.disableProbe();
  });
}

/** The answers as [group, code], in the order of the groups. */
function answersOf(bench: Bench): number[][] {
  return bench
    .probe()
    .answers.map(({ prgi, code }) => [prgi, code])
    .sort(([a = 0], [b = 0]) => a - b);
}

/** Requests for one page each, and how they are answered. */
const CASES: readonly { name: string; perm: number; of: number; code: number }[] = [
  { name: 'a read of what may be read and written', perm: READ, of: READ | WRITE, code: SUCCESS },
  { name: 'a write of it', perm: WRITE, of: READ | WRITE, code: SUCCESS },
  { name: 'both at once', perm: READ | WRITE, of: READ | WRITE, code: SUCCESS },
  { name: 'a read of what may be read only', perm: READ, of: READ, code: SUCCESS },
  { name: 'a write of it', perm: WRITE, of: READ, code: INVALID_REQUEST },
  { name: 'both at once', perm: READ | WRITE, of: READ, code: INVALID_REQUEST },
  { name: 'a read of a mapping without rights', perm: READ, of: 0, code: INVALID_REQUEST },
];

/** Page requests, spoken by a probe (IOPF-1 … IOPF-13, PF-1 … PF-9). */
export const PAGE_REQUESTS: readonly ConformanceTest[] = [
  {
    name: 'answers each request by the rights of its mapping (PF-1)',
    feature: 'pri',
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        for (const [group, { perm, of }] of CASES.entries()) {
          const area = yield* user.map(1, of);
          yield* bench.probe().ask(pasid, group, pageOf(area), perm);
        }
        yield* bench.probe().answered(CASES.length);
      });
      return () =>
        same(
          answersOf(bench),
          CASES.map(({ code }, group) => [group, code]),
          'the answers',
        );
    },
  },
  {
    name: 'answers INVALID to a request to read and execute what is not executable',
    feature: 'gentleRefusals',
    needs: ['pri'],
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        yield* bench.probe().ask(pasid, 1, pageOf(yield* user.map(1)), READ | EXEC);
        yield* bench.probe().answered(1);
      });
      return () => same(answersOf(bench), [[1, INVALID_REQUEST]], 'the answers');
    },
  },
  {
    name: 'answers INVALID where nothing is mapped, up to the end of the address space',
    feature: 'pri',
    machine: PROBE,
    body(bench) {
      const pages = [1, 0x5_0000, 2 ** 35, 2 ** 36, 2 ** 40, 2 ** 52 - 1];
      withBond(bench, function* (_user, pasid) {
        for (const [group, page] of pages.entries()) yield* bench.probe().ask(pasid, group, page, READ);
        yield* bench.probe().answered(pages.length);
      });
      return () =>
        same(
          answersOf(bench),
          pages.map((_page, group) => [group, INVALID_REQUEST]),
          'the answers',
        );
    },
  },
  {
    name: 'answers INVALID to an unknown PASID, and to a request without one (IOPF-9, IOPF-24)',
    feature: 'gentleRefusals',
    needs: ['pri'],
    machine: { ...PROBE, hostile: true },
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const page = pageOf(yield* user.filled(1, 0x11));
        yield* bench.probe().ask(pasid + 1, 1, page, READ);
        yield* bench.probe().ask(0xfffff, 2, page, READ);
        yield* bench.probe().ask(-1, 3, page, READ);
        yield* bench.probe().answered(3);
      });
      return () => {
        same(
          answersOf(bench),
          [1, 2, 3].map((group) => [group, INVALID_REQUEST]),
          'the answers',
        );
      };
    },
  },
  {
    name: 'answers Response Failure to an unknown PASID: the device stops until it is reset (sva-core.md 7)',
    feature: 'gentleRefusals',
    counter: true,
    needs: ['pri'],
    machine: { ...PROBE, hostile: true },
    body(bench) {
      withBond(bench, function* (_user, pasid) {
        yield* bench.probe().ask(pasid + 1, 1, 0x5_0000, READ);
        yield* bench.probe().answered(1);
      });
      return () => same(answersOf(bench), [[1, PRG_RESPONSE.FAILURE]], 'the answers');
    },
  },
  {
    name: 'grants a device nothing of a process that is bound to another one (L38)',
    feature: 'ownPasids',
    needs: ['ats', 'pri'],
    machine: { probes: [{}, {}] },
    body(bench) {
      bench.process('process', function* (user) {
        yield* bench.enableProbe(0);
        yield* bench.enableProbe(1);
        const handle = yield* bench.iommu.bind(bench.probeDevice(1), user.mm);
        const area = yield* user.filled(1, 0x22);
        same((yield* bench.probe(0).translation(handle.pasid, pageOf(area)))?.perm ?? 0, 0, 'what is granted');
        yield* bench.iommu.unbind(handle);
        yield* bench.disableProbe(1);
        yield* bench.disableProbe(0);
      });
    },
  },
  {
    name: 'answers nothing to a stop marker (IOPF-13)',
    feature: 'pri',
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        yield* bench.probe().ask(pasid, 0, 0, 0);
        yield* bench.probe().ask(pasid, 7, pageOf(yield* user.map(1)), READ);
        yield* bench.probe().answered(1);
        yield* bench.kernel.clock.sleep(1e6);
      });
      return () => same(answersOf(bench), [[7, SUCCESS]], 'the answers');
    },
  },
  {
    name: 'names the PASID in its answers to a device that requires it (PCI-8, IOPF-7)',
    feature: 'pri',
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        yield* bench.probe().ask(pasid, 1, pageOf(yield* user.map(1)), READ);
        yield* bench.probe().ask(pasid, 2, 0x5_0000, READ);
        yield* bench.probe().answered(2);
        same(
          bench.probe().answers.map((answer) => answer.pasid),
          [pasid, pasid],
          'the PASIDs of the answers',
        );
      });
    },
  },
  {
    name: 'leaves nobody without an answer when the process dies meanwhile (IOPF-6, L02)',
    feature: 'pri',
    machine: PROBE,
    body(bench) {
      let pasid = 0;
      let page = 0;
      bench.task('device driver', function* () {
        yield* bench.enableProbe();
        const { mms } = bench.core;
        const mm = mms.create();
        const handle = yield* bench.iommu.bind(bench.probeDevice(), mm);
        pasid = handle.pasid;
        page = pageOf(yield* mms.mmap(mm, PAGE, READ | WRITE));
        for (let group = 0; group < 4; group++) yield* bench.probe().ask(pasid, group, page, WRITE);
        yield* mms.put(mm);
        for (let group = 4; group < 6; group++) yield* bench.probe().ask(pasid, group, page, WRITE);
        yield* bench.probe().answered(6);
        yield* bench.iommu.unbind(handle);
        yield* bench.disableProbe();
      });
      return () => {
        const answers = answersOf(bench);
        same(answers.length, 6, 'answers');
        same(
          answers.slice(4),
          [4, 5].map((group) => [group, INVALID_REQUEST]),
          'the answers after the death',
        );
      };
    },
  },
];

/** Groups of several requests (IOPF-2 … IOPF-6). */
export const PAGE_GROUPS: readonly ConformanceTest[] = [
  {
    name: 'answers a group of three once, when all its pages are there (IOPF-3, IOPF-6)',
    feature: 'pageGroups',
    needs: ['pri'],
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const area = yield* user.map(3);
        for (let i = 0; i < 3; i++) yield* bench.probe().ask(pasid, 9, pageOf(area) + i, WRITE, i === 2);
        yield* bench.probe().answered(1);
        const [stream] = bench.probeDevice().streams;
        for (let i = 0; i < 3; i++)
          holds(bench.translate(stream!, pasid, pageOf(area) + i, WRITE) >= 0, `page ${i} of the group is there`);
      });
      return () => same(answersOf(bench), [[9, SUCCESS]], 'the answers');
    },
  },
  {
    name: 'answers a group with its first error, and does not go on (IOPF-5)',
    feature: 'pageGroups',
    needs: ['pri'],
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const area = yield* user.map(2);
        yield* bench.probe().ask(pasid, 4, pageOf(area), WRITE, false);
        yield* bench.probe().ask(pasid, 4, 0x5_0000, WRITE, false);
        yield* bench.probe().ask(pasid, 4, pageOf(area) + 1, WRITE);
        yield* bench.probe().answered(1);
        const [stream] = bench.probeDevice().streams;
        same(bench.translate(stream!, pasid, pageOf(area) + 1, WRITE), -1, 'the page behind the error');
      });
      return () => same(answersOf(bench), [[4, INVALID_REQUEST]], 'the answers');
    },
  },
  {
    name: 'keeps groups apart whose requests are mixed (IOPF-3)',
    feature: 'pageGroups',
    needs: ['pri'],
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const page = pageOf(yield* user.map(4));
        yield* bench.probe().ask(pasid, 1, page, WRITE, false);
        yield* bench.probe().ask(pasid, 2, 0x5_0000, READ, false);
        yield* bench.probe().ask(pasid, 1, page + 1, WRITE);
        yield* bench.probe().ask(pasid, 3, page + 2, READ);
        yield* bench.probe().ask(pasid, 2, page + 3, READ);
        yield* bench.probe().answered(3);
      });
      return () => {
        const expected = [
          [1, SUCCESS],
          [2, INVALID_REQUEST],
          [3, SUCCESS],
        ];
        same(answersOf(bench), expected, 'the answers');
      };
    },
  },
  {
    name: 'keeps nothing of a group that was never closed, once page faults are off (IOPF-2, IOPF-17)',
    feature: 'pageGroups',
    needs: ['pri'],
    machine: PROBE,
    body(bench) {
      withBond(bench, function* (user, pasid) {
        const page = pageOf(yield* user.map(2));
        yield* bench.probe().ask(pasid, 1, page, WRITE, false);
        yield* bench.probe().ask(pasid, 2, page + 1, WRITE, false);
        yield* bench.kernel.clock.sleep(1e6);
      });
      return () => same(answersOf(bench), [], 'the answers');
    },
  },
  {
    name: 'answers group after group of an accelerator that asks for four pages at once',
    feature: 'pageGroups',
    ways: ['pri'],
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(8);
        const job = { destination: area, bytes: 8 * PAGE, pattern: 0x77777777, prefetch: 4 };
        same((yield* user.job(file, job)).status, 'done', 'the job');
        yield* user.expect(area, 8, 0x77, 'what the device stored');
      });
      return () => holds(bench.log.answers.length < bench.log.faults.length, 'a group has one answer for its requests');
    },
  },
];

/** Page requests that overflow the queue. */
function tooMany(bench: Bench): number {
  return bench.candidate.smallRequestQueue!.requests;
}

/** More requests than the queue holds (IOPF-15, PCI-9). */
export const OVERFLOW: readonly ConformanceTest[] = [
  {
    name: 'ends a job whose requests overflow the queue again and again',
    feature: 'overflow',
    ways: ['pri'],
    machine: { smallRequestQueue: true, engines: [{ prgCapacity: 256 }] },
    body(bench) {
      const pages = tooMany(bench);
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(pages);
        const job = { destination: area, bytes: pages * PAGE, pattern: 0x66666666, prefetch: pages };
        same((yield* user.job(file, job)).status, 'done', 'the job');
        yield* user.expect(area, pages, 0x66, 'what the device stored');
      });
    },
  },
  {
    name: 'serves others while a device floods the queue, and keeps nothing of the flood',
    feature: 'overflow',
    ways: ['pri'],
    machine: { smallRequestQueue: true, engines: [{}], probes: [{}], hostile: true },
    body(bench) {
      const sent = 2 * 4 * Math.ceil(tooMany(bench) / 4);
      const flood = bench.process('flood', function* (user) {
        yield* bench.enableProbe();
        const handle = yield* bench.iommu.bind(bench.probeDevice(), user.mm);
        const page = pageOf(yield* user.map(4));
        for (let i = 0; i < sent; i++)
          yield* bench.probe().ask(handle.pasid, i >> 2, page + (i & 3), WRITE, (i & 3) === 3);
        yield* bench.kernel.clock.sleep(1e7);
        yield* bench.iommu.unbind(handle);
        yield* bench.disableProbe();
      });
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.map(4);
        yield* user.deviceWrites(file, area, 4, 0x55);
        yield* user.expect(area, 4, 0x55, 'what the device stored');
        yield* bench.core.processes.join(flood);
        yield* user.deviceWrites(file, area, 4, 0x56);
      });
      return () => {
        const groups = bench.probe().answers.map(({ prgi }) => prgi);
        same(new Set(groups).size, groups.length, 'each group has one answer at most');
        const taken = bench.log.faults.filter(({ dev }) => dev === bench.probe().name).length;
        // Else the test is about nothing. Other schedules may empty the queue in time.
        if (bench.fair) holds(taken < sent, `the queue overflows: all ${sent} requests were taken`);
      };
    },
  },
];
