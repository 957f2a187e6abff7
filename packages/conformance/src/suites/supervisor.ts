import type { Device, Mm } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Bench } from '../bench.js';
import { holds, refused, same } from '../checks.js';
import type { ConformanceTest } from '../conformance-test.js';
import { pageOf } from '../user.js';

/** What a driver has besides `IommuDriver` where it gives PASIDs for the kernel's own addresses (SVA-20). */
export interface SupervisorDriver {
  /** One handle a device, counted. @throws IommuError EINVAL if a process is given, ENODEV with the reason */
  bindSupervisor(device: Device, mm?: Mm | null): Coroutine<SupervisorHandle>;
  unbindSupervisor(handle: SupervisorHandle): Coroutine<void>;
}

/** A device's use of the kernel's own addresses. */
export interface SupervisorHandle {
  readonly device: Device;
  readonly pasid: number;
}

/** The bench's driver if it has the call, else null. */
export function supervisorOf({ iommu }: Bench): SupervisorDriver | null {
  const driver = iommu as unknown as Partial<SupervisorDriver>;
  return typeof driver.bindSupervisor === 'function' ? (driver as SupervisorDriver) : null;
}

const PROBE = { probes: [{}] };

/** PASIDs for the kernel's own addresses (SVA-20). */
export const SUPERVISOR: readonly ConformanceTest[] = [
  {
    name: 'gives one handle a device, counted, and takes the PASID back with the last',
    feature: 'supervisorPasid',
    needs: ['ats', 'pri'],
    machine: PROBE,
    body(bench) {
      bench.task('kernel', function* () {
        const driver = supervisorOf(bench)!;
        const device = bench.probeDevice();
        yield* bench.enableProbe();
        for (let round = 0; round < 2; round++) {
          const first = yield* driver.bindSupervisor(device);
          const second = yield* driver.bindSupervisor(device);
          holds(first === second, 'two binds of one device give one handle');
          same(first.pasid, 1, 'the PASID');
          yield* driver.unbindSupervisor(first);
          yield* driver.unbindSupervisor(second);
        }
        yield* bench.disableProbe();
      });
    },
  },
  {
    name: 'refuses a process (EINVAL), and a device without SVA (ENODEV)',
    feature: 'supervisorPasid',
    needs: ['ats', 'pri'],
    machine: PROBE,
    schedules: false,
    body(bench) {
      bench.process('process', function* (user) {
        const driver = supervisorOf(bench)!;
        const device = bench.probeDevice();
        yield* refused('ENODEV', driver.bindSupervisor(device), 'a supervisor PASID without SVA');
        yield* bench.enableProbe();
        yield* refused('EINVAL', driver.bindSupervisor(device, user.mm), "a supervisor PASID for a process's memory");
        yield* bench.disableProbe();
      });
    },
  },
  {
    name: 'reaches no process, and gives nothing to requests of users',
    feature: 'supervisorPasid',
    needs: ['ats', 'pri'],
    machine: PROBE,
    body(bench) {
      bench.process('process', function* (user) {
        const driver = supervisorOf(bench)!;
        const device = bench.probeDevice();
        const [stream] = device.streams;
        yield* bench.enableProbe();
        const area = pageOf(yield* user.filled(1, 0x11));
        const kernel = yield* driver.bindSupervisor(device);
        const handle = yield* bench.iommu.bind(device, user.mm);
        holds(handle.pasid !== kernel.pasid, 'the process has a PASID of its own');
        for (const want of [1, 2, 9]) {
          const what = `a translation of a process's page with the kernel's PASID for rights ${want}`;
          same(bench.translate(stream!, kernel.pasid, area, want), -1, what);
        }
        holds(bench.translate(stream!, handle.pasid, area) >= 0, 'the process is reached with its own PASID');
        const grant = yield* bench.probe().translation(kernel.pasid, area);
        same(grant?.perm ?? 0, 0, "what the kernel's PASID is granted of a process");
        yield* bench.iommu.unbind(handle);
        yield* driver.unbindSupervisor(kernel);
        yield* bench.disableProbe();
      });
    },
  },
];
