import { dmaEngineDriver, dmaEnginePlatform } from '@iommukit/dma-engine';
import type { PlatformDevice } from '@iommukit/firmware';
import { smmuv3Driver } from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { describe, expect, it } from 'vitest';
import { PCI, platformOf, SMMU } from '../test/platform.js';
import { assemble, type EndpointDescription, type Machine, type MachineOptions } from './index.js';

const AT = 'accelerator@a000000';
const engine: EndpointDescription = {
  at: AT,
  model: 'dma-engine',
  capabilities: {},
  streams: [0x10],
  pasidBits: 16,
  stall: true,
};

/** The same device, as firmware describes it. */
const NODE: PlatformDevice = {
  kind: 'device',
  name: AT,
  path: `/${AT}`,
  compatible: ['iommukit,dma-engine'],
  base: 0xa00_0000,
  bytes: 0x20000,
  regions: [{ base: 0xa00_0000, bytes: 0x20000 }],
  interrupts: [{ name: 'done', type: 'spi', number: 9, trigger: 'edge' }],
  iommus: [{ iommu: SMMU.path, streams: [0x20, 0x21] }],
  pasidBits: 8,
  canStall: true,
  coherent: true,
  properties: {},
};

function machineWith(endpoints: readonly EndpointDescription[], given: Partial<MachineOptions> = {}): Machine {
  return assemble({
    platform: platformOf(),
    overlay: { endpoints, iommu: {} },
    iommuHardware: [smmuV3Hardware],
    iommuDrivers: [smmuv3Driver],
    endpointHardware: [],
    platformHardware: [dmaEnginePlatform],
    endpointDrivers: [dmaEngineDriver],
    settings: {},
    ...given,
  });
}

const firmware = (...nodes: PlatformDevice[]) => ({ platform: platformOf({ nodes: [SMMU, PCI, ...nodes] }) });

const factsOf = (machine: Machine, name = AT): unknown => {
  const device = machine.devices.get(name)!;
  return [device.streams, device.property('pasid-num-bits'), device.property('dma-can-stall'), device.config];
};

describe('the platform bus', () => {
  it('plugs a device in where an overlay says, and boots with it', () => {
    const machine = machineWith([engine]);
    expect(machine.boot()).toMatchObject({ end: 'finished' });
    expect(machine.kernel.atRest).toBe(true);
    expect(factsOf(machine)).toEqual([[0x10], 16, true, null]);
    expect(machine.devices.get(AT)!.mmio[0]!.base).toBe(0xa00_0000);
  });

  it('plugs a device in that firmware describes and a model exists for, without an overlay', () => {
    const machine = machineWith([], firmware({ ...NODE, iommus: [{ iommu: SMMU.path, streams: [0x20] }] }));
    expect(machine.boot().end).toBe('finished');
    expect(factsOf(machine)).toEqual([[0x20], 8, true, null]);
  });

  it('leaves a device alone that no model exists for', () => {
    const machine = machineWith([], firmware({ ...NODE, compatible: ['some,other'] }));
    expect([...machine.devices.keys()]).toEqual([]);
  });

  it('takes from firmware what the overlay does not say', () => {
    const { streams: _none, ...rest } = engine;
    const machine = machineWith([{ ...rest, pasidBits: 4 }], firmware({ ...NODE, canStall: false }));
    expect(factsOf(machine)).toEqual([[0x20, 0x21], 4, true, null]);
  });

  it.each([
    ['a device without streams', [{ ...engine, streams: [] }], {}, /accelerator@a000000 has no streams.*EINVAL/],
    ['a second device of one name', [engine, engine], {}, /accelerator@a000000 is plugged in already.*EEXIST/],
    [
      'a model that there is not',
      [{ ...engine, model: 'gpu' }],
      {},
      /'gpu' at accelerator@a000000.*ENODEV.*the models are: dma-engine/s,
    ],
    [
      'a device that nothing drives',
      [engine],
      { endpointDrivers: [] },
      /nothing here drives accelerator@a000000 \(iommukit,dma-engine\).*ENODEV/,
    ],
    [
      'streams on a machine of two IOMMUs',
      [engine],
      {
        platform: platformOf({
          nodes: [SMMU, { ...SMMU, name: 'smmuv3@9150000', path: '/smmuv3@9150000', base: 0x915_0000 }],
        }),
      },
      /the platform has 2 IOMMUs.*EINVAL/,
    ],
    [
      'an IOMMU that is none',
      [],
      firmware({ ...NODE, iommus: [{ iommu: '/nowhere', streams: [1] }] }),
      /accelerator@a000000 is behind no IOMMU.*ENODEV/,
    ],
  ])('refuses %s with a reason', (_what, endpoints, given, message) => {
    let text = '';
    try {
      machineWith(endpoints, given);
    } catch (error) {
      text = `${(error as Error).message} ${String((error as { remedy?: string }).remedy)}`;
    }
    expect(text).toMatch(message);
  });
});
