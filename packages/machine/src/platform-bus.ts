import type { PlatformDevice, PlatformInterrupt } from '@iommukit/firmware';
import {
  BusMmio,
  CoherentMemory,
  type InterruptLine,
  IommuError,
  type Setting,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import { PlatformLink } from '@iommukit/pci-ats';
import type { Machine, MachineIommu } from './machine.js';
import { MachineDevice } from './machine-device.js';
import type { PlatformHardwareModule } from './modules.js';
import { type EndpointDescription, iommusOf, platformDevicesOf } from './platform.js';

/** Bytes of registers that a device has when nobody says. */
const WINDOW = 0x20000;

/** The one interrupt of a device that firmware does not describe. */
const IRQ: PlatformInterrupt = { name: 'irq', type: 'spi', number: 0, trigger: 'edge' };

/** Devices that are no PCI functions: where they stand and which streams they are, firmware or an overlay says. */
export class PlatformBus {
  readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /**
   * Plugs in what an overlay describes, completed by what firmware says of the node of this name.
   * @throws IommuError ENODEV (no such model, no IOMMU, no driver), EINVAL without streams, EEXIST for a second one
   */
  plug(endpoint: EndpointDescription): void {
    if (this.machine.devices.has(endpoint.at)) {
      throw new IommuError('EEXIST', `${endpoint.at} is plugged in already`, { remedy: 'name each device once' });
    }
    this.create(this.nodeOf(endpoint), this.modelOf(endpoint), endpoint.capabilities);
  }

  /** Plugs in every device that firmware describes, that a model exists for, and that no overlay has plugged in. */
  plugFirmwareDevices(): void {
    if (this.machine.options.hardware !== undefined) return;
    for (const node of platformDevicesOf(this.machine.options.platform)) {
      const model = this.models.find(({ compatible }) => node.compatible.includes(compatible));
      if (model !== undefined && !this.machine.devices.has(node.name)) this.create(node, model, {});
    }
  }

  get models(): readonly PlatformHardwareModule[] {
    return this.machine.options.platformHardware ?? [];
  }

  modelOf({ at, model }: EndpointDescription): PlatformHardwareModule {
    const found = this.models.find((module) => module.model === model);
    if (found !== undefined) return found;
    const known = this.models.map((module) => module.model).join(', ') || 'none';
    throw new IommuError('ENODEV', `nothing here models '${model}' at ${at}, on the platform bus`, {
      remedy: `the models are: ${known}`,
    });
  }

  /** What firmware says of a device, and the overlay on it. */
  nodeOf({ at, streams, iommu, pasidBits, stall }: EndpointDescription): PlatformDevice {
    const firmware = platformDevicesOf(this.machine.options.platform).find(({ name }) => name === at);
    const node = firmware ?? this.unknown(at);
    return {
      ...node,
      iommus: streams === undefined ? node.iommus : [{ iommu: this.iommuNamed(at, iommu), streams }],
      pasidBits: pasidBits ?? node.pasidBits,
      canStall: stall ?? node.canStall,
    };
  }

  /** A device that firmware does not know: its name says where its registers are. */
  unknown(at: string): PlatformDevice {
    const base = Number.parseInt(at.slice(at.indexOf('@') + 1), 16);
    return {
      kind: 'device',
      name: at,
      path: `/${at}`,
      compatible: [],
      base,
      bytes: WINDOW,
      regions: [{ base, bytes: WINDOW }],
      interrupts: [IRQ],
      iommus: [],
      pasidBits: 0,
      canStall: false,
      coherent: true,
      properties: {},
    };
  }

  /** @throws IommuError ENODEV when the platform has none of this name, EINVAL without a name when it has not exactly one */
  iommuNamed(at: string, name: string | undefined): string {
    if (name === undefined) return this.onlyIommu(at);
    const iommus = iommusOf(this.machine.options.platform);
    const found = iommus.find((node) => node.name === name);
    if (found !== undefined) return found.path;
    throw new IommuError('ENODEV', `${at}: no IOMMU of the platform is called ${name}`, {
      remedy: `the platform has: ${iommus.map((node) => node.name).join(', ') || 'none'}`,
    });
  }

  onlyIommu(at: string): string {
    const iommus = iommusOf(this.machine.options.platform);
    if (iommus.length === 1) return iommus[0]!.path;
    throw new IommuError('EINVAL', `${at}: the platform has ${iommus.length} IOMMUs, so its streams say too little`, {
      remedy: 'say which IOMMU it is behind',
    });
  }

  /** @throws IommuError ENODEV on foreign hardware, which has PCI functions only */
  create(node: PlatformDevice, model: PlatformHardwareModule, capabilities: Readonly<Record<string, Setting>>): void {
    const { machine } = this;
    const { kernel, bus, options } = machine;
    const { name } = node;
    if (options.hardware !== undefined) {
      throw new IommuError('ENODEV', `${options.hardware.name} has no platform device ${name}`, {
        remedy: 'plug in a PCI function',
      });
    }
    const { iommu, streams } = this.upstreamOf(node);
    const lines = this.linesOf(node);
    const link = new PlatformLink(kernel, { name, stream: streams[0]! });
    const place = machine.place(name, node.base, node.bytes, capabilities, lines);
    link.join(model.create(place, link, options.settings, model.parts), iommu.agent!);
    const device = new MachineDevice({
      name,
      kernel,
      streams,
      dma: new CoherentMemory(kernel, bus),
      mmio: node.regions.map(({ base, bytes }) => new BusMmio(kernel, bus, base, bytes, name)),
      config: null,
      lines,
      properties: { 'pasid-num-bits': node.pasidBits, 'dma-can-stall': node.canStall },
    });
    machine.attach(device, model.compatible, iommu);
  }

  /** @throws IommuError EINVAL for a device without streams, ENODEV when its IOMMU is none of the machine's */
  upstreamOf({ name, iommus }: PlatformDevice): { readonly iommu: MachineIommu; readonly streams: readonly number[] } {
    const [first] = iommus;
    if (first === undefined || first.streams.length === 0) {
      throw new IommuError('EINVAL', `${name} has no streams`, {
        remedy: 'give it stream: numbers, as its IOMMU sees it',
      });
    }
    const iommu = this.machine.iommus.get(first.iommu);
    if (iommu !== undefined) return { iommu, streams: first.streams };
    throw new IommuError('ENODEV', `${name} is behind no IOMMU`, { remedy: 'describe its IOMMU' });
  }

  /** A device with one interrupt calls it `irq`, however firmware names it. */
  linesOf({ name, interrupts }: PlatformDevice): ReadonlyMap<string, InterruptLine> {
    const lines = interrupts.map(
      (line) => [line.name, new ThreadedInterrupt(this.machine.kernel, `${name}-${line.name || 'irq'}`)] as const,
    );
    return new Map<string, InterruptLine>([
      ['irq', lines[0]?.[1] ?? new ThreadedInterrupt(this.machine.kernel, `${name}-irq`)],
      ...lines,
    ]);
  }
}
