import { X86Format } from '@iommukit/core';
import { dmaEngine, dmaEngineDriver } from '@iommukit/dma-engine';
import type { PlatformNode } from '@iommukit/firmware';
import { isIommuError } from '@iommukit/kernel';
import { smmuv3Driver } from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { describe, expect, it } from 'vitest';
import { Gadget, GadgetDriver, gadget, gadgetDriver } from '../test/gadget.js';
import { BLOCK, PCI, platformOf, SMMU } from '../test/platform.js';
import { assemble, type EndpointDescription, type Machine, type MachineOptions } from './index.js';

const ECAM = 0x40_1000_0000;
const small = gadget(0x10000);

function optionsOf(given: Partial<MachineOptions> = {}): MachineOptions {
  return {
    platform: platformOf(),
    overlay: { endpoints: [], iommu: {} },
    iommuHardware: [smmuV3Hardware],
    iommuDrivers: [smmuv3Driver],
    endpointHardware: [dmaEngine, small],
    endpointDrivers: [dmaEngineDriver, gadgetDriver],
    settings: {},
    ...given,
  };
}

const plugged = (at: string, model = small.model, capabilities = {}): EndpointDescription => ({
  at,
  model,
  capabilities,
});

function machineWith(endpoints: readonly EndpointDescription[], given: Partial<MachineOptions> = {}): Machine {
  return assemble(optionsOf({ overlay: { endpoints, iommu: {} }, ...given }));
}

function machineOf(nodes: readonly PlatformNode[], endpoints = [plugged('0000:00:03.0')]): Machine {
  return machineWith(endpoints, { platform: platformOf({ nodes }) });
}

function bootOf(machine: Machine): Machine {
  machine.boot();
  return machine;
}

describe('a machine', () => {
  it('boots with everything that is plugged in, and is at rest afterwards', () => {
    const machine = machineWith([plugged('0000:00:03.0', 'dma-engine'), plugged('0000:01:1f.7')]);
    expect(machine.boot()).toMatchObject({ end: 'finished' });
    expect(machine.kernel.atRest).toBe(true);
    expect([...machine.devices.values()].map(({ name, streams }) => [name, streams])).toEqual([
      ['0000:00:03.0', [0x118]],
      ['0000:01:1f.7', [0x1ff + 0x100]],
    ]);
    expect((machine.endpointDriver('0000:01:1f.7') as GadgetDriver).seen).toBe(0xb0);
  });

  it('boots without any device', () => {
    expect(machineWith([]).boot().end).toBe('finished');
    expect(machineOf([], []).boot().end).toBe('finished');
  });

  it('writes page tables as the driver of its IOMMU says', () => {
    const x86 = new X86Format(4);
    const driver = { ...smmuv3Driver, format: () => x86 };
    expect(assemble(optionsOf({ iommuDrivers: [driver] })).core.format).toBe(x86);
    expect(assemble(optionsOf({ iommuDrivers: [driver], platform: platformOf({ nodes: [] }) })).core.format).not.toBe(
      x86,
    );
  });

  it('boots once', () => {
    const machine = machineWith([]);
    machine.boot();
    expect(() => machine.boot()).toThrow(/the machine has booted \(EBUSY\)/);
  });

  it('counts the same after its boot as after a run in which nothing happens', () => {
    const machine = machineWith([plugged('0000:00:03.0', 'dma-engine')]);
    machine.boot();
    const [census, holdings] = [machine.census(), machine.holdings()];
    machine.kernel.spawn('nobody', function* () {});
    machine.kernel.begin(machine.kernel.chooser);
    expect(machine.kernel.run().end).toBe('finished');
    expect(machine.census()).toEqual(census);
    expect(machine.holdings()).toEqual(holdings);
    expect(new Map(census).get('frames')).toBe(machine.bus.frames.inUse());
  });

  it('tells who holds what', () => {
    const machine = machineWith([]);
    machine.boot();
    const before = new Set(machine.holdings());
    machine.core.mms.create();
    const more = machine.holdings().filter((story) => !before.has(story));
    expect(more).toEqual([expect.stringMatching(/^mm 1 was allocated by /), 'mm:1 page table: 1 frame']);
  });

  it('is one of several: they share nothing', () => {
    const [one, two] = [machineWith([plugged('0000:00:03.0')]), machineWith([])];
    one.boot();
    expect(one.kernel).not.toBe(two.kernel);
    expect(two.kernel.steps).toBe(0);
    expect(two.boot().end).toBe('finished');
  });

  it('is made of the parts of its modules, so that each can be replaced', () => {
    const made: string[] = [];
    class MyGadget extends Gadget {
      override get config() {
        made.push('hardware');
        return super.config;
      }
    }
    class MyDriver extends GadgetDriver {
      override *probe() {
        made.push('driver');
      }
    }
    class MySva extends smmuv3Driver.parts.Sva {
      override checkEnabled() {
        made.push('sva');
      }
    }
    class MyIotlb extends smmuV3Hardware.parts.Iotlb {
      override dropWorld(world: number) {
        made.push('iotlb');
        super.dropWorld(world);
      }
    }
    const machine = machineWith([plugged('0000:00:03.0')], {
      endpointHardware: [{ ...small, parts: { Gadget: MyGadget } }],
      endpointDrivers: [{ ...gadgetDriver, parts: { GadgetDriver: MyDriver } }],
      iommuDrivers: [{ ...smmuv3Driver, parts: { ...smmuv3Driver.parts, Sva: MySva } }],
      iommuHardware: [{ ...smmuV3Hardware, parts: { ...smmuV3Hardware.parts, Iotlb: MyIotlb } }],
    });
    machine.boot();
    expect(new Set(made)).toEqual(new Set(['hardware', 'driver', 'iotlb']));
    const device = machine.devices.get('0000:00:03.0')!;
    machine.kernel.spawn('bind', function* () {
      const mm = machine.core.mms.create();
      try {
        yield* machine.iommuOf.get(device.name)!.bind(device, mm);
      } catch (error) {
        if (!isIommuError(error)) throw error;
      }
    });
    machine.kernel.begin(machine.kernel.chooser);
    expect(() => machine.kernel.run()).toThrow();
    expect(made).toContain('sva');
  });
});

describe('what is plugged into a root complex', () => {
  const word = (machine: Machine, bdf: number, offset: number): number =>
    machine.bus.load32(ECAM + bdf * 4096 + offset);

  it('shows up in configuration space; other places read all ones', () => {
    const machine = machineWith([plugged('0000:01:02.3')]);
    expect(word(machine, 0x113, 0)).toBe(0x9ad91d55);
    expect(word(machine, 0x112, 0)).toBe(0xffffffff);
  });

  it('answers where its base addresses point, aligned to their size, and masters no bus yet', () => {
    const two = gadget(0x4000, 0x20000);
    const machine = machineWith([plugged('0000:00:01.0', two.model), plugged('0000:00:02.0', two.model)], {
      endpointHardware: [two],
    });
    const bases = (bdf: number): number[] => [0x10, 0x14, 0x18, 0x1c].map((offset) => word(machine, bdf, offset));
    expect(bases(0x08)).toEqual([0x1000_0004, 0, 0x1002_0004, 0]);
    // 0x1004_0000 is behind the window: the large one goes to the window above 4 GiB.
    expect(bases(0x10)).toEqual([0x4, 0x80, 0x2_0004, 0x80]);
    expect(machine.bus.load32(0x1002_0000)).toBe(0xb1);
    expect(machine.bus.load32(0x80_0000_0000)).toBe(0xb0);
    expect(word(machine, 0x08, 0x04) & 0xffff).toBe(0x2);
    expect(machine.devices.get('0000:00:02.0')!.mmio.map(({ base }) => base)).toEqual([0x80_0000_0000, 0x80_0002_0000]);
  });

  it('needs no memory window when it has no registers', () => {
    const bare = gadget();
    const machine = machineWith([plugged('0000:00:01.0', bare.model)], {
      endpointHardware: [bare],
      platform: platformOf({ nodes: [SMMU, { ...PCI, windows: [] }] }),
    });
    expect(machine.boot().end).toBe('finished');
    expect(machine.devices.get('0000:00:01.0')!.mmio).toEqual([]);
  });

  it('is told of ATS by firmware, or by the overlay', () => {
    const ats = (given: Partial<MachineOptions>): unknown =>
      machineWith([plugged('0000:00:03.0')], given)
        .devices.get('0000:00:03.0')!
        .property('ats-supported');
    const overlay = { endpoints: [plugged('0000:00:03.0')], iommu: {} };
    expect(ats({})).toBe(true);
    expect(ats({ overlay: { ...overlay, atsSupported: false } })).toBe(false);
    const platform = platformOf({ nodes: [SMMU, { ...PCI, atsSupported: false }] });
    expect(ats({ platform })).toBe(false);
    expect(ats({ platform, overlay: { ...overlay, atsSupported: true } })).toBe(true);
  });

  it('has the stream that the iommu-map gives it, after the mask', () => {
    const iommuMap = [
      { ridBase: 0, iommu: SMMU.path, streamBase: 0x40, length: 8 },
      { ridBase: 8, iommu: SMMU.path, streamBase: 0x1000, length: 8 },
    ];
    const machine = machineOf([SMMU, { ...PCI, iommuMap, iommuMapMask: 0x000f }], [plugged('0000:01:1f.2')]);
    expect(machine.devices.get('0000:01:1f.2')!.streams).toEqual([0x1002]);
  });

  it('may be on a root complex of another segment', () => {
    const second = { ...PCI, path: '/pcie@2', segment: 1, ecam: { base: 0x50_0000_0000, bytes: 2 * 2 ** 20 } };
    const machine = machineOf([SMMU, PCI, { ...second, windows: [PCI.windows[2]!] }], [plugged('0001:00:03.0')]);
    expect(machine.bus.load32(0x50_0000_0000 + 0x18 * 4096)).toBe(0x9ad91d55);
    expect(word(machine, 0x18, 0)).toBe(0xffffffff);
  });
});

describe('a machine that cannot be', () => {
  const here = [plugged('0000:00:03.0')];
  const without =
    (changes: Partial<typeof PCI>): (() => Machine) =>
    () =>
      machineOf([SMMU, { ...PCI, ...changes }]);

  it.each<[string, () => Machine, RegExp]>([
    ['two devices at one address', () => machineWith([...here, ...here]), /a function at 00:03\.0 already \(EEXIST\)/],
    [
      'an unknown model',
      () => machineWith([plugged('0000:00:03.0', 'gizmo')]),
      /nothing here models 'gizmo' at 0000:00:03\.0 \(ENODEV\): the models are: dma-engine, gadget-65536/,
    ],
    ['no models', () => machineWith(here, { endpointHardware: [] }), /the models are: none/],
    ['no driver', () => machineWith(here, { endpointDrivers: [] }), /nothing here drives 0000:00:03\.0 \(1d55:9ad9\)/],
    ['an address that is none', () => machineWith([plugged('3.0')]), /'3\.0' is no PCI function \(EINVAL\)/],
    [
      'a bus that is not there',
      () => machineWith([plugged('0000:02:03.0')]),
      /no root complex .* reaches 0000:02:03\.0 .*: the platform has: pcie@10000000 \(segment 0, buses 0 to 1\)/,
    ],
    ['no root complex', () => machineOf([SMMU]), /reaches 0000:00:03\.0 .*: the platform has: none/],
    [
      'an unknown capability of a device',
      () => machineWith([plugged('0000:00:03.0', 'dma-engine', { wings: 2 })]),
      /0000:00:03\.0 has no capability wings=2 \(EINVAL\): there are: .*ats/,
    ],
    [
      'capabilities of an IOMMU that is not there',
      () => assemble(optionsOf({ overlay: { endpoints: [], iommu: {}, iommus: { nobody: {} } } })),
      /no IOMMU of the platform is called nobody .*: the platform has: smmuv3@9050000/,
    ],
    [
      'an unknown capability of one IOMMU',
      () => assemble(optionsOf({ overlay: { endpoints: [], iommu: {}, iommus: { 'smmuv3@9050000': { wings: 2 } } } })),
      /wings.*\(EINVAL\)/,
    ],
    [
      'an unknown capability of an IOMMU',
      () => assemble(optionsOf({ overlay: { endpoints: [], iommu: { wings: 2 } } })),
      /wings.*\(EINVAL\)/,
    ],
    ['a device behind no IOMMU', without({ iommuMap: [] }), /0000:00:03\.0 is behind no IOMMU \(ENODEV\)/],
    [
      'an iommu-map to nowhere',
      without({ iommuMap: [{ ridBase: 0, iommu: '/gone', streamBase: 0, length: 256 }] }),
      /is behind no IOMMU \(ENODEV\): give pcie@10000000 an iommu-map/,
    ],
    ['no memory window', without({ windows: [] }), /pcie@10000000 has no memory window .*\(ENODEV\)/],
    [
      'a window that devices see elsewhere',
      without({ windows: [{ ...PCI.windows[1]!, pci: 0 }] }),
      /no memory window that devices see where CPUs see it/,
    ],
    [
      'windows that are too small',
      without({ windows: [{ ...PCI.windows[1]!, bytes: 0x8000 }] }),
      /pcie@10000000: no memory window has room for 0x10000 bytes more \(ENOSPC\)/,
    ],
    [
      'a configuration space on top of another window',
      without({ ecam: { base: 0x904_0000, bytes: 2 ** 21 } }),
      /overlaps the window at 0x9050000 \(0x20000 bytes\)|overlaps .*\(EBUSY\)/,
    ],
    [
      'registers on top of RAM',
      () => machineOf([{ ...SMMU, base: 0x4000_0000 }], []),
      /the window at 0x40000000 .* overlaps RAM \(EBUSY\)/,
    ],
    [
      'an IOMMU without interrupts',
      () => bootOf(machineOf([{ ...SMMU, interrupts: [] }], [])),
      /smmuv3@9050000 has no interrupt '[a-z-]+' \(ENOENT\): .*\(it has: none\)/,
    ],
    [
      'an IOMMU that nobody models',
      () => machineWith([], { iommuHardware: [] }),
      /nothing here models smmuv3@9050000 \(arm,smmu-v3\) \(ENODEV\)/,
    ],
    [
      'an IOMMU that nobody drives',
      () => machineWith([], { iommuDrivers: [] }),
      /nothing here drives smmuv3@9050000 \(arm,smmu-v3\) \(ENODEV\)/,
    ],
    [
      'no RAM',
      () => machineWith([], { platform: platformOf({ memory: [{ base: 0, bytes: BLOCK - 1 }] }) }),
      /no usable RAM/,
    ],
  ])('is refused: %s', (_what, make, message) => {
    let caught: unknown = null;
    try {
      make();
    } catch (error) {
      caught = error;
    }
    expect(isIommuError(caught), String(caught)).toBe(true);
    expect(String(caught)).toMatch(message);
  });

  it('names the devices that there are when asked for another', () => {
    const machine = machineWith(here);
    expect(() => machine.endpointDriver('0000:00:04.0')).toThrow(
      /no device is called 0000:00:04\.0 \(ENODEV\): the platform has: 0000:00:03\.0/,
    );
  });

  it('names the interrupts that there are when asked for another', () => {
    const device = machineWith(here).devices.get('0000:00:03.0')!;
    expect(() => device.irq('msi')).toThrow(/0000:00:03\.0 has no interrupt 'msi' \(ENOENT\): .*\(it has: intx\)/);
    expect(device.property('unheard-of')).toBeNull();
  });
});
