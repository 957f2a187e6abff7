import { readFileSync } from 'node:fs';
import { dmaEngine, dmaEngineDriver } from '@iommukit/dma-engine';
import { parseDevicetree, platformFromDevicetree } from '@iommukit/firmware';
import { FairChooser } from '@iommukit/kernel';
import { assemble } from '@iommukit/machine';
import { resolveSettings, switchesOf } from '@iommukit/scenario';
import { smmuv3Driver } from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { spread } from './harness.mjs';

const backend = { name: 'smmuv3', driver: smmuv3Driver, hardware: smmuV3Hardware, switches: smmuv3Driver.switches };
const DEVICES = 64;
const BONDS = 10_000;
/** Room for what 64 devices may have outstanding. */
const REQUESTS = 4096;
const LIMITS = { steps: Number.POSITIVE_INFINITY, ns: Number.POSITIVE_INFINITY, idleSteps: Number.POSITIVE_INFINITY };

/** A booted machine with that many engines. */
function machineWith(devices) {
  const dtb = readFileSync(new URL('../apps/cli/fixtures/virt.dtb', import.meta.url));
  const at = (i) => `0000:00:${(Math.floor(i / 4) + 3).toString(16).padStart(2, '0')}.${i % 4}`;
  const machine = assemble({
    platform: platformFromDevicetree(parseDevicetree(dtb)),
    overlay: {
      atsSupported: true,
      endpoints: Array.from({ length: devices }, (_, i) => ({ at: at(i), model: 'dma-engine', capabilities: {} })),
      iommu: {},
    },
    iommuHardware: [smmuV3Hardware],
    iommuDrivers: [smmuv3Driver],
    endpointHardware: [dmaEngine],
    endpointDrivers: [dmaEngineDriver],
    settings: resolveSettings(switchesOf(backend), { 'smmuv3.priq-entries': REQUESTS }),
  });
  const outcome = machine.boot();
  if (outcome.end !== 'finished') throw new Error(`the machine does not boot: ${outcome.end}`);
  return machine;
}

/** Runs `body` as the only task. */
function run(machine, body) {
  machine.kernel.spawn('bench', body);
  machine.kernel.begin(new FairChooser(), LIMITS);
  const outcome = machine.kernel.run();
  if (outcome.end !== 'finished') throw new Error(`${outcome.end}: ${JSON.stringify(outcome)}`);
}

/** Binds each of `mms` to its device; ns for each bind. */
function bindAll(machine, mms) {
  const devices = [...machine.devices.values()];
  const times = new Float64Array(mms.length);
  run(machine, function* () {
    for (let i = 0; i < mms.length; i++) {
      const device = devices[i % devices.length];
      const began = process.hrtime.bigint();
      yield* machine.iommuOf.get(device.name).bind(device, mms[i]);
      times[i] = Number(process.hrtime.bigint() - began);
    }
  });
  return times;
}

const medianOf = (times) => [...times].sort((a, b) => a - b)[times.length >> 1];

/** What bonds cost that nobody uses. */
export const cases = {
  /** Bytes of the heap for one idle bond, its own PASID, context and notifier included; page tables are frames, and apart. */
  'idle-bond': () => {
    const samples = [1, 2, 3].map(() => {
      const machine = machineWith(1);
      const mms = Array.from({ length: 2000 }, () => machine.core.mms.create());
      bindAll(machine, mms.slice(0, 1000));
      globalThis.gc();
      const frames = machine.bus.frames.inUse();
      const before = process.memoryUsage().heapUsed;
      bindAll(machine, mms.slice(1000));
      globalThis.gc();
      const heap = process.memoryUsage().heapUsed - before;
      return (heap + (machine.bus.frames.inUse() - frames) * 4096) / 1000;
    });
    return { ...spread(samples), unit: 'B' };
  },
  /** A bind, when 10,000 bonds on 64 devices come to be: the last thousand's median, in the first thousand's. */
  'bind-growth': () => {
    const samples = [1, 2, 3].map(() => {
      const machine = machineWith(DEVICES);
      // The compiler is through after a first round, whose bonds stay.
      bindAll(
        machine,
        Array.from({ length: 2000 }, () => machine.core.mms.create()),
      );
      const times = bindAll(
        machine,
        Array.from({ length: BONDS - 2000 }, () => machine.core.mms.create()),
      );
      return medianOf(times.slice(-1000)) / medianOf(times.slice(0, 1000));
    });
    return { ...spread(samples), unit: '×' };
  },
};
