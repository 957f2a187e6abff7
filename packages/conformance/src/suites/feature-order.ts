import { refused, same } from '../checks.js';
import { type ConformanceTest, WAYS } from '../conformance-test.js';

/** Features are enabled in their order, and every refusal has its code (FEAT-1, FEAT-2; sva-core.md 7). */
export const FEATURE_ORDER: readonly ConformanceTest[] = [
  {
    name: 'refuses SVA before page faults (EINVAL, FEAT-1)',
    feature: 'featureOrder',
    ways: ['pri', 'stall'],
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        yield* bench.engine().disableFeatures();
        yield* refused('EINVAL', bench.iommu.enable(bench.device(), 'sva'), 'enabling SVA before IOPF');
        yield* bench.engine().enableFeatures();
      });
    },
  },
  {
    name: 'refuses to enable what is on (EBUSY)',
    feature: 'featureOrder',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const { iommu } = bench;
        yield* refused('EBUSY', iommu.enable(bench.device(), 'sva'), 'enabling SVA twice');
        if (bench.way === 'ats') return;
        yield* refused('EBUSY', iommu.enable(bench.device(), 'iopf'), 'enabling IOPF twice');
      });
    },
  },
  {
    name: 'refuses to disable what is off (EINVAL)',
    feature: 'featureOrder',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const { iommu } = bench;
        yield* bench.engine().disableFeatures();
        for (const feature of ['sva', 'iopf'] as const)
          yield* refused('EINVAL', iommu.disable(bench.device(), feature), `disabling ${feature}, which is off`);
        yield* bench.engine().enableFeatures();
      });
    },
  },
  {
    name: 'refuses to disable page faults while SVA is on (EBUSY, FEAT-2)',
    feature: 'featureOrder',
    ways: ['pri', 'stall'],
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        yield* refused('EBUSY', bench.iommu.disable(bench.device(), 'iopf'), 'disabling IOPF under SVA');
        const area = yield* user.map(1);
        yield* user.deviceWrites(yield* user.bound(), area, 1, 0x11);
      });
    },
  },
  {
    name: 'refuses to disable SVA while a process is bound (EBUSY, SVA-18)',
    feature: 'featureOrder',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const file = yield* user.bound();
        yield* refused('EBUSY', bench.iommu.disable(bench.device(), 'sva'), 'disabling SVA under a bond');
        const area = yield* user.filled(1, 0x22);
        yield* user.deviceReads(file, area, 1, 0x22, 'after the refusal');
      });
    },
  },
  {
    name: 'refuses to bind while SVA is off (ENODEV, SVA-1)',
    feature: 'featureOrder',
    ways: WAYS,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const device = bench.device();
        yield* bench.iommu.disable(device, 'sva');
        yield* refused('ENODEV', bench.iommu.bind(device, user.mm), 'binding without SVA');
        yield* bench.iommu.enable(device, 'sva');
      });
    },
  },
  {
    name: 'takes features off and on again, and serves processes as before (FEAT-2)',
    feature: 'featureOrder',
    ways: WAYS,
    body(bench) {
      bench.process('process', function* (user) {
        for (let round = 0; round < 2; round++) {
          yield* bench.engine().disableFeatures();
          yield* bench.engine().enableFeatures();
          const file = yield* user.bound();
          const area = yield* user.filled(1, 0x33 + round);
          yield* user.deviceReads(file, area, 1, 0x33 + round, `round ${round}`);
          yield* user.close(file);
        }
      });
    },
  },
  {
    name: 'refuses page faults of a function without PRI (ENODEV)',
    feature: 'featureOrder',
    needs: ['ats'],
    machine: { probes: [{ pri: false }, { ats: false }] },
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        const { iommu } = bench;
        yield* refused('ENODEV', iommu.enable(bench.probeDevice(0), 'iopf'), 'IOPF of a function without PRI');
        yield* refused('ENODEV', iommu.enable(bench.probeDevice(1), 'iopf'), 'IOPF of a function without ATS');
      });
    },
  },
  {
    name: 'refuses SVA of a function without PASIDs (ENODEV)',
    feature: 'featureOrder',
    needs: ['ats'],
    machine: { probes: [{ pasidBits: 0, pri: false }] },
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const device = bench.probeDevice();
        yield* refused('ENODEV', bench.iommu.enable(device, 'sva'), 'SVA of a function without PASIDs');
        yield* refused('ENODEV', bench.iommu.bind(device, user.mm), 'binding it');
      });
    },
  },
  {
    name: 'refuses SVA of a platform device without PASIDs (ENODEV)',
    feature: 'featureOrder',
    ways: ['stall'],
    machine: { engines: [{ pasidBits: 0 }] },
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const device = bench.device();
        yield* refused('ENODEV', bench.iommu.bind(device, user.mm), 'binding a device without PASIDs');
      });
    },
  },
  {
    name: 'refuses page faults of a platform device that firmware does not let stall (ENODEV, FEAT-5)',
    feature: 'featureOrder',
    ways: ['stall'],
    machine: { engines: [{ stall: false }] },
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        yield* refused('ENODEV', bench.iommu.enable(bench.device(), 'iopf'), 'IOPF of a device that may not stall');
      });
    },
  },
  {
    name: 'gives no ATS to a function that firmware says is outside',
    feature: 'featureOrder',
    needs: ['ats'],
    machine: { probes: [{ untrusted: true }, {}] },
    schedules: false,
    body(bench) {
      bench.task('kernel', function* () {
        yield* refused('ENODEV', bench.iommu.enable(bench.probeDevice(0), 'iopf'), 'IOPF of an untrusted function');
        same(bench.probe(0).fn.state.ats, false, 'ATS of an untrusted function');
      });
    },
  },
];
