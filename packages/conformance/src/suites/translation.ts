import { ENTRY, type Mm, PERM } from '@iommukit/core';
import { Rng } from '@iommukit/kernel';
import { AT, hostileUpstream, type Upstream } from '@iommukit/pci-ats';
import type { Bench } from '../bench.js';
import { same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { PAGE, pageOf } from '../user.js';

const { READ, WRITE } = PERM;

/** The frame that the tables give for a right, or -1: what a translation must come to. */
function byTables(bench: Bench, mm: Mm, page: number, want: number): number {
  const { pageTables, format } = bench.core;
  if (page >= format.pageEnd) return -1;
  const look = pageTables.find(mm, page);
  if (look.kind !== ENTRY.LEAF || (format.permOf(look.entry) & want) !== want) return -1;
  return format.isAccessed(look.entry) ? pageTables.frameAt(look, page) : -1;
}

/** TranslationAgent.translate (pci-ats). */
export const TRANSLATION: readonly ConformanceTest[] = [
  {
    name: 'agrees with the tables, page by page and right by right',
    feature: 'translation',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        yield* user.bound();
        const { pasid } = user.mm;
        const [stream] = bench.device().streams;
        const at = 0x4000_0000n;
        yield* user.map(8, READ | WRITE, at);
        yield* user.fill(at, 6, 0x11);
        yield* user.protect(at + 2n * 4096n, 2, READ);
        yield* user.protect(at + 4n * 4096n, 1, 0);
        yield* user.touch(at + 7n * 4096n, 1);
        for (let i = -2; i < 10; i++) {
          const page = pageOf(at) + i;
          for (const want of [READ, WRITE, READ | WRITE]) {
            const expected = byTables(bench, user.mm, page, want);
            same(bench.translate(stream!, pasid, page, want), expected, `page ${i} of the area for rights ${want}`);
          }
        }
      });
    },
  },
  {
    name: 'refuses streams that it knows nothing of',
    feature: 'translation',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        yield* user.bound();
        const page = pageOf(yield* user.filled(1, 0x21));
        const [own] = bench.device().streams;
        for (const stream of [own! + 8, own! + 0x100, 0xfff8, 0xffff, 2 ** 24, 2 ** 32 - 1])
          for (const pasid of [-1, 0, 1])
            same(bench.translate(stream, pasid, page), -1, `a translation of stream 0x${stream.toString(16)}`);
      });
    },
  },
  {
    name: 'refuses pages and PASIDs that there cannot be, and never throws',
    feature: 'translation',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        yield* user.bound();
        const area = pageOf(yield* user.filled(1, 0x31));
        const [stream] = bench.device().streams;
        for (const page of [0, 2 ** 35, 2 ** 36 - 1, 2 ** 36, 2 ** 40, 2 ** 45, 2 ** 51, 2 ** 52 - 1])
          same(bench.translate(stream!, 1, page), -1, `a translation of page 0x${page.toString(16)}`);
        for (const pasid of [0, 2, 255, 2 ** 16, 2 ** 20 - 1, 2 ** 20, 2 ** 24])
          same(bench.translate(stream!, pasid, area), -1, `a translation of PASID ${pasid}`);
      });
    },
  },
  {
    name: 'answers the same at every moment of a munmap: the old frame, or nothing',
    feature: 'translation',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        yield* user.bound();
        const { pasid } = user.mm;
        const area = yield* user.filled(1, 0x41);
        const [stream] = bench.device().streams;
        const frame = bench.translate(stream!, pasid, pageOf(area));
        let over = false;
        bench.task('watcher', function* () {
          const word = bench.kernel.footprint();
          for (let i = 0; i < 30; i++) {
            yield* bench.kernel.point(word, true);
            const found = bench.translate(stream!, pasid, pageOf(area));
            same(found === -1 || (!over && found === frame), true, `frame ${found}, ${over ? 'after' : 'in'} munmap`);
          }
        });
        yield* user.unmap(area);
        over = true;
      });
    },
  },
];

function draws(rng: Rng): (below: number) => number {
  return (below) => rng.below(below);
}

/** An address that is said to be translated does harm where the IOMMU trusts the device (pcie-ats.md 4). */
function isForged(tlp: Upstream): boolean {
  return (tlp.kind === 'read' || tlp.kind === 'write') && tlp.at === AT.TRANSLATED;
}

/** TranslationAgent.receive (pci-ats): whatever comes. */
export const HOSTILITY: readonly ConformanceTest[] = [
  {
    name: 'takes any message of a function that is bound, and leaves everybody else in peace',
    feature: 'hostility',
    ways: ['pri', 'ats'],
    machine: { engines: [{}], probes: [{}], hostile: true },
    body(bench) {
      const run = bench.runs;
      const hostile = bench.process('hostile', function* (user) {
        const rng = new Rng(7, run);
        const pri = bench.manifest.pri === true;
        if (pri) yield* bench.enableProbe();
        else yield* bench.iommu.enable(bench.probeDevice(), 'sva');
        const handle = yield* bench.iommu.bind(bench.probeDevice(), user.mm);
        const area = yield* user.filled(2, 0x11);
        const knowledge = { pasids: [handle.pasid, handle.pasid + 1], pages: [pageOf(area), pageOf(area) + 1] };
        for (let i = 0; i < 64; i++) {
          const tlp = hostileUpstream(draws(rng), knowledge);
          if (!isForged(tlp)) yield* bench.probe().send(tlp);
        }
        yield* bench.kernel.clock.sleep(1e7);
        yield* bench.iommu.unbind(handle);
        if (pri) yield* bench.disableProbe();
        else yield* bench.iommu.disable(bench.probeDevice(), 'sva');
      });
      bench.process('neighbour', function* (user) {
        const file = yield* user.bound();
        const secret = yield* user.filled(1, 0x77);
        yield* user.deviceReads(file, secret, 1, 0x77, 'beside the hostile device');
        yield* bench.core.processes.join(hostile);
        yield* user.expect(secret, 1, 0x77, "the neighbour's page");
        yield* user.deviceWrites(file, secret, 1, 0x78);
      });
    },
  },
  {
    name: 'takes any message of a function that no feature is on for',
    feature: 'hostility',
    machine: { probes: [{}], hostile: true },
    body(bench) {
      const run = bench.runs;
      bench.process('process', function* (user) {
        const rng = new Rng(8, run);
        const area = yield* user.filled(2, 0x21);
        const knowledge = { pasids: [1], pages: [pageOf(area)] };
        for (let i = 0; i < 64; i++) {
          const tlp = hostileUpstream(draws(rng), knowledge);
          if (!isForged(tlp)) yield* bench.probe().send(tlp);
        }
        yield* bench.kernel.clock.sleep(1e7);
        yield* user.expect(area, 2, 0x21, 'a page of nobody who is bound');
        const data = new Uint8Array(8).fill(0xee);
        for (const page of [pageOf(area), 0x40000]) {
          yield* bench
            .probe()
            .send({ kind: 'write', at: AT.UNTRANSLATED, pasid: -1, page, offset: 0, data, witness: 0 });
        }
        yield* bench.kernel.clock.sleep(PAGE);
        yield* user.expect(area, 2, 0x21, 'a page of nobody who is bound');
      });
    },
  },
];
