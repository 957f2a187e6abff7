import { dmaEngine, dmaEngineDriver } from '@iommukit/dma-engine';
import { FairChooser } from '@iommukit/kernel';
import { assemble } from '@iommukit/machine';
import { resolveSettings, switchesOf } from '@iommukit/scenario';
import { backends, defaultPlatform } from 'iommukit';
import { besides, spread } from './harness.mjs';

const DEVICES = 64;
const BONDS = 10_000;
const LIMITS = { steps: Number.POSITIVE_INFINITY, ns: Number.POSITIVE_INFINITY, idleSteps: Number.POSITIVE_INFINITY };

/** Machines to be; the queue has room for what 64 devices may have outstanding. */
const kinds = {
  smmuv3: {
    backend: backends.smmuv3,
    platform: await defaultPlatform('smmuv3'),
    bus: '00',
    settings: { 'smmuv3.priq-entries': 4096 },
  },
  vtd: {
    backend: backends.vtd,
    platform: await defaultPlatform('vtd'),
    // On bus 0 the unit knows the devices that its table lists.
    bus: '01',
    settings: { 'vtd.prq-entries': 4096 },
  },
};

/** A booted machine with that many engines. */
function machineWith({ backend, platform, bus, settings }, devices) {
  const at = (i) => `0000:${bus}:${(Math.floor(i / 4) + 3).toString(16).padStart(2, '0')}.${i % 4}`;
  const machine = assemble({
    platform,
    overlay: {
      atsSupported: true,
      endpoints: Array.from({ length: devices }, (_, i) => ({ at: at(i), model: 'dma-engine', capabilities: {} })),
      iommu: {},
    },
    iommuHardware: [backend.hardware],
    iommuDrivers: [backend.driver],
    endpointHardware: [dmaEngine],
    endpointDrivers: [dmaEngineDriver],
    settings: resolveSettings(switchesOf(backend), settings),
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

/** Bytes of the heap for one idle bond, its own PASID, context and notifier included; page tables are frames, and apart. */
function idleBond(kind) {
  const samples = [1, 2, 3].map(() => {
    const machine = machineWith(kind, 1);
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
}

/** A bind, when 10,000 bonds on 64 devices come to be: the last thousand's median, in the first thousand's. */
function bindGrowth(kind) {
  const samples = [1, 2, 3].map(() => {
    const machine = machineWith(kind, DEVICES);
    const processes = (n) => Array.from({ length: n }, () => machine.core.mms.create());
    // The compiler is through after a first round, whose bonds stay.
    bindAll(machine, processes(2000));
    const times = bindAll(machine, processes(BONDS - 2000));
    return medianOf(times.slice(-1000)) / medianOf(times.slice(0, 1000));
  });
  return { ...spread(samples), unit: '×' };
}

/** What bonds cost that nobody uses. */
export const cases = besides({ 'idle-bond': idleBond, 'bind-growth': bindGrowth }, kinds);
