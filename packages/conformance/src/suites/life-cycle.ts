import type { Device } from '@iommukit/core';
import { refused, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';
import { pageOf } from '../user.js';

/** The same device with other streams. */
function withStreams(device: Device, streams: readonly number[]): Device {
  return Object.create(device, { streams: { value: streams } }) as Device;
}

/** Devices come and go. */
export const LIFE_CYCLE: readonly ConformanceTest[] = [
  {
    name: 'boots, serves a process, and is as it was after boot',
    feature: 'lifeCycle',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        const area = yield* user.filled(2, 0x11);
        yield* user.deviceReads(file, area, 2, 0x11, 'what the CPU stored');
        yield* user.deviceWrites(file, area, 2, 0x22);
        yield* user.expect(area, 2, 0x22, 'what the device stored');
      });
    },
  },
  {
    name: 'knows a released device no more (ENODEV), and serves it again once it is probed again',
    feature: 'lifeCycle',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const { iommu } = bench;
        const device = bench.device();
        yield* bench.engine().disableFeatures();
        yield* iommu.releaseDevice(device);
        for (const feature of ['iopf', 'sva'] as const) {
          yield* refused('ENODEV', iommu.enable(device, feature), `enabling ${feature} on a released device`);
          yield* refused('ENODEV', iommu.disable(device, feature), `disabling ${feature} on a released device`);
        }
        yield* refused('ENODEV', iommu.bind(device, user.mm), 'binding a released device');
        yield* refused('ENODEV', iommu.releaseDevice(device), 'releasing a released device');
        const area = yield* user.filled(1, 0x33);
        for (const pasid of [-1, 1])
          same(bench.translate(device.streams[0]!, pasid, pageOf(area)), -1, `a translation of PASID ${pasid}`);
        yield* iommu.probeDevice(device);
        yield* bench.engine().enableFeatures();
        yield* user.deviceReads(yield* user.bound(), area, 1, 0x33, 'after the second probe');
      });
    },
  },
  {
    name: 'does not release a device while a feature is on (EBUSY)',
    feature: 'lifeCycle',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        yield* refused('EBUSY', bench.iommu.releaseDevice(bench.device()), 'releasing a device with SVA on');
        const area = yield* user.filled(1, 0x44);
        yield* user.deviceReads(yield* user.bound(), area, 1, 0x44, 'after the refusal');
      });
    },
  },
  {
    name: 'does not release a device that takes page faults (EBUSY)',
    feature: 'lifeCycle',
    ways: ['pri', 'stall'],
    body(bench) {
      bench.task('kernel', function* () {
        const device = bench.device();
        yield* bench.iommu.disable(device, 'sva');
        yield* refused('EBUSY', bench.iommu.releaseDevice(device), 'releasing a device with IOPF on');
        yield* bench.iommu.enable(device, 'sva');
      });
    },
  },
  {
    name: 'does not probe a device whose stream is taken (EINVAL), and goes on serving the owner (IOPF-27)',
    feature: 'lifeCycle',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        const { iommu } = bench;
        const device = bench.device();
        const [stream] = device.streams;
        const twin = withStreams(device, [stream!]);
        yield* refused('EINVAL', iommu.probeDevice(twin), 'probing a stream that is taken');
        const greedy = withStreams(device, [stream! + 0x20, stream!]);
        yield* refused('EINVAL', iommu.probeDevice(greedy), 'probing streams of which one is taken');
        const area = yield* user.filled(1, 0x55);
        yield* user.deviceReads(yield* user.bound(), area, 1, 0x55, 'after the refusal');
      });
    },
  },
  {
    name: 'does not probe a stream beyond what there can be (ERANGE), and keeps nothing of it (IOPF-27)',
    feature: 'lifeCycle',
    machine: { probes: [{}] },
    body(bench) {
      bench.task('kernel', function* () {
        const stranger = withStreams(bench.probeDevice(), [0x5, 2 ** 32]);
        yield* refused('ERANGE', bench.iommu.probeDevice(stranger), 'probing stream 2^32');
        yield* refused('ENODEV', bench.iommu.releaseDevice(stranger), 'releasing what was refused');
      });
    },
  },
  {
    name: 'lets go of a device that was pulled out: unbind and disable end',
    feature: 'lifeCycle',
    needs: ['ats', 'pri'],
    machine: { probes: [{}] },
    body(bench) {
      bench.process('process', function* (user) {
        yield* bench.enableProbe();
        const device = bench.probeDevice();
        const handle = yield* bench.iommu.bind(device, user.mm);
        const area = yield* user.filled(1, 0x66);
        yield* bench.probe().translation(handle.pasid, pageOf(area));
        bench.probe().fn.remove();
        bench.probe().link.remove();
        yield* user.unmap(area);
        yield* bench.iommu.unbind(handle);
        yield* bench.disableProbe();
      });
    },
  },
];
