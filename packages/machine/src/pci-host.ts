import type { PciWindow, PlatformPciHost } from '@iommukit/firmware';
import { BusMmio, CoherentMemory, IommuError, ThreadedInterrupt } from '@iommukit/kernel';
import { EcamWindow, parseBdf, PcieLink } from '@iommukit/pci-ats';
import type { Machine, MachineIommu } from './machine.js';
import { MachineDevice } from './machine-device.js';
import type { EndpointDriverModule } from './modules.js';
import type { EndpointDescription } from './platform.js';

/** Offsets in the header of a function that is no bridge. */
const CONFIG = { ID: 0x00, COMMAND: 0x04, BAR0: 0x10 } as const;
/** Memory space and bus master enable. */
const COMMAND_ON = 0x6;
const CONFIG_BYTES = 4096;

/** A root complex: plugs functions in, gives them their base addresses, and finds their drivers, as firmware and PCI core do. */
export class PciHost {
  readonly machine: Machine;
  readonly node: PlatformPciHost;
  readonly ecam: EcamWindow;
  readonly window: PciWindow;
  /** Bytes of the memory window that were given out. */
  given = 0;

  constructor(machine: Machine, node: PlatformPciHost) {
    this.machine = machine;
    this.node = node;
    this.ecam = new EcamWindow(machine.bus, node.ecam.base, node.busRange[1] - node.busRange[0] + 1);
    const window =
      node.windows.find(({ space }) => space === 'mem32') ?? node.windows.find(({ space }) => space === 'mem64');
    if (window === undefined) {
      throw new IommuError('ENODEV', `${node.name} has no memory window for base addresses`, {
        remedy: 'describe one in its ranges',
      });
    }
    this.window = window;
  }

  /** True if the description is about this root complex. */
  owns({ at }: EndpointDescription): boolean {
    const bus = parseBdf(at) >>> 8;
    return (
      Number.parseInt(at.slice(0, 4), 16) === this.node.segment &&
      bus >= this.node.busRange[0] &&
      bus <= this.node.busRange[1]
    );
  }

  /** Plugs a function in: model, link, configuration space, base address, driver. */
  plug(endpoint: EndpointDescription): void {
    const { kernel, bus, options } = this.machine;
    const name = endpoint.at;
    const hardware = options.endpointHardware.find(({ model }) => model === endpoint.model);
    if (hardware === undefined) {
      const known = options.endpointHardware.map(({ model }) => model).join(', ');
      throw new IommuError('ENODEV', `nothing here models '${endpoint.model}' at ${name}`, {
        remedy: `the models are: ${known}`,
      });
    }
    const rid = parseBdf(name);
    const behind = this.streamOf(rid);
    const irq = new ThreadedInterrupt(kernel, name);
    const lines = new Map([['intx', irq]]);
    const link = new PcieLink(kernel, { name, stream: behind?.stream ?? rid, irq });
    const model = hardware.create(this.machine.place(name, 0, 0, endpoint.capabilities, lines), link, options.settings);
    link.join(model, behind?.iommu.agent ?? null);
    this.ecam.add(rid - this.node.busRange[0] * 256, model.config);
    const device = new MachineDevice({
      name,
      kernel,
      streams: behind === null ? [] : [behind.stream],
      dma: new CoherentMemory(kernel, bus),
      mmio: [new BusMmio(kernel, bus, this.enable(rid), this.window.bytes, name)],
      config: new BusMmio(kernel, bus, this.configOf(rid), CONFIG_BYTES, `${name} config`),
      lines,
      properties: { 'ats-supported': options.overlay.atsSupported ?? this.node.atsSupported },
    });
    this.attach(device, rid, behind?.iommu ?? null);
  }

  configOf(rid: number): number {
    return this.node.ecam.base + (rid - this.node.busRange[0] * 256) * CONFIG_BYTES;
  }

  /** Sizes and places the first base address register, and lets the function answer and master the bus. */
  enable(rid: number): number {
    const { bus } = this.machine;
    const config = this.configOf(rid);
    bus.store32(config + CONFIG.BAR0, 0xffffffff);
    const bytes = (~(bus.load32(config + CONFIG.BAR0) & ~15) + 1) >>> 0;
    const offset = Math.ceil(this.given / bytes) * bytes;
    if (offset + bytes > this.window.bytes) {
      throw new IommuError('ENOSPC', `${this.node.name}: the memory window is full`, {
        remedy: 'describe a larger one in its ranges',
      });
    }
    this.given = offset + bytes;
    const base = this.window.cpu + offset;
    bus.store32(config + CONFIG.BAR0 + 4, Math.floor(base / 2 ** 32));
    bus.store32(config + CONFIG.BAR0, base % 2 ** 32);
    bus.store32(config + CONFIG.COMMAND, COMMAND_ON);
    return base;
  }

  /** The IOMMU and the StreamID of a requester id, by the root complex's iommu-map; null where DMA is not translated. */
  streamOf(rid: number): { iommu: MachineIommu; stream: number } | null {
    const id = rid & this.node.iommuMapMask;
    const entry = this.node.iommuMap.find(({ ridBase, length }) => id >= ridBase && id < ridBase + length);
    const iommu = entry === undefined ? undefined : this.machine.iommus.get(entry.iommu);
    return entry === undefined || iommu === undefined ? null : { iommu, stream: entry.streamBase + id - entry.ridBase };
  }

  attach(device: MachineDevice, rid: number, iommu: MachineIommu | null): void {
    const { machine } = this;
    if (iommu === null) {
      throw new IommuError('ENODEV', `${device.name} is behind no IOMMU`, {
        remedy: `give ${this.node.name} an iommu-map that covers it`,
      });
    }
    machine.devices.set(device.name, device);
    machine.iommuOf.set(device.name, iommu.driver);
    const driver = this.driverOf(rid, device.name);
    machine.drivers.set(device.name, driver.create(device, iommu.driver, machine.core));
  }

  driverOf(rid: number, name: string): EndpointDriverModule {
    const id = this.machine.bus.load32(this.configOf(rid) + CONFIG.ID);
    const ids = `${(id & 0xffff).toString(16).padStart(4, '0')}:${(id >>> 16).toString(16).padStart(4, '0')}`;
    const module = this.machine.options.endpointDrivers.find(({ matches }) => matches.includes(ids));
    if (module !== undefined) return module;
    throw new IommuError('ENODEV', `nothing here drives ${name} (${ids})`, { remedy: 'give the machine its driver' });
  }
}
