import type { PlatformPciHost } from '@iommukit/firmware';
import {
  BusMmio,
  CoherentMemory,
  type InterruptLine,
  IommuError,
  type Mmio,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import { EcamWindow, PcieLink, parseBdf } from '@iommukit/pci-ats';
import { BaseAddresses } from './base-addresses.js';
import type { Machine, MachineIommu } from './machine.js';
import { MachineDevice } from './machine-device.js';
import type { EndpointHardwareModule } from './modules.js';
import type { EndpointDescription } from './platform.js';

const ID = 0x00;
/** What reads where nothing is. */
const NOBODY = 0xffffffff;
const CONFIG_BYTES = 4096;
const BUS_FUNCTIONS = 256;

/** The IOMMU that a function is behind, and the stream that it is there. */
interface Upstream {
  readonly iommu: MachineIommu;
  readonly stream: number;
}

/** A root complex: plugs functions in, gives them their base addresses, and finds their drivers, as firmware and PCI core do. */
export class PciHost {
  readonly machine: Machine;
  readonly node: PlatformPciHost;
  /** Configuration space of models; null on foreign hardware, which has its own. */
  readonly ecam: EcamWindow | null;
  readonly addresses: BaseAddresses;

  /** @throws IommuError EBUSY if the configuration space overlaps something else */
  constructor(machine: Machine, node: PlatformPciHost) {
    this.machine = machine;
    this.node = node;
    const [first, last] = node.busRange;
    this.ecam = machine.embedded && new EcamWindow(machine.embedded, node.ecam.base, last - first + 1);
    this.addresses = new BaseAddresses(machine.bus, node);
  }

  /** True if the description is about this root complex. @throws IommuError EINVAL when it names no PCI function */
  owns({ at }: EndpointDescription): boolean {
    const bus = parseBdf(at) >>> 8;
    const segment = at.split(':').length === 3 ? Number.parseInt(at, 16) : 0;
    return segment === this.node.segment && bus >= this.node.busRange[0] && bus <= this.node.busRange[1];
  }

  /**
   * Plugs a function in: model, link, configuration space, base addresses, driver.
   * @throws IommuError ENODEV (no such model, no IOMMU, no driver), EEXIST (the place is taken), ENOSPC (no room for its
   * registers), and what the model says to its capabilities
   */
  plug(endpoint: EndpointDescription): void {
    const { kernel, bus, options } = this.machine;
    const name = endpoint.at;
    const rid = parseBdf(name);
    const upstream = this.upstreamOf(rid, name);
    const irq = new ThreadedInterrupt(kernel, name);
    if (this.ecam === null) this.checkPresent(rid, name);
    else this.model(endpoint, upstream, irq, this.ecam);
    const lines: ReadonlyMap<string, InterruptLine> = new Map([['intx', irq]]);
    const device = new MachineDevice({
      name,
      kernel,
      streams: [upstream.stream],
      dma: new CoherentMemory(kernel, bus),
      mmio: this.windowsOf(rid, name),
      config: new BusMmio(kernel, bus, this.configOf(rid), CONFIG_BYTES, `${name} config`),
      lines,
      properties: {
        'ats-supported': options.overlay.atsSupported ?? this.node.atsSupported,
        untrusted: endpoint.untrusted === true,
      },
    });
    this.machine.attach(device, this.idOf(rid), upstream.iommu);
  }

  /** Makes the model of a function, and connects it. */
  model(endpoint: EndpointDescription, { iommu, stream }: Upstream, irq: InterruptLine, ecam: EcamWindow): void {
    const { machine } = this;
    const name = endpoint.at;
    const hardware = this.modelOf(endpoint);
    const link = new PcieLink(machine.kernel, { name, stream, irq });
    const place = machine.place(name, 0, 0, endpoint.capabilities, new Map([['intx', irq]]));
    const model = hardware.create(place, link, machine.options.settings, hardware.parts);
    link.join(model, iommu.agent!);
    ecam.add(parseBdf(name) - this.node.busRange[0] * BUS_FUNCTIONS, model.config);
  }

  /** Foreign hardware has its functions already. */
  checkPresent(rid: number, name: string): void {
    if (this.machine.bus.load32(this.configOf(rid) + ID) !== NOBODY) return;
    throw new IommuError('ENODEV', `${this.machine.options.hardware!.name} has no function at ${name}`, {
      remedy: 'name a place where it has one',
    });
  }

  modelOf({ at, model }: EndpointDescription): EndpointHardwareModule {
    const { endpointHardware } = this.machine.options;
    const found = endpointHardware.find((module) => module.model === model);
    if (found !== undefined) return found;
    const known = endpointHardware.map((module) => module.model).join(', ') || 'none';
    throw new IommuError('ENODEV', `nothing here models '${model}' at ${at}`, { remedy: `the models are: ${known}` });
  }

  /** Where the function's configuration space is. */
  configOf(rid: number): number {
    return this.node.ecam.base + (rid - this.node.busRange[0] * BUS_FUNCTIONS) * CONFIG_BYTES;
  }

  windowsOf(rid: number, name: string): readonly Mmio[] {
    const { kernel, bus } = this.machine;
    return this.addresses
      .assign(this.configOf(rid))
      .map(({ base, bytes }) => new BusMmio(kernel, bus, base, bytes, name));
  }

  /** The IOMMU and the StreamID of a requester id, by the root complex's iommu-map. */
  upstreamOf(rid: number, name: string): Upstream {
    const id = rid & this.node.iommuMapMask;
    const entry = this.node.iommuMap.find(({ ridBase, length }) => id >= ridBase && id < ridBase + length);
    const iommu = entry === undefined ? undefined : this.machine.iommus.get(entry.iommu);
    if (entry !== undefined && iommu !== undefined) return { iommu, stream: entry.streamBase + id - entry.ridBase };
    throw new IommuError('ENODEV', `${name} is behind no IOMMU`, {
      remedy: `give ${this.node.name} an iommu-map that covers it`,
    });
  }

  /** `vendor:device`, as its configuration space says. */
  idOf(rid: number): string {
    const id = this.machine.bus.load32(this.configOf(rid) + ID);
    return `${(id & 0xffff).toString(16).padStart(4, '0')}:${(id >>> 16).toString(16).padStart(4, '0')}`;
  }
}
