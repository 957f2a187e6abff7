import type { Core, Device, IommuDriver } from '@iommukit/core';
import type { PlatformIommu, PlatformPciHost } from '@iommukit/firmware';
import {
  assert,
  BusMmio,
  CoherentMemory,
  type Coroutine,
  DEFAULT_LIMITS,
  FairChooser,
  type HardwarePlace,
  type InterruptLine,
  IommuError,
  type Kernel,
  type MachineBus,
  type Outcome,
  type PhysicalBus,
  type Setting,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import type { TranslationAgent } from '@iommukit/pci-ats';
import type { MachineOptions } from './assemble.js';
import type { ForeignHardware } from './foreign-hardware.js';
import { lineNamed } from './interrupt-lines.js';
import { MachineDevice } from './machine-device.js';
import type { EndpointDriver } from './modules.js';
import { PciHost } from './pci-host.js';
import { type EndpointDescription, iommusOf, isOnPlatformBus, pciHostsOf } from './platform.js';
import { PlatformBus } from './platform-bus.js';

/** An IOMMU of a machine: the model, and its driver. */
export interface MachineIommu {
  readonly node: PlatformIommu;
  /** The model; null for foreign hardware. */
  readonly agent: TranslationAgent | null;
  readonly driver: IommuDriver;
}

/** A whole machine: several live in one process. Made by `assemble`. */
export class Machine {
  readonly kernel: Kernel;
  readonly bus: MachineBus;
  /** Where models are plugged in; null for foreign hardware. */
  readonly embedded: PhysicalBus | null;
  readonly core: Core;
  readonly options: MachineOptions;
  /** IOMMUs by node path. */
  readonly iommus = new Map<string, MachineIommu>();
  /** Devices by name (`0000:00:03.0`, `accelerator@a000000`). */
  readonly devices = new Map<string, Device>();
  /** The IOMMU that each device is behind. */
  readonly iommuOf = new Map<string, IommuDriver>();
  /** Their drivers. */
  readonly drivers = new Map<string, EndpointDriver>();
  /** Interrupt lines by device, then by name. */
  readonly lines = new Map<string, ReadonlyMap<string, InterruptLine>>();
  booted = false;

  /** Use `assemble`, which also plugs everything in. */
  constructor(kernel: Kernel, bus: MachineBus, core: Core, options: MachineOptions, embedded: PhysicalBus | null) {
    this.kernel = kernel;
    this.bus = bus;
    this.core = core;
    this.options = options;
    this.embedded = embedded;
  }

  // ── plugging in ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Plugs every IOMMU and every endpoint in, and finds their drivers. Called once, by `assemble`. */
  plug(): void {
    this.checkNames();
    for (const node of iommusOf(this.options.platform)) this.plugIommu(node);
    this.plugEndpoints(pciHostsOf(this.options.platform));
  }

  /** @throws IommuError ENODEV for capabilities of an IOMMU that is not there */
  checkNames(): void {
    const known = iommusOf(this.options.platform).map(({ name }) => name);
    const stranger = Object.keys(this.options.overlay.iommus ?? {}).find((name) => !known.includes(name));
    if (stranger === undefined) return;
    throw new IommuError('ENODEV', `no IOMMU of the platform is called ${stranger}`, {
      remedy: `the platform has: ${known.join(', ') || 'none'}`,
    });
  }

  plugIommu(node: PlatformIommu): void {
    const { kernel, bus } = this;
    const driver = this.matching(this.options.iommuDrivers, node, 'drives');
    const lines = this.linesOf(node);
    const agent = this.embedded === null ? null : this.modelOf(node, lines);
    const device = new MachineDevice({
      name: node.name,
      kernel,
      streams: [],
      dma: new CoherentMemory(kernel, bus),
      mmio: [new BusMmio(kernel, bus, node.base, node.bytes, node.name)],
      config: null,
      lines,
      properties: {
        'dma-coherent': node.coherent,
        'coherent-walks': this.options.hardware?.coherentWalks === true,
      },
    });
    this.iommus.set(node.path, { node, agent, driver: driver.create(device, this.core, driver.parts) });
    this.lines.set(node.name, lines);
  }

  modelOf(node: PlatformIommu, lines: ReadonlyMap<string, InterruptLine>): TranslationAgent {
    const hardware = this.matching(this.options.iommuHardware, node, 'models');
    const place = this.place(node.name, node.base, node.bytes, this.capabilitiesOf(node), lines);
    return hardware.create(place, this.options.settings, hardware.parts);
  }

  /** Foreign hardware: its interrupts find their lines, and it is asked when nothing is runnable. */
  connect(hardware: ForeignHardware): void {
    hardware.connect((device, name) => this.lines.get(device)?.get(name) ?? null);
    this.kernel.attach(hardware);
  }

  capabilitiesOf({ name }: PlatformIommu): Readonly<Record<string, Setting>> {
    const { iommu, iommus } = this.options.overlay;
    return { ...iommu, ...iommus?.[name] };
  }

  /** The module for a node. @throws IommuError ENODEV when there is none */
  matching<M extends { readonly matches: readonly string[] }>(
    modules: readonly M[],
    node: PlatformIommu,
    verb: string,
  ): M {
    const found = modules.find(({ matches }) => matches.some((id) => node.compatible.includes(id)));
    if (found !== undefined) return found;
    throw new IommuError('ENODEV', `nothing here ${verb} ${node.name} (${node.compatible.join(', ')})`, {
      remedy: 'choose another backend or platform',
    });
  }

  plugEndpoints(nodes: readonly PlatformPciHost[]): void {
    const hosts = nodes.map((node) => new PciHost(this, node));
    const platformBus = new PlatformBus(this);
    for (const endpoint of this.options.overlay.endpoints) {
      if (isOnPlatformBus(endpoint)) platformBus.plug(endpoint);
      else this.hostOf(hosts, endpoint).plug(endpoint);
    }
    platformBus.plugFirmwareDevices();
  }

  hostOf(hosts: readonly PciHost[], endpoint: EndpointDescription): PciHost {
    const host = hosts.find((candidate) => candidate.owns(endpoint));
    if (host !== undefined) return host;
    const known = hosts.map(
      ({ node }) => `${node.name} (segment ${node.segment}, buses ${node.busRange.join(' to ')})`,
    );
    throw new IommuError('ENODEV', `no root complex of the platform reaches ${endpoint.at}`, {
      remedy: `the platform has: ${known.join(', ') || 'none'}`,
    });
  }

  linesOf({ name, interrupts }: PlatformIommu): ReadonlyMap<string, InterruptLine> {
    return new Map(interrupts.map((line) => [line.name, new ThreadedInterrupt(this.kernel, `${name}-${line.name}`)]));
  }

  /** Where a model is put. */
  place(
    name: string,
    base: number,
    bytes: number,
    capabilities: Readonly<Record<string, Setting>>,
    lines: ReadonlyMap<string, InterruptLine>,
  ): HardwarePlace {
    const irq = (line: string): InterruptLine => lineNamed(lines, name, line);
    assert(this.embedded !== null, 'nothing is modelled on foreign hardware');
    return { kernel: this.kernel, bus: this.embedded, name, base, bytes, capabilities, irq };
  }

  /** Gives a device its driver. @throws IommuError ENODEV when nothing drives `id` */
  attach(device: MachineDevice, id: string, iommu: MachineIommu): void {
    const module = this.options.endpointDrivers.find(({ matches }) => matches.includes(id));
    if (module === undefined) {
      throw new IommuError('ENODEV', `nothing here drives ${device.name} (${id})`, {
        remedy: 'give the machine its driver',
      });
    }
    this.devices.set(device.name, device);
    this.lines.set(device.name, device.lines);
    this.iommuOf.set(device.name, iommu.driver);
    this.drivers.set(device.name, module.create(device, iommu.driver, this.core, module.parts));
  }

  // ── use ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The driver of a device. @throws IommuError ENODEV when there is none of this name */
  endpointDriver(name: string): EndpointDriver {
    const driver = this.drivers.get(name);
    if (driver !== undefined) return driver;
    const known = [...this.drivers.keys()].join(', ') || 'none';
    throw new IommuError('ENODEV', `no device is called ${name}`, { remedy: `the platform has: ${known}` });
  }

  /**
   * Boots: every IOMMU is reset, every device probed. The machine is at rest afterwards.
   * @throws IommuError with the reason when a driver cannot work with what it finds, EBUSY for a second boot
   */
  boot(): Outcome {
    if (this.booted)
      throw new IommuError('EBUSY', 'the machine has booted', {
        remedy: 'assemble another one, or restore a checkpoint',
      });
    this.booted = true;
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
      ['grace-period callbacks', this.kernel.rcu.pending()],
      ...this.kernel.slabs.counts(),
      ...this.core.census(),
    ];
  }

  /** Who holds what is in use, and who allocated it: what a run adds to this, it leaks. */
  holdings(): readonly string[] {
    const frames = this.bus.frames
      .holders()
      .map(([owner, count]) => `${owner}: ${count} frame${count === 1 ? '' : 's'}`);
    return [...this.kernel.slabs.stories(), ...frames];
  }
}
