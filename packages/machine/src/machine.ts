import type { Core, Device, IommuDriver } from '@iommukit/core';
import type { PlatformIommu, PlatformPciHost } from '@iommukit/firmware';
import {
  BusMmio,
  CoherentMemory,
  type Coroutine,
  DEFAULT_LIMITS,
  FairChooser,
  type HardwarePlace,
  IommuError,
  type InterruptLine,
  type Kernel,
  type Outcome,
  type PhysicalBus,
  type Setting,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import type { TranslationAgent } from '@iommukit/pci-ats';
import type { MachineOptions } from './assemble.js';
import { MachineDevice } from './machine-device.js';
import type { EndpointDriver } from './modules.js';
import { PciHost } from './pci-host.js';
import { iommusOf, pciHostsOf } from './platform.js';

/** An IOMMU of a machine: the model, and its driver. */
export interface MachineIommu {
  readonly node: PlatformIommu;
  readonly agent: TranslationAgent;
  readonly driver: IommuDriver;
}

/** A whole machine: several live in one process. Made by `assemble`. */
export class Machine {
  readonly kernel: Kernel;
  readonly bus: PhysicalBus;
  readonly core: Core;
  readonly options: MachineOptions;
  /** IOMMUs by node path. */
  readonly iommus = new Map<string, MachineIommu>();
  /** Devices by name (`0000:00:03.0`). */
  readonly devices = new Map<string, Device>();
  /** The IOMMU that each device is behind. */
  readonly iommuOf = new Map<string, IommuDriver>();
  readonly drivers = new Map<string, EndpointDriver>();

  constructor(kernel: Kernel, bus: PhysicalBus, core: Core, options: MachineOptions) {
    this.kernel = kernel;
    this.bus = bus;
    this.core = core;
    this.options = options;
  }

  /** Plugs every IOMMU and every endpoint in, and finds their drivers. Called once, by `assemble`. */
  plug(): void {
    for (const node of iommusOf(this.options.platform)) this.plugIommu(node);
    this.plugHosts(pciHostsOf(this.options.platform));
  }

  plugIommu(node: PlatformIommu): void {
    const hardware = this.options.iommuHardware.find((module) =>
      module.matches.some((id) => node.compatible.includes(id)),
    );
    const driver = this.options.iommuDrivers.find((module) =>
      module.matches.some((id) => node.compatible.includes(id)),
    );
    if (hardware === undefined || driver === undefined) {
      throw new IommuError(
        'ENODEV',
        `nothing here ${hardware === undefined ? 'models' : 'drives'} ${node.name} (${node.compatible.join(', ')})`,
        {
          remedy: 'choose another backend or platform',
        },
      );
    }
    const lines = this.linesOf(
      node.name,
      node.interrupts.map((interrupt) => interrupt.name),
    );
    const place = this.place(node.name, node.base, node.bytes, this.options.overlay.iommu, lines);
    const agent = hardware.create(place);
    const device = new MachineDevice({
      name: node.name,
      kernel: this.kernel,
      streams: [],
      dma: new CoherentMemory(this.kernel, this.bus),
      mmio: [new BusMmio(this.kernel, this.bus, node.base, node.bytes, node.name)],
      config: null,
      lines,
      properties: { 'dma-coherent': node.coherent },
    });
    this.iommus.set(node.path, { node, agent, driver: driver.create(device, this.core) });
  }

  plugHosts(nodes: readonly PlatformPciHost[]): void {
    const hosts = nodes.map((node) => new PciHost(this, node));
    for (const endpoint of this.options.overlay.endpoints) {
      const host = hosts.find((candidate) => candidate.owns(endpoint));
      if (host === undefined) {
        throw new IommuError('ENODEV', `no root complex of the platform reaches ${endpoint.at}`, {
          remedy: 'plug it into a bus that the platform describes',
        });
      }
      host.plug(endpoint);
    }
  }

  linesOf(owner: string, names: readonly string[]): ReadonlyMap<string, InterruptLine> {
    return new Map(names.map((name) => [name, new ThreadedInterrupt(this.kernel, `${owner}-${name}`)]));
  }

  place(
    name: string,
    base: number,
    bytes: number,
    capabilities: Readonly<Record<string, Setting>>,
    lines: ReadonlyMap<string, InterruptLine>,
  ): HardwarePlace {
    const irq = (line: string): InterruptLine => {
      const found = lines.get(line);
      if (found !== undefined) return found;
      throw new IommuError('ENOENT', `${name} has no interrupt '${line}'`, {
        remedy: 'name it in the platform description',
      });
    };
    return { kernel: this.kernel, bus: this.bus, name, base, bytes, capabilities, irq };
  }

  /** The driver of a device. @throws IommuError ENODEV when there is none of this name */
  endpointDriver(name: string): EndpointDriver {
    const driver = this.drivers.get(name);
    if (driver !== undefined) return driver;
    const known = [...this.drivers.keys()].join(', ') || 'none';
    throw new IommuError('ENODEV', `no device is called ${name}`, { remedy: `the platform has: ${known}` });
  }

  /** Boots: every IOMMU is reset, every device probed. The machine is at rest afterwards. */
  boot(): Outcome {
    this.kernel.injection.failAt = 0;
    this.kernel.spawn('boot', () => this.bootAll());
    this.kernel.begin(new FairChooser(), DEFAULT_LIMITS);
    return this.kernel.run();
  }

  *bootAll(): Coroutine<void> {
    for (const { driver } of this.iommus.values()) yield* driver.start();
    for (const [name, device] of this.devices) yield* this.iommuOf.get(name)!.probeDevice(device);
    for (const driver of this.drivers.values()) yield* driver.probe();
  }

  /** Everything that must be back at its count after boot when a run ends: frames, kernel objects, ids, references. */
  census(): readonly (readonly [what: string, count: number])[] {
    return [
      ['frames', this.bus.frames.inUse()],
      ['grace-period callbacks', this.kernel.rcu.pending()],
      ...this.kernel.slabs.counts(),
      ...this.core.census(),
    ];
  }
}
