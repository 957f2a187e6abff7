import { RESPONSE } from '@iommukit/core';
import type { Bench } from '../bench.js';
import { refused, same } from '../checks.js';
import type { ConformanceTest } from '../conformance-test.js';
import type { OptionalFeature } from '../manifest.js';
import { pageOf } from '../user.js';
import { supervisorOf } from './supervisor.js';

const PROBE = { probes: [{}], hostile: true };

/** A device that asks for pages all the same: nobody takes its requests, and nothing is kept of them. */
function refusesPageRequests(bench: Bench): () => void {
  bench.process('process', function* (user) {
    const device = bench.probeDevice();
    yield* refused('ENODEV', bench.iommu.enable(device, 'iopf'), 'IOPF where nobody takes page requests');
    const page = pageOf(yield* user.filled(1, 0x11));
    for (const pasid of [-1, 1]) yield* bench.probe().ask(pasid, 1, page, 1);
    yield* bench.kernel.clock.sleep(1e6);
    same(bench.probe().fn.state.pri, false, 'PRI of the device');
  });
  return () => {
    const granted = bench.probe().answers.filter(({ code }) => code === RESPONSE.SUCCESS);
    same(granted.length, 0, 'requests that are answered SUCCESS');
  };
}

function withoutPageRequests(feature: OptionalFeature): ConformanceTest {
  return {
    name: 'refuses page faults of a PCI function (ENODEV), and keeps nothing of what it asks for',
    feature,
    counter: true,
    machine: PROBE,
    body: (bench) => (bench.manifest.pri === true ? undefined : refusesPageRequests(bench)),
  };
}

/** What a backend does not have is refused, with the right code, and nothing is left behind. */
export const ABSENT: readonly ConformanceTest[] = [
  {
    name: 'switches no ATS on, grants no translation, and refuses page faults of the function (ENODEV)',
    feature: 'ats',
    counter: true,
    machine: PROBE,
    body(bench) {
      bench.process('process', function* (user) {
        const device = bench.probeDevice();
        yield* refused('ENODEV', bench.iommu.enable(device, 'iopf'), 'IOPF without ATS');
        same(bench.probe().fn.state.ats, false, 'ATS of the function');
        const page = pageOf(yield* user.filled(1, 0x11));
        for (const pasid of [-1, 1])
          same((yield* bench.probe().translation(pasid, page))?.perm ?? 0, 0, 'what is granted');
      });
    },
  },
  withoutPageRequests('pri'),
  withoutPageRequests('pageGroups'),
  withoutPageRequests('overflow'),
  {
    name: 'refuses page faults of a platform device, whatever firmware says of it (ENODEV, FEAT-5)',
    feature: 'stall',
    counter: true,
    ways: ['stall'],
    body(bench) {
      bench.process('process', function* (user) {
        const device = bench.device();
        yield* refused('ENODEV', bench.iommu.enable(device, 'iopf'), 'IOPF where nothing stalls');
        const area = yield* user.filled(1, 0x21);
        same(bench.translate(device.streams[0]!, -1, pageOf(area)), -1, 'a translation without PASID');
      });
    },
  },
  {
    name: 'makes no DMA domain (ENODEV or EOPNOTSUPP)',
    feature: 'dmaDomains',
    counter: true,
    machine: PROBE,
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        yield* refused(['ENODEV', 'EOPNOTSUPP'], bench.iommu.allocDomain(bench.probeDevice()), 'making a DMA domain');
      });
    },
  },
  {
    name: 'takes no second device into a domain (EINVAL)',
    feature: 'severalDevices',
    counter: true,
    needs: ['dmaDomains'],
    machine: { probes: [{}, {}] },
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const { iommu } = bench;
        const domain = yield* iommu.allocDomain(bench.probeDevice(0));
        yield* iommu.attach(bench.probeDevice(0), domain);
        yield* refused('EINVAL', iommu.attach(bench.probeDevice(1), domain), 'a second device of a domain');
        yield* iommu.detach(bench.probeDevice(0));
        yield* iommu.freeDomain(domain);
      });
    },
  },
  {
    name: 'refuses SVA of a device that is in a DMA domain (EBUSY)',
    feature: 'requestsWithoutPasid',
    counter: true,
    needs: ['dmaDomains', 'ats', 'pri'],
    machine: PROBE,
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const { iommu } = bench;
        const device = bench.probeDevice();
        const domain = yield* iommu.allocDomain(device);
        yield* iommu.attach(device, domain);
        yield* iommu.enable(device, 'iopf');
        yield* refused('EBUSY', iommu.enable(device, 'sva'), 'SVA of a device in a DMA domain');
        yield* iommu.disable(device, 'iopf');
        yield* iommu.detach(device);
        yield* iommu.freeDomain(domain);
      });
    },
  },
  {
    name: "gives no PASID for the kernel's own addresses: there is no call for it, or it refuses (ENODEV)",
    feature: 'supervisorPasid',
    counter: true,
    machine: PROBE,
    schedules: false,
    body(bench) {
      const driver = supervisorOf(bench);
      if (driver === null) return;
      bench.task('kernel', function* () {
        yield* refused('ENODEV', driver.bindSupervisor(bench.probeDevice()), 'a supervisor PASID');
      });
    },
  },
];
