import { PERM } from '@iommukit/core';
import { type DmaEngineDriver, dmaEngine, dmaEngineDriver } from '@iommukit/dma-engine';
import { FairChooser } from '@iommukit/kernel';
import { smmuv3Driver } from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { describe, expect, it } from 'vitest';
import { Elsewhere } from '../test/elsewhere.js';
import { platformOf } from '../test/platform.js';
import { assemble, type Machine, type MachineOptions } from './index.js';

const BDF = '0000:00:03.0';

function optionsOf(at = BDF): MachineOptions {
  return {
    platform: platformOf(),
    overlay: { endpoints: [{ at, model: 'dma-engine', capabilities: {} }], iommu: {} },
    iommuHardware: [smmuV3Hardware],
    iommuDrivers: [smmuv3Driver],
    endpointHardware: [dmaEngine],
    endpointDrivers: [dmaEngineDriver],
    settings: {},
  };
}

const machineOn = (hardware: Elsewhere, at = BDF): Machine => assemble({ ...optionsOf(at), hardware });

describe('a machine on foreign hardware', () => {
  it('boots the same drivers, and has the same rest afterwards', () => {
    const machine = machineOn(new Elsewhere(optionsOf()));
    expect(machine.boot()).toMatchObject({ end: 'finished' });
    expect(machine.embedded).toBe(null);
    expect([...machine.iommus.values()].map(({ agent }) => agent)).toEqual([null]);
    const embedded = assemble(optionsOf());
    embedded.boot();
    expect(machine.census()).toEqual(embedded.census());
  });

  it('maps memory for a device, whose DMA and interrupts come from there, and misses it after the unmap', () => {
    const hardware = new Elsewhere(optionsOf());
    const machine = machineOn(hardware);
    machine.boot();
    const { kernel, core, bus } = machine;
    const iommu = machine.iommuOf.get(BDF)!;
    const driver = machine.endpointDriver(BDF) as DmaEngineDriver;
    const outcomes: string[] = [];
    const before = machine.census();
    core.processes.spawn('owner', function* (process) {
      const file = yield* driver.open(process);
      const job = { op: 'fill', source: 0n, destination: 0x1000_0000n, bytes: 4096, pattern: 0x5a5a5a5a, prefetch: 0 };
      const fill = { ...job, op: 'fill' as const, noPasid: true };
      yield* driver.disableFeatures();
      const domain = yield* iommu.allocDomain(driver.device);
      yield* iommu.attach(driver.device, domain);
      const frame = bus.frames.alloc('buffer');
      yield* iommu.map(domain, 0x1000_0000n, frame * 4096, 4096, PERM.READ | PERM.WRITE);
      yield* driver.submit(file, fill);
      outcomes.push((yield* driver.wait(file)).status, bus.load32(frame * 4096 + 8).toString(16));
      yield* iommu.unmap(domain, 0x1000_0000n, 4096);
      yield* driver.submit(file, fill);
      outcomes.push((yield* driver.wait(file)).status);
      bus.frames.free(frame);
      yield* iommu.detach(driver.device);
      yield* iommu.freeDomain(domain);
      yield* driver.enableFeatures();
      yield* core.processes.close(process, file);
    });
    kernel.begin(new FairChooser());
    expect(kernel.run()).toMatchObject({ end: 'finished' });
    expect(outcomes).toEqual(['done', '5a5a5a5a', 'cancelled']);
    expect(machine.census()).toEqual(before);
  });

  it('refuses a device that is not there', () => {
    const hardware = new Elsewhere(optionsOf());
    expect(() => machineOn(hardware, '0000:00:09.0')).toThrow(
      'the machine elsewhere has no function at 0000:00:09.0 (ENODEV)',
    );
  });

  it('refuses devices of the platform bus', () => {
    const hardware = new Elsewhere(optionsOf());
    expect(() => assemble({ ...optionsOf('accelerator@a000000'), hardware })).toThrow('ENODEV');
  });
});
